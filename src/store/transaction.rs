//! The write turn, and the transactions that happen in it.
//!
//! In one process one transaction writes at a time: what is committed first is published first, and on SQLite the two
//! writing connections never wait for each other. Whoever holds the turn may keep it beyond the commit.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sea_orm::entity::prelude::async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, Statement, TransactionTrait,
};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout_at};

use super::StoreError;
use super::connect::{Connector, Purpose};
use super::error::{is_connection_lost, is_transient};
use super::pool::{Pool, discard};
use super::witness::{Commit, Verdict, Witness, forget_old};
use crate::domain::Timestamp;

/// Pauses between attempts on a database that is away.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// They double up to this.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The connections that write; guarded by the turn.
pub(super) struct Writer {
    pool: Pool,
    witness: Witness,
}

impl Writer {
    pub(super) async fn open(connector: Connector) -> Result<Self, StoreError> {
        let pool = Pool::open(connector, Purpose::Write).await?;
        Ok(Self { pool, witness: Witness::new() })
    }

    /// Moves SQLite's log into its file, so that the file alone is everything.
    pub(super) async fn checkpoint(&self) {
        if self.pool.backend() == DbBackend::Sqlite {
            // Read first: a connection that made the file and was never used waits for itself otherwise.
            let words = "SELECT count(*) FROM sqlite_schema; PRAGMA wal_checkpoint(TRUNCATE)";
            let done = async { Ok(self.pool.usable().await?.execute_unprepared(words).await?) };
            if let Err(error) = done.await.map_err(|error: StoreError| error) {
                tracing::warn!(error = &error as &dyn std::error::Error, "checkpoint failed");
            }
        }
    }

    pub(super) async fn close(&self) -> Result<(), DbErr> {
        self.pool.current().close_by_ref().await
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        let connection = self.pool.usable().await?;
        if self.pool.backend() != DbBackend::Sqlite {
            return match connection.begin().await {
                Ok(transaction) => Ok(Tx(Inner::Pooled(transaction))),
                Err(error) => {
                    // Its siblings are most likely as dead.
                    if is_connection_lost(&error) {
                        discard(&connection);
                    }
                    Err(error.into())
                }
            };
        }
        // Given up from here on, it is the statement that began too late: its connection is not used again.
        let mut own = OwnTransaction { connection, broken: AtomicBool::new(false), ended: false };
        // Not by the driver: after a full disk it loses count of its nested transactions and then says `Ok` to commits
        // that never happen. And not deferred: who reads first and writes then would be refused as busy at once.
        match own.connection.execute_unprepared("BEGIN IMMEDIATE").await {
            Ok(_) => Ok(Tx(Inner::Own(own))),
            Err(error) => {
                // Others write; nothing has begun.
                own.ended = super::connect::is_busy(&error);
                Err(error.into())
            }
        }
    }
}

/// The right to write, until it is dropped.
pub struct WriteTurn {
    writer: OwnedMutexGuard<Writer>,
    deadline: Duration,
}

impl WriteTurn {
    pub(super) fn new(writer: OwnedMutexGuard<Writer>, deadline: Duration) -> Self {
        Self { writer, deadline }
    }

    /// Runs one transaction and keeps the turn, so that what happened can be told before anybody else writes.
    pub async fn write<T>(
        &mut self,
        work: impl AsyncFnOnce(&Tx) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.write_until(Instant::now() + self.deadline, work).await
    }

    /// The same, with the time left for it. Dropped half way, it is rolled back; what lets the time pass costs its
    /// connection, before anything of it is dropped.
    pub(super) async fn write_until<T>(
        &mut self,
        deadline: Instant,
        work: impl AsyncFnOnce(&Tx) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (tx, value) = self.prepare(deadline, work).await?;
        self.commit(tx, deadline).await.map(|()| value)
    }

    /// A transaction in which the work is done, to be committed.
    pub(super) async fn prepare<T>(
        &mut self,
        deadline: Instant,
        work: impl AsyncFnOnce(&Tx) -> Result<T, StoreError>,
    ) -> Result<(Tx, T), StoreError> {
        let mut begun = pin!(async {
            let tx = self.begin(deadline).await?;
            match work(&tx).await {
                Ok(value) => Ok((tx, value)),
                Err(error) => {
                    tx.rollback().await;
                    Err(error)
                }
            }
        });
        let Ok(outcome) = timeout_at(deadline, begun.as_mut()).await else {
            self.discard();
            return Err(StoreError::TooSlow);
        };
        outcome
    }

    /// Commits it; on SQLite as well as elsewhere the answer may be that nobody knows.
    pub(super) async fn commit(&mut self, tx: Tx, deadline: Instant) -> Result<(), StoreError> {
        let mut committed = pin!(tx.commit());
        let Ok(outcome) = timeout_at(deadline, committed.as_mut()).await else {
            self.discard();
            return Err(StoreError::OutcomeUnknown(None));
        };
        outcome
    }

