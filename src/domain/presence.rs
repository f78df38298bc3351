//! Presence: the order in which accounts come online and go.

/// A moment in the order of all changes of presence: how many there had been by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PresenceMark(u64);

impl PresenceMark {
    /// After so many changes.
    pub const fn new(changes: u64) -> Self {
        Self(changes)
    }

    /// How many changes there had been.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// What happened to one account's presence since it was last told of, in its order.
///
/// Online and offline take turns, so who has seen the state as of a mark hears of the last
/// change if an odd number of them came after it; of an even number neither is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresenceChanges {
    changes: Vec<u64>,
    announced: Option<u64>,
}

impl PresenceChanges {
    /// These changes, ascending.
    pub const fn new(changes: Vec<u64>) -> Self {
        Self { changes, announced: None }
    }

    /// The same, and the user said so, as a change of this number.
    #[must_use]
    pub const fn announced(mut self, number: Option<u64>) -> Self {
        self.announced = number;
        self
    }

    /// Whether it is news to those who have seen everything up to a mark.
    pub fn is_news_after(&self, seen: PresenceMark) -> bool {
        let is_later = |number: &&u64| **number > seen.0;
        self.announced.iter().any(|number| is_later(&number))
            || self.changes.iter().filter(is_later).count() % 2 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_back_is_news_only_to_those_who_looked_in_between() {
        let flapped = PresenceChanges::new(vec![3, 5]);
        let news = |seen| flapped.is_news_after(PresenceMark::new(seen));
        assert_eq!([2, 3, 4, 5].map(news), [false, true, true, false]);
        let said = PresenceChanges::new(vec![3, 5]).announced(Some(7));
        let news = |seen| said.is_news_after(PresenceMark::new(seen));
        assert_eq!([2, 3, 6, 7].map(news), [true, true, true, false]);
    }
}
