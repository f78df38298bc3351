//! Brings the schema up to date, under a lock, and what counts in it.
//!
//! Several processes may start at once: the migrations take no lock by themselves, so one is held on the connection
//! that runs them, and waited for within a limit. On SQLite and PostgreSQL it ends with a transaction around all of
//! them.

use std::time::Duration;

use migration::{IntoSchemaManagerConnection, Migrator, MigratorTrait};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, SqlxError, Statement, TransactionTrait,
};
use tokio::time::{Instant, sleep};

use super::StoreError;
use super::connect::{Connector, is_busy};
use super::counters::{MESSAGES, SEQUENCE};
use super::error::driver_error;

/// The lock of PostgreSQL; any number that others do not use.
const LOCK: i64 = 0x006b_6c61_7473_6368;
/// How many times as long as for a change one waits for others that migrate.
const PATIENCE: u32 = 12;
/// Between two attempts to get the lock; the databases themselves wait a second in each.
const PAUSE: Duration = Duration::from_millis(100);

/// Applies what is missing and raises what counts too low; the names of what was applied.
pub(super) async fn migrate(connector: &Connector) -> Result<Vec<String>, StoreError> {
    let db = connector.migrator().await?;
    let outcome = migrate_on(&db, connector.options().deadline * PATIENCE).await;
    // Closing lets go of the lock, whatever happened.
    let closed = db.close().await;
    let applied = outcome?;
    closed?;
    Ok(applied)
}

/// The migrations that this program knows and the database has not had.
pub(super) async fn pending(db: &DatabaseConnection) -> Result<Vec<String>, StoreError> {
    let pending = Migrator::get_pending_migrations_read_only(db).await.map_err(newer)?;
    Ok(pending.iter().map(|migration| migration.name().to_owned()).collect())
}

async fn migrate_on(
    db: &DatabaseConnection,
    patience: Duration,
) -> Result<Vec<String>, StoreError> {
    let begun = Instant::now();
    let mut told = false;
    loop {
        let held = match db.get_database_backend() {
            DbBackend::Sqlite => migrate_sqlite(db).await?,
            DbBackend::Postgres => migrate_postgres(db).await?,
            _ => migrate_mysql(db).await?,
        };
        let holder = match held {
            Held::ByUs(applied) => return Ok(applied),
            Held::ByOthers(holder) => holder,
        };
        if begun.elapsed() >= patience {
            return Err(StoreError::Locked { seconds: patience.as_secs(), holder });
        }
        if !std::mem::replace(&mut told, true) {
            let seconds = patience.as_secs();
            tracing::warn!(holder, "others hold the lock of migrations; waiting {seconds} s");
        }
        sleep(PAUSE).await;
    }
}

/// Who had the lock.
enum Held {
    /// This was applied.
    ByUs(Vec<String>),
    /// What is known of them.
    ByOthers(String),
}

/// All migrations in one transaction, so that they happen together or not at all.
async fn migrate_sqlite(db: &DatabaseConnection) -> Result<Held, StoreError> {
    match db.execute_unprepared("BEGIN EXCLUSIVE").await {
        Err(error) if is_busy(&error) => return Ok(Held::ByOthers(String::new())),
        begun => begun?,
    };
    let outcome = bring_up_to_date(db).await;
    let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
    db.execute_unprepared(end).await?;
    outcome.map(Held::ByUs)
}

/// Everything in one transaction, the lock as well: a pooler may give the next one to another connection, and a lock
/// of the session would stay with the first.
async fn migrate_postgres(db: &DatabaseConnection) -> Result<Held, StoreError> {
    let tx = db.begin().await?;
    let lock = format!(
        "SET LOCAL lock_timeout = '1s'; \
         DO $$ DECLARE holder integer; BEGIN PERFORM pg_advisory_xact_lock({LOCK}); \
         EXCEPTION WHEN lock_not_available THEN \
         SELECT pid INTO holder FROM pg_locks WHERE locktype = 'advisory' AND granted \
         AND objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = {LOCK} LIMIT 1; \
         RAISE EXCEPTION USING ERRCODE = '55P03', MESSAGE = coalesce(holder::text, ''); END $$; \
         SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; \
         SET LOCAL idle_in_transaction_session_timeout = 0; \
         DEALLOCATE ALL"
    );
    if let Err(error) = tx.execute_unprepared(&lock).await {
        let Some(SqlxError::Database(reason)) = driver_error(&error) else {
            return Err(error.into());
        };
        if reason.code().as_deref() != Some("55P03") {
            return Err(error.into());
        }
        let pid = reason.message().to_owned();
        tx.rollback().await?;
        let holder = if pid.is_empty() { pid } else { format!(" (session {pid} of PostgreSQL)") };
        return Ok(Held::ByOthers(holder));
    }
    let applied = bring_up_to_date(&tx).await?;
    tx.commit().await?;
    Ok(Held::ByUs(applied))
}

