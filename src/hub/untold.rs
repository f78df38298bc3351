//! Changes of presence that nobody has been told of yet, in the order in which they are told.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::{PresenceChanges, Principal};

/// Changes of one account that are kept while they wait; beyond it the oldest two, which
/// cancel each other, are forgotten.
const KEPT: usize = 256;

/// The numbers of all changes, and what waits to be told of them.
#[derive(Debug, Default)]
pub(super) struct Untold {
    last: u64,
    /// For everybody.
    plain: Line,
    /// Announcements for clients of private-chat, which may come later.
    announced: Line,
    /// Who is being told of.
    telling: Option<Principal>,
}

/// An account to tell of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Which.
    pub principal: Principal,
    /// Whether it is online.
    pub online: bool,
    /// What has happened since it was last told of.
    pub changes: Vec<PresenceChanges>,
    /// Whether this is an announcement, which only clients of private-chat hear.
    pub announced: bool,
}

impl Untold {
    /// How many changes there have been.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// An account has come or gone; its announcement waits that long.
    pub(super) fn change(&mut self, principal: Principal, settle: Option<Duration>) {
        self.last += 1;
        let number = self.last;
        self.plain.put(principal, None, |waiting| waiting.change(number));
        // Announcements are for dialogs, which devices have none of.
        if principal.user().is_some() {
            let due = settle.map(|settle| Instant::now() + settle);
            self.announced.put(principal, due, |waiting| waiting.change(number));
        }
    }

    /// A user says that it is online; whatever its announcement has waited for is over.
    pub(super) fn announce(&mut self, principal: Principal) {
        self.last += 1;
        let number = self.last;
        self.announced.put(principal, None, |waiting| waiting.said.push(number));
    }

    /// Whose turn it is. Who is `online` is for the caller to say.
    pub(super) fn take(
        &mut self,
        now: Instant,
        online: impl FnOnce(Principal) -> bool,
    ) -> Option<Turn> {
        self.announced.ripen(now);
        let is_plain = match (self.plain.first(), self.announced.first()) {
            (Some(plain), Some(announced)) => plain <= announced,
            (plain, _) => plain.is_some(),
        };
        let line = if is_plain { &mut self.plain } else { &mut self.announced };
        let (principal, waiting) = line.pop()?;
        self.telling = Some(principal);
        let online = online(principal);
        let changes = waiting.into_changes(online);
        Some(Turn { principal, online, changes, announced: !is_plain })
    }

    /// When the next announcement is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.announced.later.first_key_value().map(|((due, _), _)| *due)
    }

    /// Everybody has been told of whose turn it was.
    pub(super) fn told(&mut self) {
        self.telling = None;
    }

    /// Whether something about an account is still to be told.
    pub(super) fn concerns(&self, principal: Principal) -> bool {
        self.telling == Some(principal)
            || self.plain.waiting.contains_key(&principal)
            || self.announced.waiting.contains_key(&principal)
    }
}

/// Accounts in the order of their last change.
#[derive(Debug, Default)]
struct Line {
    waiting: HashMap<Principal, Waiting>,
    ready: BTreeMap<u64, Principal>,
    later: BTreeMap<(Instant, u64), Principal>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Comings and goings, in turns.
    changes: Vec<u64>,
    /// How often the user has said that it is online.
    said: Vec<u64>,
    due: Option<Instant>,
}

impl Waiting {
    fn change(&mut self, number: u64) {
        if self.changes.len() >= KEPT {
            self.changes.drain(..2);
        }
        self.changes.push(number);
    }

    fn number(&self) -> u64 {
        self.changes.last().max(self.said.last()).copied().unwrap_or_default()
    }

    /// One telling, and one more for each further time that a user has said to be online who
    /// still is.
    fn into_changes(self, online: bool) -> Vec<PresenceChanges> {
        let mut said = self.said.into_iter().filter(|_| online);
        let first = PresenceChanges::new(self.changes).announced(said.next());
        let further = said.map(|number| PresenceChanges::default().announced(Some(number)));
        std::iter::once(first).chain(further).collect()
    }
}

impl Line {
    fn put(
        &mut self,
        principal: Principal,
        due: Option<Instant>,
        change: impl FnOnce(&mut Waiting),
    ) {
        let waiting = self.waiting.entry(principal).or_default();
        let number = waiting.number();
        match waiting.due {
            Some(due) => drop(self.later.remove(&(due, number))),
            None => drop(self.ready.remove(&number)),
        }
        change(waiting);
        waiting.due = due;
        let number = waiting.number();
        match due {
            Some(due) => drop(self.later.insert((due, number), principal)),
            None => drop(self.ready.insert(number, principal)),
        }
    }

