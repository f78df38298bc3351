//! Stores a batch, come what may, and says of each row what became of it.
//!
//! Optimistic: rows are inserted as if they were new. Only after a key was found taken, or an attempt failed, are the
//! keys looked up, under the locks; so a commit whose answer was lost can be repeated. What the database refuses for
//! good is halved until only the guilty row is left.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::DbBackend;
use tokio::time::{Instant, sleep};

use super::batch::{Batch, NotPlaced, Outcome, Placed};
use super::sqlite::{Attempt, Job, Lane};
use super::{portable, postgres};
use crate::store::transaction::{FIRST_PAUSE, LONGEST_PAUSE};
use crate::store::witness::Commit;
use crate::store::{Store, StoreError, WriteTurn};

/// The constraint that a repeated sending runs into.
pub(super) const KEYS: &str = "uq_messages_client_key_sender";
/// How long marks without messages may take.
const MARKS: Duration = Duration::from_secs(5);

/// The way batches take into the database.
#[derive(Debug)]
pub struct BatchWriter {
    store: Store,
    way: Way,
    doubtful: Vec<Doubtful>,
    /// The marks of the last batch could not be stored in time.
    marks_left: bool,
}

/// What an attempt stored if it was committed, which is not known.
#[derive(Debug)]
pub(super) struct Doubtful {
    pub(super) commit: Commit,
    /// Which rows, and the numbers they had.
    pub(super) placed: Vec<(usize, Placed)>,
}

#[derive(Debug)]
enum Way {
    Portable,
    Sqlite(Lane),
    Postgres,
}

/// Rows that are tried together.
struct Part {
    picks: Vec<usize>,
    marks: bool,
    look_up: bool,
}

/// What is known so far.
struct Progress {
    outcomes: Vec<Outcome>,
    /// Rows in attempts whose outcome is unknown, and the ids they had there, as far as that is known.
    unknown: HashMap<usize, Option<i64>>,
    doubtful: Vec<Doubtful>,
    marks_left: bool,
}

impl BatchWriter {
    /// The fastest way into this database.
    pub fn lean(store: Store) -> Result<Self, StoreError> {
        let way = match store.backend() {
            DbBackend::Sqlite => Way::Sqlite(open_lane(&store)?),
            DbBackend::Postgres => Way::Postgres,
            _ => Way::Portable,
        };
        Ok(Self { store, way, doubtful: Vec::new(), marks_left: false })
    }

    /// The way that is the same everywhere.
    pub fn portable(store: Store) -> Self {
        Self { store, way: Way::Portable, doubtful: Vec::new(), marks_left: false }
    }

    /// Stores the batch; one outcome for each row, in their order. Takes until the last deadline at most.
    pub async fn write(&mut self, turn: &mut WriteTurn, batch: &Arc<Batch>) -> Vec<Outcome> {
        let outcomes = vec![Err(NotPlaced::Unavailable); batch.rows.len()];
        let mut progress =
            Progress { outcomes, unknown: HashMap::new(), doubtful: Vec::new(), marks_left: false };
        let mut picks = Vec::with_capacity(batch.rows.len());
        for (pick, row) in batch.rows.iter().enumerate() {
            if row.is_sound() {
                picks.push(pick);
            } else {
                progress.outcomes[pick] = Err(NotPlaced::Refused);
            }
        }
        let mut parts = vec![Part { picks, marks: !batch.marks.is_empty(), look_up: false }];
        while let Some(part) = parts.pop() {
            parts.extend(self.settle(turn, batch, part, &mut progress).await);
        }
        self.marks_left = progress.marks_left;
        // What was tried again, and is known now, is nobody's doubt.
        for mut doubtful in progress.doubtful {
            let is_unknown =
                |pick: usize| progress.outcomes[pick] == Err(NotPlaced::OutcomeUnknown);
            doubtful.placed.retain(|(pick, _)| is_unknown(*pick));
            if !doubtful.placed.is_empty() {
                self.doubtful.push(doubtful);
            }
        }
        progress.outcomes
    }

    /// What the last batch may have stored although its rows are answered as unknown.
    pub(super) fn take_doubtful(&mut self) -> Vec<Doubtful> {
        std::mem::take(&mut self.doubtful)
    }

    /// Whether the marks of the last batch are still to be stored.
    pub(super) const fn has_marks_left(&self) -> bool {
        self.marks_left
    }

