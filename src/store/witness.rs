//! What became of a transaction whose commit was not answered.
//!
//! Who has something to tell writes a number into a row of this process, within the transaction. Read under the row's
//! lock, it says for good whether that transaction was committed: as long as it may still be, it holds the lock.
//! Whenever an outcome is unknown the process takes another row, so that nothing waits for the old one.

use entity::commits;
use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use super::{StoreError, Tx};

/// How long rows of processes that are gone are kept, in seconds.
const KEPT: i64 = 7 * 24 * 3_600;

/// Names one transaction of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    /// The row.
    pub(super) witness: [u8; 16],
    /// The number in it, once it is committed.
    pub(super) number: i64,
}

/// What is known of it by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Committed,
    /// Nothing of it was stored, or ever will be.
    Undone,
    /// The database has not done with it.
    InBalance,
}

/// The row of this process, and what to write into it next.
#[derive(Debug)]
pub(super) struct Witness {
    row: [u8; 16],
    last: i64,
    stored: bool,
}

impl Witness {
    pub(super) fn new() -> Self {
        Self { row: rand::random(), last: 0, stored: false }
    }

    /// Whether its row is there; until then nothing can be written into it.
    pub(super) fn is_stored(&self) -> bool {
        self.stored
    }

    /// Makes the row; the caller commits, and then calls `keep`.
    pub(super) async fn store(&self, tx: &Tx, now: i64) -> Result<(), StoreError> {
        let row = commits::ActiveModel {
            witness: Set(self.row.to_vec()),
            number: Set(0),
            begun_at: Set(now),
        };
        commits::Entity::insert(row).exec_without_returning(tx).await?;
        Ok(())
    }

    /// The row is there.
    pub(super) fn keep(&mut self) {
        self.stored = true;
    }

    /// Names the next transaction.
    pub(super) fn next(&mut self) -> Commit {
        self.last += 1;
        Commit { witness: self.row, number: self.last }
    }
}

impl Commit {
    /// Writes down, within the transaction, that it is committed.
    pub(super) async fn note(self, tx: &Tx) -> Result<(), StoreError> {
        commits::Entity::update_many()
            .col_expr(commits::Column::Number, Expr::val(self.number))
            .filter(Expr::col(commits::Column::Witness).eq(self.witness.to_vec()))
            .exec(tx)
            .await?;
        Ok(())
    }

    /// What became of it, asked in a transaction that began later.
    pub(super) async fn verdict(self, tx: &Tx) -> Result<Verdict, StoreError> {
        let row = commits::Entity::find_by_id(self.witness.to_vec())
            .lock_with_behavior(LockType::Update, LockBehavior::Nowait)
            .one(tx)
            .await;
        match row.map_err(StoreError::from) {
            Ok(Some(row)) if row.number >= self.number => Ok(Verdict::Committed),
            Ok(_) => Ok(Verdict::Undone),
            Err(error) if error.is_answer() => Ok(Verdict::InBalance),
            Err(error) => Err(error),
        }
    }
}

/// Forgets the rows of processes that are gone.
pub(super) async fn forget_old(tx: &Tx, now: i64) -> Result<(), StoreError> {
    commits::Entity::delete_many()
        .filter(commits::Column::BegunAt.lt(now - KEPT * 1_000_000))
        .exec(tx)
        .await?;
    Ok(())
}
