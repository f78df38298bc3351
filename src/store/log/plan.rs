//! Numbers the rows of a batch, once the heads of their conversations are locked.
//!
//! Pure: what was read goes in, what is to be written comes out. All three ways into the database share it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::batch::{NewRow, NotPlaced, Outcome, Placed};

/// What names a sending: its key and its sender.
pub(super) type Key = ([u8; 16], i64);

/// The newest numbers of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Head {
    pub(super) seq: i64,
    pub(super) revision: i64,
}

/// A row with its numbers.
#[derive(Debug)]
pub(super) struct Numbered<'a> {
    pub(super) row: &'a NewRow,
    pub(super) seq: i64,
    pub(super) revision: i64,
    /// Set when ids are drawn.
    pub(super) id: i64,
    /// Set as its files are stored.
    pub(super) medias: Vec<i64>,
}

impl Numbered<'_> {
    /// A message is shown at once unless files are awaited, and its place is its id.
    pub(super) fn shown(&self) -> Option<i64> {
        (self.row.awaited() == 0).then_some(self.id)
    }

    fn placed(&self) -> Placed {
        Placed {
            id: self.id,
            conversation: self.row.conversation,
            seq: self.seq,
            revision: self.revision,
            shown: self.shown(),
            created_at: self.row.created_at,
            medias: self.medias.clone(),
            duplicate: false,
        }
    }
}

/// What becomes of each row.
enum Verdict {
    Fresh(usize),
    /// The same sending twice in one batch.
    Again(usize),
    Known(Placed),
    Refused(NotPlaced),
}

/// What a transaction has to write.
pub(super) struct Plan<'a> {
    /// Messages to insert.
    pub(super) fresh: Vec<Numbered<'a>>,
    /// Heads to set, in the order of their ids.
    pub(super) heads: BTreeMap<i64, Head>,
    verdicts: Vec<Verdict>,
}

/// The conversations of these rows, in the order in which their heads are locked.
pub(super) fn conversations(rows: &[&NewRow]) -> BTreeSet<i64> {
    rows.iter().map(|row| row.conversation).collect()
}

impl<'a> Plan<'a> {
    /// Numbers what is not `known` and not objected to, after the present `heads`.
    pub(super) fn new(
        rows: &[&'a NewRow],
        heads: &BTreeMap<i64, Head>,
        known: &HashMap<Key, Placed>,
        objections: &[Option<NotPlaced>],
    ) -> Self {
        let mut plan = Self { fresh: Vec::new(), heads: BTreeMap::new(), verdicts: Vec::new() };
        let mut seen: HashMap<Key, usize> = HashMap::with_capacity(rows.len());
        for (row, objection) in rows.iter().zip(objections) {
            let key = (row.client_key, row.sender);
            let verdict = if let Some(placed) = known.get(&key) {
                Verdict::Known(placed.clone())
            } else {
                match (seen.entry(key), heads.get(&row.conversation), objection) {
                    (Entry::Occupied(first), _, _) => Verdict::Again(*first.get()),
                    (Entry::Vacant(_), None, _) => Verdict::Refused(NotPlaced::NoConversation),
                    (Entry::Vacant(_), _, Some(objection)) => Verdict::Refused(*objection),
                    (Entry::Vacant(slot), Some(head), None) => {
                        slot.insert(plan.fresh.len());
                        plan.number(row, *head)
                    }
                }
            };
            plan.verdicts.push(verdict);
        }
        plan
    }

    fn number(&mut self, row: &'a NewRow, head: Head) -> Verdict {
        let head = self.heads.entry(row.conversation).or_insert(head);
        head.seq += 1;
        head.revision += 1;
        let (seq, revision) = (head.seq, head.revision);
        self.fresh.push(Numbered { row, seq, revision, id: 0, medias: Vec::new() });
        Verdict::Fresh(self.fresh.len() - 1)
    }

    /// Gives each new message its id.
    pub(super) fn set_ids(&mut self, ids: impl IntoIterator<Item = i64>) {
        for (message, id) in self.fresh.iter_mut().zip(ids) {
            message.id = id;
        }
    }

    /// What to tell the sender of each row.
    pub(super) fn outcomes(self) -> Vec<Outcome> {
        let Self { fresh, verdicts, .. } = self;
        verdicts
            .into_iter()
            .map(|verdict| match verdict {
                Verdict::Fresh(place) => Ok(fresh[place].placed()),
                Verdict::Again(place) => Ok(Placed { duplicate: true, ..fresh[place].placed() }),
                Verdict::Known(placed) => Ok(placed),
                Verdict::Refused(why) => Err(why),
            })
            .collect()
    }
}