    /// What is due by now waits no longer.
    fn ripen(&mut self, now: Instant) {
        while let Some(first) = self.later.first_entry()
            && first.key().0 <= now
        {
            let ((_, number), principal) = first.remove_entry();
            if let Some(waiting) = self.waiting.get_mut(&principal) {
                waiting.due = None;
                self.ready.insert(number, principal);
            }
        }
    }

    fn first(&self) -> Option<u64> {
        self.ready.first_key_value().map(|(number, _)| *number)
    }

    fn pop(&mut self) -> Option<(Principal, Waiting)> {
        let (_, principal) = self.ready.pop_first()?;
        Some((principal, self.waiting.remove(&principal)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PresenceMark, UserId};

    const ANN: Principal = Principal::User(UserId::new(1));
    const BOB: Principal = Principal::User(UserId::new(2));

    /// Whose turn it is, of people who are all online or all offline.
    fn take(untold: &mut Untold, now: Instant, online: bool) -> Option<Turn> {
        untold.take(now, |_| online)
    }

    fn mark(number: u64) -> PresenceMark {
        PresenceMark::new(number)
    }

    #[test]
    fn changes_are_told_in_their_order_each_as_announcement_too() {
        let mut untold = Untold::default();
        untold.change(ANN, None);
        untold.change(BOB, None);
        let mut turns = Vec::new();
        while let Some(turn) = take(&mut untold, Instant::now(), true) {
            let changes = &turn.changes[0];
            assert!(changes.is_news_after(mark(0)) && !changes.is_news_after(mark(2)));
            assert!(untold.concerns(turn.principal));
            untold.told();
            turns.push((turn.principal, turn.announced));
        }
        assert_eq!(turns, [(ANN, false), (ANN, true), (BOB, false), (BOB, true)]);
        assert!(!untold.concerns(ANN) && !untold.concerns(BOB));
    }

    #[test]
    fn a_change_and_its_opposite_before_their_turn_are_news_only_in_between() {
        let mut untold = Untold::default();
        untold.change(ANN, None);
        untold.change(BOB, None);
        untold.change(ANN, None);
        // What the user says meanwhile is no news of who has gone.
        untold.announce(ANN);
        let mut next = || take(&mut untold, Instant::now(), false).unwrap();
        assert_eq!(next().principal, BOB, "whose last change came first");
        assert_eq!(next().principal, BOB);
        for _ in 0..2 {
            let Turn { principal, changes, .. } = next();
            assert_eq!((principal, changes.len()), (ANN, 1));
            let news = |number| changes[0].is_news_after(mark(number));
            assert_eq!([0, 1, 2, 3].map(news), [false, true, true, false]);
        }
    }

    #[test]
    fn an_announcement_waits_until_the_user_makes_it_or_its_time_has_come() {
        let settle = Duration::from_secs(2);
        let now = Instant::now();
        let mut untold = Untold::default();
        untold.change(ANN, Some(settle));
        let plain = |turn: Option<Turn>| turn.is_some_and(|turn| !turn.announced);
        assert!(plain(take(&mut untold, now, true)));
        assert_eq!(take(&mut untold, now, true), None);
        assert!(untold.due().is_some());
        let later = now + 2 * settle;
        assert!(take(&mut untold, later, true).unwrap().announced);
        untold.change(ANN, None);
        untold.change(ANN, Some(settle));
        untold.announce(ANN);
        untold.announce(ANN);
        assert_eq!(untold.due(), None);
        assert!(plain(take(&mut untold, now, true)));
        let Turn { changes: said, announced, .. } = take(&mut untold, now, true).unwrap();
        assert_eq!((said.len(), announced), (2, true));
        assert!(said.iter().all(|said| said.is_news_after(mark(3))));
        assert_eq!(take(&mut untold, later, true), None);
    }

    #[test]
    fn who_comes_and_goes_for_ever_costs_no_more() {
        let mut untold = Untold::default();
        for _ in 0..10_001 {
            untold.change(ANN, None);
        }
        let changes = take(&mut untold, Instant::now(), true).unwrap().changes;
        assert!(changes[0].is_news_after(mark(0)));
        assert!(!changes[0].is_news_after(mark(10_001)));
        assert!(untold.plain.waiting.is_empty() && untold.plain.ready.is_empty());
    }
}