    /// Names the next transaction, for who notes it there and asks for its verdict later.
    pub(super) async fn next_commit(
        &mut self,
        deadline: Instant,
        now: Timestamp,
    ) -> Result<Commit, StoreError> {
        if !self.writer.witness.is_stored() {
            // Another one for each attempt: this one may have been stored without an answer.
            let mut witness = Witness::new();
            let stored = self.write_until(deadline, async |tx| {
                forget_old(tx, now.micros()).await?;
                witness.store(tx, now.micros()).await
            });
            stored.await.map_err(|error| match error {
                StoreError::OutcomeUnknown(_) => StoreError::TooSlow,
                error => error,
            })?;
            witness.keep();
            self.writer.witness = witness;
        }
        Ok(self.writer.witness.next())
    }

    /// The outcome of the last named transaction is unknown: nothing shall wait for its row.
    pub(super) fn renew_witness(&mut self) {
        self.writer.witness = Witness::new();
    }

    /// What became of a transaction whose outcome was unknown.
    pub(super) async fn verdict(
        &mut self,
        commit: Commit,
        deadline: Instant,
    ) -> Result<Verdict, StoreError> {
        let (tx, verdict) = self.prepare(deadline, async |tx| commit.verdict(tx).await).await?;
        // Nothing was written; and it is the answers to commits that do not come.
        let mut ended = pin!(tx.rollback());
        if timeout_at(deadline, ended.as_mut()).await.is_err() {
            self.discard();
        }
        Ok(verdict)
    }

    fn discard(&self) {
        discard(&self.writer.pool.current());
    }

    /// Nothing is done before the transaction has begun, so a database that is away may come back until then.
    async fn begin(&self, deadline: Instant) -> Result<Tx, StoreError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.writer.begin().await {
                Err(error) if error.is_transient() && Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = LONGEST_PAUSE.min(2 * pause);
                }
                outcome => return outcome,
            }
        }
    }
}

/// A transaction under way; statements run on it as on any connection.
pub struct Tx(Inner);

enum Inner {
    /// On SQLite: a connection that nobody else uses, and our own words.
    Own(OwnTransaction),
    /// Elsewhere: the driver's.
    Pooled(DatabaseTransaction),
}

struct OwnTransaction {
    connection: DatabaseConnection,
    /// SQLite rolled back by itself, or may have: what came now would be committed statement by statement.
    broken: AtomicBool,
    ended: bool,
}

impl Drop for OwnTransaction {
    fn drop(&mut self) {
        if !self.ended {
            discard(&self.connection);
        }
    }
}

impl OwnTransaction {
    fn usable(&self) -> Result<&DatabaseConnection, DbErr> {
        if self.broken.load(Ordering::Acquire) {
            return Err(DbErr::Custom("the transaction has failed already".into()));
        }
        Ok(&self.connection)
    }

    fn noted<T>(&self, outcome: Result<T, DbErr>) -> Result<T, DbErr> {
        if let Err(error) = &outcome
            && is_transient(error)
        {
            self.broken.store(true, Ordering::Release);
        }
        outcome
    }

    async fn commit(mut self) -> Result<(), StoreError> {
        let outcome = self.usable()?.execute_unprepared("COMMIT").await;
        match outcome {
            Ok(_) => {
                self.ended = true;
                Ok(())
            }
            // Still open after `busy`, gone after `full`; its connection is exchanged either way.
            Err(error) if is_connection_lost(&error) => {
                Err(StoreError::OutcomeUnknown(Some(error)))
            }
            Err(error) => {
                self.rollback().await;
                Err(error.into())
            }
        }
    }

    async fn rollback(mut self) {
        // Fails if SQLite has rolled back by itself; then the connection is exchanged.
        self.ended = self.connection.execute_unprepared("ROLLBACK").await.is_ok();
    }
}

impl Tx {
    async fn commit(self) -> Result<(), StoreError> {
        match self.0 {
            Inner::Own(transaction) => transaction.commit().await,
            Inner::Pooled(transaction) => transaction.commit().await.map_err(|error| {
                if is_connection_lost(&error) {
                    StoreError::OutcomeUnknown(Some(error))
                } else {
                    error.into()
                }
            }),
        }
    }

    async fn rollback(self) {
        match self.0 {
            Inner::Own(transaction) => transaction.rollback().await,
            Inner::Pooled(transaction) => {
                if let Err(error) = transaction.rollback().await {
                    tracing::debug!(error = &error as &dyn std::error::Error, "rollback failed");
                }
            }
        }
    }
}

#[async_trait]
impl ConnectionTrait for Tx {
    fn get_database_backend(&self) -> DbBackend {
        match &self.0 {
            Inner::Own(_) => DbBackend::Sqlite,
            Inner::Pooled(transaction) => transaction.get_database_backend(),
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match &self.0 {
            Inner::Own(own) => own.noted(own.usable()?.execute_raw(statement).await),
            Inner::Pooled(transaction) => transaction.execute_raw(statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match &self.0 {
            Inner::Own(own) => own.noted(own.usable()?.execute_unprepared(sql).await),
            Inner::Pooled(transaction) => transaction.execute_unprepared(sql).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match &self.0 {
            Inner::Own(own) => own.noted(own.usable()?.query_one_raw(statement).await),
            Inner::Pooled(transaction) => transaction.query_one_raw(statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match &self.0 {
            Inner::Own(own) => own.noted(own.usable()?.query_all_raw(statement).await),
            Inner::Pooled(transaction) => transaction.query_all_raw(statement).await,
        }
    }
}
