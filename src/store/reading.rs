//! Reading under a limit: no statement is waited for longer than a change may take.
//!
//! Each statement stands alone and changes nothing, so one that met a dead connection is tried once more on another. A
//! statement that let the limit pass costs its pool. While the database is away, one reader waits for it in full, and
//! the others are told soon: they must not queue up behind each other, five seconds each.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sea_orm::entity::prelude::async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr,
    Statement,
};
use tokio::time::{Instant, timeout_at};

use super::StoreError;
use super::connect::{Connector, Purpose, has_waited};
use super::error::{is_connection_lost, is_pool_closed};
use super::pool::{Pool, discard};
use crate::telemetry;

/// How long a reader waits for a database that is known to be away.
const GLANCE: Duration = Duration::from_millis(500);
/// For how long nothing may have been read before a wait for a connection counts against all of them: in a busy pool
/// others get their answers meanwhile.
const QUIET: Duration = Duration::from_secs(1);

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, DbErr>> + Send>>;

/// What everybody reads from.
pub struct Reads {
    pool: Pool,
    patience: Duration,
    /// When something was read last.
    answered: Mutex<Instant>,
    /// The last statement was given up.
    away: AtomicBool,
    /// Somebody waits for the database in full.
    waiting: AtomicBool,
}

impl std::fmt::Debug for Reads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reads").field("away", &self.away).finish_non_exhaustive()
    }
}

impl Reads {
    pub(super) async fn open(connector: &Connector) -> Result<Self, StoreError> {
        let patience = connector.options().deadline;
        let pool = Pool::open(connector.clone(), Purpose::Read).await?;
        Ok(Self {
            pool,
            patience,
            answered: Mutex::new(Instant::now()),
            away: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
        })
    }

    /// The connections themselves, for who keeps a limit of its own.
    pub(super) fn connections(&self) -> DatabaseConnection {
        self.pool.current()
    }

    pub(super) async fn close(&self) -> Result<(), DbErr> {
        self.pool.current().close_by_ref().await
    }

    async fn limited<T>(
        &self,
        ask: impl Fn(DatabaseConnection) -> Answer<T> + Send,
    ) -> Result<T, DbErr> {
        telemetry::count_read();
        let watch = self.watch();
        let deadline = Instant::now() + watch.patience;
        let mut again = true;
        loop {
            let connections = match timeout_at(deadline, self.pool.usable()).await {
                Ok(Ok(connections)) => connections,
                Ok(Err(error)) => return Err(conn_err(&error.to_string())),
                Err(_) => return Err(self.gave_up()),
            };
            let mut answer = ask(connections.clone());
            match timeout_at(deadline, &mut answer).await {
                // Before it is dropped.
                Err(_) => {
                    discard(&connections);
                    return Err(self.gave_up());
                }
                // Another reader has discarded them.
                Ok(Err(error)) if is_pool_closed(&error) && Instant::now() < deadline => {}
                Ok(Err(error)) if has_waited(&error) => {
                    if self.answered.lock().elapsed() > QUIET {
                        discard(&connections);
                        self.away.store(true, Ordering::Release);
                    }
                    return Err(error);
                }
                Ok(Err(error)) if is_connection_lost(&error) => {
                    // Its siblings are most likely dead as well.
                    if self.pool.backend() != DbBackend::Sqlite {
                        discard(&connections);
                    }
                    if !std::mem::take(&mut again) {
                        return Err(error);
                    }
                }
                Ok(outcome) => {
                    self.away.store(false, Ordering::Release);
                    *self.answered.lock() = Instant::now();
                    return outcome;
                }
            }
        }
    }

    fn gave_up(&self) -> DbErr {
        if !self.away.swap(true, Ordering::AcqRel) {
            tracing::warn!("the database does not answer");
        }
        conn_err("the database did not answer in time")
    }

    /// How long to wait now.
    fn watch(&self) -> Watch<'_> {
        let full = !self.away.load(Ordering::Acquire);
        let in_turn = !full && !self.waiting.swap(true, Ordering::AcqRel);
        let patience = if full || in_turn { self.patience } else { self.patience.min(GLANCE) };
        Watch { waiting: in_turn.then_some(&self.waiting), patience }
    }
}

/// A reader's turn to wait in full, if it has it.
struct Watch<'a> {
    waiting: Option<&'a AtomicBool>,
    patience: Duration,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting {
            waiting.store(false, Ordering::Release);
        }
    }
}

fn conn_err(sentence: &str) -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(sentence.to_owned()))
}

#[async_trait]
impl ConnectionTrait for Reads {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.limited(|db| {
            let statement = statement.clone();
            Box::pin(async move { db.execute_raw(statement).await })
        })
        .await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let sql = sql.to_owned();
        self.limited(move |db| {
            let sql = sql.clone();
            Box::pin(async move { db.execute_unprepared(&sql).await })
        })
        .await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.limited(|db| {
            let statement = statement.clone();
            Box::pin(async move { db.query_one_raw(statement).await })
        })
        .await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.limited(|db| {
            let statement = statement.clone();
            Box::pin(async move { db.query_all_raw(statement).await })
        })
        .await
    }
}
