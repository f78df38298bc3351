//! What was perhaps committed, and is told once that is known: before anything that was committed behind it.
//!
//! A commit whose answer was lost may have happened. What it has to tell is kept, in order; whoever writes next finds
//! out first, and so does a look now and then, in case nobody writes. What is still open in the database holds its
//! locks, so nothing about the same rows can be committed, and told, before it.

use std::collections::VecDeque;
use std::sync::Weak;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::transaction::{FIRST_PAUSE, LONGEST_PAUSE};
use super::witness::{Commit, Verdict};
use super::{Shared, Store, StoreError, Tx, WriteTurn};
use crate::domain::Event;
use crate::hub::{News, Published};

/// How often one looks when nobody writes.
const PACE: Duration = Duration::from_millis(500);
/// How long one look may take.
const LOOK: Duration = Duration::from_secs(1);
/// How much may be open at once; the oldest gives way.
const KEPT: usize = 1_000;

/// News in the order of their commits; changed under the write turn alone.
#[derive(Default)]
pub(super) struct Doubts(Mutex<VecDeque<Doubt>>);

struct Doubt {
    /// What it depends on; nothing if it is known to be committed.
    commit: Option<Commit>,
    news: News,
}

impl Doubts {
    fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Keeps what cannot be told yet.
    fn push(&self, commit: Option<Commit>, news: News) {
        if news.is_empty() {
            return;
        }
        let mut doubts = self.0.lock();
        if doubts.len() == KEPT {
            tracing::error!("too many outcomes are unknown; the oldest change is told to nobody");
            doubts.pop_front();
        }
        doubts.push_back(Doubt { commit, news });
    }

    fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// What the one at this place depends on, if that is not known.
    fn at(&self, place: usize) -> Option<Commit> {
        self.0.lock().get(place).and_then(|doubt| doubt.commit)
    }

    fn take(&self, place: usize) -> Option<News> {
        self.0.lock().remove(place).map(|doubt| doubt.news)
    }

    /// It was committed, and could not be told.
    fn put_back(&self, place: usize, news: News) {
        self.0.lock().insert(place, Doubt { commit: None, news });
    }

    fn resolve(&self, commit: Commit, committed: bool) {
        let mut doubts = self.0.lock();
        if committed {
            for doubt in doubts.iter_mut().filter(|doubt| doubt.commit == Some(commit)) {
                doubt.commit = None;
            }
        } else {
            doubts.retain(|doubt| doubt.commit != Some(commit));
        }
    }
}

/// Whether what is committed now may be told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Clear,
    /// Something before it cannot be told yet.
    Barred,
}

impl Store {
    /// Tells what is known by now of earlier commits. The caller has the turn and tells of its own commit next.
    pub(super) async fn settle(&self, turn: &mut WriteTurn) -> Way {
        let doubts = &self.shared.doubts;
        let mut place = 0;
        while place < doubts.len() {
            let verdict = match doubts.at(place) {
                None => Ok(Verdict::Committed),
                Some(commit) => turn.verdict(commit, Instant::now() + LOOK).await,
            };
            match verdict {
                Ok(Verdict::Committed) => {
                    let Some(mut news) = doubts.take(place) else { continue };
                    self.forget_what_changed(&news);
                    if self.address(&mut news).await.is_err() {
                        doubts.put_back(place, news);
                        return Way::Barred;
                    }
                    drop(self.publishers().hand_over(news));
                }
                Ok(Verdict::Undone) => drop(doubts.take(place)),
                Ok(Verdict::InBalance) => place += 1,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(error, "what became of a commit is not known yet");
                    return Way::Barred;
                }
            }
        }
        Way::Clear
    }

    /// Hands over what was just committed, or keeps it behind what comes first.
    pub(super) async fn tell_behind(&self, way: &mut Way, mut news: News) -> Published {
        self.forget_what_changed(&news);
        if *way == Way::Clear {
            match self.address(&mut news).await {
                Ok(()) => return self.publishers().hand_over(news),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "a change is told later");
                    *way = Way::Barred;
                }
            }
        }
        self.shared.doubts.push(None, news);
        Published::at_once()
    }

    /// Keeps what a transaction has to tell whose outcome is unknown.
    pub(super) fn doubt(&self, commit: Commit, news: News) {
        self.forget_what_changed(&news);
        self.shared.doubts.push(Some(commit), news);
    }

    /// Ends a transaction and tells of it; if its outcome is unknown, finds out in the time that is left, or later.
    pub(super) async fn finish(
        self,
        mut turn: WriteTurn,
        tx: Tx,
        commit: Commit,
        news: News,
        deadline: Instant,
    ) -> Result<Published, StoreError> {
        match turn.commit(tx, deadline).await {
            Ok(()) => {
                let mut way = self.settle(&mut turn).await;
                Ok(self.tell_behind(&mut way, news).await)
            }
            Err(StoreError::OutcomeUnknown(source)) if !news.is_empty() => {
                self.doubt(commit, news);
                turn.renew_witness();
                let mut pause = FIRST_PAUSE;
                while Instant::now() + pause < deadline {
                    sleep(pause).await;
                    pause = LONGEST_PAUSE.min(2 * pause);
                    match turn.verdict(commit, deadline).await {
                        Ok(Verdict::Committed) => {
                            self.shared.doubts.resolve(commit, true);
                            self.settle(&mut turn).await;
                            return Ok(Published::at_once());
                        }
                        Ok(Verdict::Undone) => {
                            self.shared.doubts.resolve(commit, false);
                            return Err(StoreError::TooSlow);
                        }
                        Ok(Verdict::InBalance) | Err(_) => {}
                    }
                }
                Err(StoreError::OutcomeUnknown(source))
            }
            Err(error) => Err(error),
        }
    }

    /// Before anybody is put out: who joins meanwhile must not be let in by what was.
    fn forget_what_changed(&self, news: &News) {
        for event in news.events() {
            if let Event::ConversationChanged { conversation, .. } = event {
                self.forget_standings_of(*conversation);
            }
        }
    }
}

/// Looks now and then, as long as the store is used.
pub(super) async fn keep_settled(shared: Weak<Shared>) {
    loop {
        sleep(PACE).await;
        let Some(shared) = shared.upgrade() else { return };
        if shared.doubts.is_empty() {
            continue;
        }
        let store = Store { shared, acting: None };
        if let Ok(mut turn) = timeout(LOOK, store.turn()).await {
            store.settle(&mut turn).await;
        }
    }
}
