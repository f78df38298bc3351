//! What a reader has marked, as a cursor and ranges above it; pure.
//!
//! Ranges count in places, which have holes. Two of them touch if no message of others that
//! is still unmarked lies between, which a look at a window of the conversation tells.

use std::collections::BTreeSet;

/// A cursor, and what is marked beyond it: ranges that neither touch nor overlap, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) cursor: i64,
    pub(super) ranges: Vec<(i64, i64)>,
}

/// A stretch of a conversation: all messages of others that can be seen there.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// First and last place of the stretch.
    pub(super) low: i64,
    pub(super) high: i64,
    /// Places of messages of others.
    pub(super) others: BTreeSet<i64>,
}

impl Window {
    /// Whether it is known that nothing is left to mark between two places.
    fn joins(&self, high: i64, low: i64) -> bool {
        let known = self.low <= high && low <= self.high;
        known && high < low && self.others.range(high + 1..low).next().is_none()
    }
}

impl Marks {
    /// Sorts what was stored in any order.
    pub(super) fn new(cursor: i64, mut ranges: Vec<(i64, i64)>) -> Self {
        ranges.sort_unstable();
        Self { cursor, ranges }
    }

    /// Whether a place is marked.
    pub(super) fn covers(&self, place: i64) -> bool {
        place <= self.cursor
            || self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&place))
    }

    /// Marks one place; says whether that is new.
    pub(super) fn add(&mut self, place: i64) -> bool {
        if self.covers(place) {
            return false;
        }
        let at = self.ranges.partition_point(|(low, _)| *low < place);
        self.ranges.insert(at, (place, place));
        true
    }

    /// Marks everything up to a place.
    pub(super) fn raise(&mut self, to: i64) {
        self.cursor = self.cursor.max(to);
        while let Some((low, high)) = self.ranges.first().copied()
            && low <= self.cursor
        {
            self.cursor = self.cursor.max(high);
            self.ranges.remove(0);
        }
    }

    /// Merges what touches as far as a window shows it; the cursor swallows what it reaches.
    pub(super) fn settle(&mut self, window: &Window) {
        let mut merged: Vec<(i64, i64)> = Vec::with_capacity(self.ranges.len());
        for (low, high) in std::mem::take(&mut self.ranges) {
            let end = merged.last_mut().map_or(&mut self.cursor, |(_, high)| high);
            if window.joins(*end, low) {
                *end = high;
            } else {
                merged.push((low, high));
            }
        }
        self.ranges = merged;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(low: i64, high: i64, others: impl IntoIterator<Item = i64>) -> Window {
        Window { low, high, others: others.into_iter().collect() }
    }

    #[test]
    fn the_cursor_moves_over_what_is_marked_without_a_gap() {
        // Messages of others at 10, 20, 30, 40; what lies between is one's own.
        let all = window(0, 50, [10, 20, 30, 40]);
        let mut marks = Marks::new(0, Vec::new());
        assert!(marks.add(20));
        marks.settle(&all);
        assert_eq!(marks, Marks { cursor: 0, ranges: vec![(20, 20)] });
        assert!(!marks.add(20));
        assert!(marks.add(30));
        marks.settle(&all);
        assert_eq!(marks, Marks { cursor: 0, ranges: vec![(20, 30)] });
        assert!(marks.add(10));
        marks.settle(&all);
        assert_eq!(marks, Marks { cursor: 30, ranges: Vec::new() });
        // Beyond what the window shows nothing is known.
        assert!(marks.add(60));
        marks.settle(&all);
        assert_eq!(marks, Marks { cursor: 30, ranges: vec![(60, 60)] });
        marks.raise(59);
        assert_eq!(marks, Marks { cursor: 59, ranges: vec![(60, 60)] });
        marks.raise(60);
        assert_eq!(marks, Marks { cursor: 60, ranges: Vec::new() });
    }

    proptest! {
        #[test]
        fn settling_never_marks_or_forgets_a_message(
            others in proptest::collection::btree_set(1_i64..200, 0..60),
            named in proptest::collection::vec(0_usize..60, 0..80),
            cuts in proptest::collection::vec((0_i64..200, 0_i64..200), 0..5),
        ) {
            let list: Vec<_> = others.iter().copied().collect();
            let mut marks = Marks::new(0, Vec::new());
            let mut marked = BTreeSet::new();
            for index in named {
                let Some(place) = list.get(index) else { continue };
                prop_assert_eq!(marks.add(*place), marked.insert(*place));
                for (low, high) in &cuts {
                    let inside = others.iter().copied().filter(|at| low <= at && at <= high);
                    marks.settle(&window(*low, *high, inside));
                }
            }
            for place in &others {
                prop_assert_eq!(marks.covers(*place), marked.contains(place));
            }
            marks.settle(&window(0, 200, others.iter().copied()));
            let first = others.iter().find(|place| !marked.contains(place)).copied();
            let prefix = others.iter().take_while(|place| Some(**place) != first).last();
            prop_assert_eq!(marks.cursor, prefix.copied().unwrap_or(0));
        }
    }
}
