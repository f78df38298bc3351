//! How each database is opened: what its pools hold and what every connection of it is told first.
//!
//! The defaults of the drivers are wrong for us in many places; each line here that departs from one says why.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sea_orm::sqlx::mysql::MySqlConnection;
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, AssertSqlSafe, Connection as _, Executor};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbBackend, DbErr, RuntimeErr};
use tokio::time::timeout;

use super::StoreError;

/// How long SQLite itself waits for others that write; who wants to wait longer asks again, and can stop at any time.
const BUSY: Duration = Duration::from_secs(1);
/// How long the first connection may wait for another process that makes SQLite's file.
const FIRST: Duration = Duration::from_secs(10);
/// How long one waits for a connection of a pool.
const ACQUIRE: Duration = Duration::from_secs(2);
/// A connection that sat idle for longer may be dead, as after a restart of the server; it is pinged before use.
const IDLE: Duration = Duration::from_secs(1);
/// How long its answer may take at most before another connection takes its place; the driver sets neither TCP
/// keep-alive nor a time-out on its sockets, and gives no access to them.
const PING: Duration = Duration::from_secs(1);

/// When SQLite calls a commit done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is on the disk: acknowledged survives a power cut.
    #[default]
    Full,
    /// When the system has it: acknowledged survives the end of the process.
    Normal,
}

/// Which database, and how.
#[derive(Clone)]
pub struct Options {
    /// `sqlite:FILE`, `postgres://…` or `mysql://…`; may hold a password.
    pub url: String,
    /// When SQLite calls a commit done.
    pub durability: Durability,
    /// Connections for reading; unset takes what suits the database.
    pub readers: Option<u32>,
    /// How long a transaction may take, the wait for its turn included.
    pub deadline: Duration,
}

impl Options {
    /// The defaults, for the database at this address.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            durability: Durability::default(),
            readers: None,
            deadline: Duration::from_secs(5),
        }
    }
}

/// Says nothing of the address, which may hold a password.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("durability", &self.durability)
            .field("readers", &self.readers)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Opens pools of one database.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    backend: DbBackend,
    options: Options,
    file: Option<PathBuf>,
}

/// What a pool is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Everybody reads; pools of their own, so that history cannot starve the writer.
    Read,
    /// Transactions, one at a time.
    Write,
    /// The schema: one connection that may take its time.
    Migrate,
}

impl Connector {
    /// Reads the address; nothing is opened yet.
    pub(super) fn new(options: &Options) -> Result<Self, StoreError> {
        let mut options = options.clone();
        for (alias, name) in [("postgresql:", "postgres:"), ("mariadb:", "mysql:")] {
            if let Some(rest) = options.url.strip_prefix(alias) {
                options.url = format!("{name}{rest}");
            }
        }
        let backend = [DbBackend::Sqlite, DbBackend::Postgres, DbBackend::MySql]
            .into_iter()
            .find(|backend| backend.is_prefix_of(&options.url))
            .ok_or_else(|| {
                StoreError::Address(
                    "`database.url` must begin with `sqlite:`, `postgres://` or `mysql://`".into(),
                )
            })?;
        let file = match backend {
            DbBackend::Sqlite => Some(sqlite_file(&options.url)?),
            _ => None,
        };
        Ok(Self { backend, options, file })
    }

    /// Which of the three it is.
    pub(super) fn backend(&self) -> DbBackend {
        self.backend
    }

    /// SQLite's file.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The options it was made with.
    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// One connection that may take its time.
    pub(super) async fn migrator(&self) -> Result<DatabaseConnection, StoreError> {
        self.open(Purpose::Migrate, &self.probe()).await
    }