    /// Tries until the part is stored, refused or out of time; returns what to try on its own, last first.
    async fn settle(
        &mut self,
        turn: &mut WriteTurn,
        batch: &Arc<Batch>,
        mut part: Part,
        progress: &mut Progress,
    ) -> Vec<Part> {
        let mut pause = FIRST_PAUSE;
        let marks_until = Instant::now() + MARKS;
        loop {
            let deadline = part.drop_late(batch, progress, marks_until);
            if part.picks.is_empty() && !part.marks {
                return Vec::new();
            }
            // Marks alone are told of long before they are stored.
            let commit = if part.picks.is_empty() {
                Ok(None)
            } else {
                turn.next_commit(deadline, self.store.clock().now()).await.map(Some)
            };
            let (commit, (stored, outcomes)) = match commit {
                Ok(commit) => (commit, self.attempt(turn, batch, &part, deadline, commit).await),
                Err(error) => (None, (Err(error), Vec::new())),
            };
            let error = match stored {
                Ok(()) => {
                    progress.record(&part, outcomes);
                    return Vec::new();
                }
                Err(error) => error,
            };
            match error {
                StoreError::OutcomeUnknown(_) => {
                    progress.remember(&part, &outcomes, commit);
                    turn.renew_witness();
                }
                error if error.is_duplicate_of(KEYS) && !part.look_up => {
                    part.look_up = true;
                    continue;
                }
                error if error.is_transient() || error.is_duplicate_of(KEYS) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "batch is repeated");
                }
                error => return part.split(&error, progress),
            }
            part.look_up = true;
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(2 * pause);
        }
    }

    async fn attempt(
        &mut self,
        turn: &mut WriteTurn,
        batch: &Arc<Batch>,
        part: &Part,
        deadline: Instant,
        commit: Option<Commit>,
    ) -> Attempt {
        if let Way::Sqlite(lane) = &self.way {
            let job = Job {
                batch: batch.clone(),
                picks: part.picks.clone(),
                marks: part.marks,
                look_up: part.look_up,
                deadline,
                commit,
            };
            if let Some(attempt) = lane.attempt(job).await {
                return attempt;
            }
            if let Ok(lane) = open_lane(&self.store) {
                self.way = Way::Sqlite(lane);
            }
            return (Err(StoreError::OutcomeUnknown(None)), Vec::new());
        }
        let lean = matches!(self.way, Way::Postgres);
        let rows: Vec<_> = part.picks.iter().map(|pick| &batch.rows[*pick]).collect();
        let mut outcomes = Vec::new();
        let stored = turn
            .write_until(deadline, async |tx| {
                outcomes = if lean {
                    postgres::insert(tx, &rows, part.look_up).await?
                } else {
                    portable::insert(tx, &rows, part.look_up).await?
                };
                if part.marks {
                    portable::advance(tx, &batch.marks).await?;
                }
                if let Some(commit) = commit {
                    commit.note(tx).await?;
                }
                Ok(())
            })
            .await;
        (stored, outcomes)
    }
}

fn open_lane(store: &Store) -> Result<Lane, StoreError> {
    let file = store.file().ok_or_else(|| StoreError::Address("only SQLite has a file".into()))?;
    Lane::open(file, store.durability())
}

impl Part {
    /// Gives up on rows whose time is over; returns the latest deadline of the others.
    fn drop_late(
        &mut self,
        batch: &Batch,
        progress: &mut Progress,
        marks_until: Instant,
    ) -> Instant {
        let now = Instant::now();
        self.picks.retain(|pick| {
            let in_time = batch.rows[*pick].deadline > now;
            if !in_time && progress.unknown.contains_key(pick) {
                progress.outcomes[*pick] = Err(NotPlaced::OutcomeUnknown);
            }
            in_time
        });
        if self.marks && self.picks.is_empty() && marks_until <= now {
            self.marks = false;
            progress.marks_left = true;
        }
        let deadlines = self.picks.iter().map(|pick| batch.rows[*pick].deadline);
        deadlines.max().unwrap_or(marks_until)
    }

    /// Halves what was refused for good, until one row is left to blame.
    fn split(self, error: &StoreError, progress: &mut Progress) -> Vec<Part> {
        let Self { picks, marks, look_up } = self;
        let alone = |picks: &[usize]| Part { picks: picks.to_vec(), marks: false, look_up };
        let mut parts = Vec::new();
        if marks && !picks.is_empty() {
            parts.push(Part { picks: Vec::new(), marks: true, look_up });
        }
        match picks.as_slice() {
            [] => tracing::error!(error = error as &dyn std::error::Error, "marks were refused"),
            [pick] if !marks => {
                tracing::error!(error = error as &dyn std::error::Error, "a message was refused");
                progress.outcomes[*pick] = Err(NotPlaced::Refused);
            }
            [_] => parts.push(alone(&picks)),
            picks => {
                let (first, second) = picks.split_at(picks.len() / 2);
                parts.push(alone(second));
                parts.push(alone(first));
            }
        }
        parts
    }
}

impl Progress {
    fn record(&mut self, part: &Part, outcomes: Vec<Outcome>) {
        for (pick, outcome) in part.picks.iter().zip(outcomes) {
            self.outcomes[*pick] = outcome.map(|placed| {
                // Found again, but stored by ourselves in an attempt that seemed lost: nobody was told yet.
                let own =
                    self.unknown.get(pick).is_some_and(|id| id.is_none_or(|id| id == placed.id));
                Placed { duplicate: placed.duplicate && !own, ..placed }
            });
        }
    }

    fn remember(&mut self, part: &Part, outcomes: &[Outcome], commit: Option<Commit>) {
        if let Some(commit) = commit {
            let picks = part.picks.iter().copied();
            let fresh = picks.zip(outcomes).filter_map(|(pick, outcome)| match outcome {
                Ok(placed) if !placed.duplicate => Some((pick, placed.clone())),
                _ => None,
            });
            self.doubtful.push(Doubtful { commit, placed: fresh.collect() });
        }
        for (place, pick) in part.picks.iter().enumerate() {
            match outcomes.get(place) {
                None => self.unknown.insert(*pick, None),
                Some(Ok(placed)) if !placed.duplicate => {
                    self.unknown.insert(*pick, Some(placed.id))
                }
                Some(_) => None,
            };
        }
    }
}