async fn migrate_mysql(db: &DatabaseConnection) -> Result<Held, StoreError> {
    let lock = "SELECT GET_LOCK(CONCAT('klatsch.', LEFT(DATABASE(), 50)), 1) AS got";
    let row = db.query_one_raw(Statement::from_string(DbBackend::MySql, lock)).await?;
    let got: Option<i64> = row.map(|row| row.try_get("", "got")).transpose()?.flatten();
    if got != Some(1) {
        return Ok(Held::ByOthers(String::new()));
    }
    bring_up_to_date(db).await.map(Held::ByUs)
}

async fn bring_up_to_date<'c, C>(db: &'c C) -> Result<Vec<String>, StoreError>
where
    C: ConnectionTrait,
    &'c C: IntoSchemaManagerConnection<'c>,
{
    let missing = list_missing(db).await?;
    Migrator::up(db, None).await?;
    raise_heads(db).await?;
    raise_counter(db).await?;
    Ok(missing)
}

/// What is to be applied; refuses what a newer program has made.
async fn list_missing(db: &impl ConnectionTrait) -> Result<Vec<String>, StoreError> {
    let known = Migrator::migrations();
    let known = known.iter().map(|migration| migration.name().to_owned());
    let mut missing: Vec<_> = known.collect();
    for row in Migrator::get_migration_models(db).await? {
        let Some(place) = missing.iter().position(|name| *name == row.version) else {
            return Err(StoreError::Newer(row.version));
        };
        missing.remove(place);
    }
    Ok(missing)
}

/// The library says so in a sentence of its own.
fn newer(error: DbErr) -> StoreError {
    match error {
        DbErr::Custom(sentence) => {
            let name = sentence.split('\'').nth(1).unwrap_or(&sentence);
            StoreError::Newer(name.to_owned())
        }
        error => error.into(),
    }
}

/// After a restore that was not of one moment, numbers must not be given twice.
async fn raise_heads(db: &impl ConnectionTrait) -> Result<(), StoreError> {
    db.execute_unprepared(
        "INSERT INTO conversation_heads (conversation_id, last_seq, last_revision) \
         SELECT c.id, 0, 0 FROM conversations c \
         LEFT JOIN conversation_heads h ON h.conversation_id = c.id WHERE h.conversation_id IS NULL",
    )
    .await?;
    let behind = "SELECT h.conversation_id AS conversation, h.last_seq AS seq, h.last_revision AS revision, \
         (SELECT MAX(m.seq) FROM messages m WHERE m.conversation_id = h.conversation_id) AS top_seq, \
         (SELECT MAX(c.revision) FROM message_changes c WHERE c.conversation_id = h.conversation_id) AS top_change \
         FROM conversation_heads h";
    let behind = format!(
        "SELECT conversation, seq, revision, top_seq, top_change FROM ({behind}) heads \
         WHERE top_seq > seq OR top_seq > revision OR top_change > revision"
    );
    let backend = db.get_database_backend();
    for row in db.query_all_raw(Statement::from_string(backend, behind)).await? {
        let conversation: i64 = row.try_get("", "conversation")?;
        let top = |column| row.try_get::<Option<i64>>("", column).map(Option::unwrap_or_default);
        let seq = top("seq")?.max(top("top_seq")?);
        let revision = top("revision")?.max(top("top_change")?).max(seq);
        tracing::warn!(conversation, seq, revision, "the head of a conversation was behind");
        raise(db, conversation, seq, revision).await?;
    }
    Ok(())
}

async fn raise(
    db: &impl ConnectionTrait,
    conversation: i64,
    seq: i64,
    revision: i64,
) -> Result<(), StoreError> {
    use entity::conversation_heads::{Column, Entity};
    use sea_orm::sea_query::{Expr, ExprTrait};
    use sea_orm::{EntityTrait, QueryFilter};
    Entity::update_many()
        .col_expr(Column::LastSeq, Expr::val(seq))
        .col_expr(Column::LastRevision, Expr::val(revision))
        .filter(Expr::col(Column::ConversationId).eq(conversation))
        // Another node may have gone on meanwhile.
        .filter(Expr::col(Column::LastSeq).lte(seq))
        .filter(Expr::col(Column::LastRevision).lte(revision))
        .exec(db)
        .await?;
    Ok(())
}

async fn raise_counter(db: &impl ConnectionTrait) -> Result<(), StoreError> {
    let backend = db.get_database_backend();
    let top = "SELECT MAX(top) AS top FROM (SELECT MAX(id) AS top FROM messages \
               UNION ALL SELECT MAX(shown) AS top FROM message_changes) tops";
    let row = db.query_one_raw(Statement::from_string(backend, top)).await?;
    let Some(top) = row.map(|row| row.try_get::<Option<i64>>("", "top")).transpose()?.flatten()
    else {
        return Ok(());
    };
    let raise = if backend == DbBackend::Postgres {
        format!(
            "SELECT setval('{SEQUENCE}', {top}) \
             WHERE (SELECT last_value FROM {SEQUENCE}) < {top}"
        )
    } else {
        format!("UPDATE counters SET value = {top} WHERE name = '{MESSAGES}' AND value < {top}")
    };
    db.execute_unprepared(&raise).await?;
    Ok(())
}