    /// Connects, and says clearly what is wrong if that fails.
    pub(super) async fn open(
        &self,
        purpose: Purpose,
        probe: &Probe,
    ) -> Result<DatabaseConnection, StoreError> {
        let connect = self.connect_options(purpose, probe);
        match retry_busy(|| Database::connect(connect.clone())).await {
            Ok(pool) => Ok(pool),
            // The pool has only waited; what it waited for says the server itself.
            Err(error) if has_waited(&error) => {
                let reason = timeout(ACQUIRE, self.try_directly()).await;
                Err(reason.ok().and_then(Result::err).unwrap_or(error).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The same connections, each made when it is first needed.
    pub(super) async fn prepare(
        &self,
        purpose: Purpose,
        probe: &Probe,
    ) -> Result<DatabaseConnection, StoreError> {
        let mut connect = self.connect_options(purpose, probe);
        connect.connect_lazy(true).min_connections(0);
        Ok(Database::connect(connect).await?)
    }

    /// What asks this database's idle connections for a sign of life.
    pub(super) fn probe(&self) -> Probe {
        Probe { limit: PING.min(self.options.deadline / 4), failed: Arc::default() }
    }

    fn connect_options(&self, purpose: Purpose, probe: &Probe) -> ConnectOptions {
        let mut connect = ConnectOptions::new(self.options.url.clone());
        connect
            // The drivers log every statement at INFO, and would wait 30 s for a connection.
            .sqlx_logging(false)
            .record_stmt_in_spans(false)
            .acquire_timeout(ACQUIRE)
            // A ping before each statement doubles the way.
            .test_before_acquire(false);
        if let Some(file) = self.file().filter(|_| purpose != Purpose::Read) {
            make_private(file);
        }
        match self.backend {
            DbBackend::Sqlite => self.tune_sqlite(&mut connect, purpose),
            DbBackend::Postgres => self.tune_postgres(&mut connect, purpose, probe),
            _ => self.tune_mysql(&mut connect, purpose, probe),
        }
        connect
    }

    /// Connects without a pool, which would try again until its time is over.
    async fn try_directly(&self) -> Result<(), DbErr> {
        let url = &self.options.url;
        let tried = match self.backend {
            DbBackend::Postgres => PgConnection::connect(url).await.map(drop),
            DbBackend::MySql => MySqlConnection::connect(url).await.map(drop),
            _ => Ok(()),
        };
        tried.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(error.into())))
    }

    /// How long the server lets a statement run or wait for a lock: a little less than we wait for it, so that one that
    /// is merely slow ends in an answer and keeps its connection.
    fn patience_of_statements(&self) -> Duration {
        self.options.deadline * 9 / 10
    }

    fn pool(&self, connect: &mut ConnectOptions, purpose: Purpose, write: u32, read: u32) {
        let size = match purpose {
            Purpose::Read => self.options.readers.unwrap_or(read).max(1),
            Purpose::Write => write,
            Purpose::Migrate => 1,
        };
        connect.max_connections(size).min_connections(u32::from(purpose != Purpose::Read));
    }

    fn tune_sqlite(&self, connect: &mut ConnectOptions, purpose: Purpose) {
        // One writer: more would only wait for each other in the busy handler.
        self.pool(connect, purpose, 1, 4);
        // Never exchanged by the pool, which knows nothing of our own BEGIN and COMMIT.
        connect.idle_timeout(None).max_lifetime(None);
        if purpose != Purpose::Read {
            // The first connection may have to wait for another process that makes the file.
            connect.acquire_timeout(FIRST);
        }
        let synchronous = match self.options.durability {
            Durability::Full => SqliteSynchronous::Full,
            Durability::Normal => SqliteSynchronous::Normal,
        };
        connect.map_sqlx_sqlite_opts(move |options| {
            let options =
                options.foreign_keys(true).busy_timeout(BUSY).pragma("cache_size", "-65536");
            if purpose == Purpose::Read {
                return options.read_only(true);
            }
            options
                .create_if_missing(true)
                // The driver leaves the journal as it is, and readers would block the writer.
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(synchronous)
                // The default of 1,000 pages writes the same pages back too often.
                .pragma("wal_autocheckpoint", "4000")
        });
    }

    fn tune_postgres(&self, connect: &mut ConnectOptions, purpose: Purpose, probe: &Probe) {
        self.pool(connect, purpose, 2, 8);
        let probe = probe.clone();
        connect.map_sqlx_postgres_before_acquire(move |connection, so_far| {
            Box::pin(probe.clone().ask(connection, so_far.idle_for))
        });
        connect.set_application_name("klatsch");
        if purpose == Purpose::Migrate {
            connect.idle_timeout(None).max_lifetime(None);
            return;
        }
        let patience = self.patience_of_statements().as_millis().to_string();
        // A node that vanished must not keep its locks.
        let idle = (2 * self.options.deadline).max(Duration::from_secs(10)).as_millis().to_string();
        connect.map_sqlx_postgres_opts(move |options| {
            let options = options.options([
                ("statement_timeout", patience.as_str()),
                ("lock_timeout", patience.as_str()),
                ("idle_in_transaction_session_timeout", idle.as_str()),
            ]);
            if purpose == Purpose::Write {
                return options;
            }
            options.options([
                ("default_transaction_read_only", "on"),
                // After five uses a cached plan may turn generic, and a page of history into a scan of seconds.
                ("plan_cache_mode", "force_custom_plan"),
            ])
        });
    }

    fn tune_mysql(&self, connect: &mut ConnectOptions, purpose: Purpose, probe: &Probe) {
        self.pool(connect, purpose, 2, 8);
        let probe = probe.clone();
        connect.map_sqlx_mysql_before_acquire(move |connection, so_far| {
            Box::pin(probe.clone().ask(connection, so_far.idle_for))
        });
        if purpose == Purpose::Migrate {
            connect.idle_timeout(None).max_lifetime(None);
        }
        connect.map_sqlx_mysql_opts(|options| {
            options
                .charset("utf8mb4")
                // A full cache closes statements by packets that nobody answers, and each of them costs 40 ms of
                // delayed acknowledgement, as the driver does not set TCP_NODELAY.
                .statement_cache_capacity(4096)
        });
        let patience = self.patience_of_statements();
        connect.map_sqlx_mysql_pool_opts(move |pool| {
            pool.after_connect(move |connection, _| {
                Box::pin(greet_mysql(connection, purpose, patience))
            })
        });
    }
}

/// Asks connections that sat idle whether they are still alive.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    limit: Duration,
    failed: Arc<AtomicBool>,
}

impl Probe {
    /// Whether one was silent since this was asked last; most likely all of them are.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.swap(false, Ordering::AcqRel)
    }

    async fn ask<C: sqlx::Connection>(
        self,
        connection: &mut C,
        idle: Duration,
    ) -> Result<bool, sqlx::Error> {
        if idle >= IDLE {
            let answered = timeout(self.limit, connection.ping()).await;
            answered.map_err(|_| {
                self.failed.store(true, Ordering::Release);
                sqlx::Error::PoolTimedOut
            })??;
        }
        Ok(true)
    }
}

/// What a fresh connection to MySQL or MariaDB is told.
async fn greet_mysql(
    connection: &mut MySqlConnection,
    purpose: Purpose,
    patience: Duration,
) -> Result<(), sqlx::Error> {
    // A key that is looked up after the wait for a lock must be seen: no snapshot from before it.
    let mut words = vec!["SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned()];
    if purpose != Purpose::Migrate {
        let seconds = patience.as_secs().max(1);
        words.push(format!("SET SESSION innodb_lock_wait_timeout = {seconds}"));
        // The two servers name it differently; each reads its own comment.
        words.push(format!(
            "SET SESSION /*M! max_statement_time = {} */ /*!50708 max_execution_time = {} */",
            patience.as_secs_f64(),
            patience.as_millis()
        ));
    }
    if purpose == Purpose::Read {
        words.push("SET SESSION TRANSACTION READ ONLY".to_owned());
    }
    for statement in words {
        connection.execute(AssertSqlSafe(statement)).await?;
    }
    Ok(())
}

/// Makes a file that only its owner reads, whatever the folder allows, if there is none yet;
/// what SQLite makes beside it gets the same mode. If it cannot be made, opening it says why.
fn make_private(file: &Path) {
    let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
}

fn sqlite_file(url: &str) -> Result<PathBuf, StoreError> {
    let options: SqliteConnectOptions = url
        .parse()
        .map_err(|_| StoreError::Address("`database.url` is no path to an SQLite file".into()))?;
    let file = options.get_filename();
    if url.contains(":memory:") || url.contains("mode=memory") || file.as_os_str().is_empty() {
        return Err(StoreError::Address(
            "`database.url` must name a file: an SQLite database in memory has one connection only"
                .into(),
        ));
    }
    Ok(file.to_owned())
}

/// Several processes that make the same new SQLite file at once exclude each other without waiting.
async fn retry_busy<F>(mut connect: impl FnMut() -> F) -> Result<DatabaseConnection, DbErr>
where
    F: Future<Output = Result<DatabaseConnection, DbErr>>,
{
    const TRIES: u32 = 100;
    for _ in 1..TRIES {
        match connect().await {
            Err(error) if is_busy(&error) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            outcome => return outcome,
        }
    }
    connect().await
}

/// Whether the time for a connection has run out.
pub(super) fn has_waited(error: &DbErr) -> bool {
    let timed_out = |error| matches!(error, &sqlx::Error::PoolTimedOut);
    super::error::driver_error(error).is_some_and(timed_out)
        || matches!(error, DbErr::ConnectionAcquire(_))
}

pub(super) fn is_busy(error: &DbErr) -> bool {
    let Some(sea_orm::sqlx::Error::Database(error)) = super::error::driver_error(error) else {
        return false;
    };
    error.try_downcast_ref::<sea_orm::sqlx::sqlite::SqliteError>().is_some()
        && error
            .code()
            .and_then(|code| code.parse::<i32>().ok())
            .is_some_and(|code| code & 0xff == 5)
}
