//! Brings the schema up to date, under a lock, and what counts in it.
//!
//! Several processes may start at once: the migrations take no lock by themselves, so one is held on the connection
//! that runs them. On SQLite the lock is a transaction around all of them, so that they happen together or not at all.

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};

use super::StoreError;
use super::connect::Connector;
use super::counters::{MESSAGES, SEQUENCE};

/// The lock of PostgreSQL; any number that others do not use.
const LOCK: i64 = 0x006b_6c61_7473_6368;

/// Applies what is missing and raises what counts too low.
pub(super) async fn migrate(connector: &Connector) -> Result<(), StoreError> {
    let db = connector.migrator().await?;
    let outcome = migrate_on(&db).await;
    // Closing lets go of the lock, whatever happened.
    let closed = db.close().await;
    outcome?;
    Ok(closed?)
}

/// The migrations that this program knows and the database has not had.
pub(super) async fn pending(db: &DatabaseConnection) -> Result<Vec<String>, StoreError> {
    let pending = Migrator::get_pending_migrations_read_only(db).await.map_err(newer)?;
    Ok(pending.iter().map(|migration| migration.name().to_owned()).collect())
}

async fn migrate_on(db: &DatabaseConnection) -> Result<(), StoreError> {
    lock(db).await?;
    let outcome = async {
        refuse_newer(db).await?;
        Migrator::up(db, None).await?;
        raise_heads(db).await?;
        raise_counter(db).await
    }
    .await;
    if db.get_database_backend() == DbBackend::Sqlite {
        let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
        db.execute_unprepared(end).await?;
    }
    outcome
}

async fn lock(db: &DatabaseConnection) -> Result<(), StoreError> {
    match db.get_database_backend() {
        DbBackend::Sqlite => {
            db.execute_unprepared("BEGIN EXCLUSIVE").await?;
        }
        DbBackend::Postgres => {
            db.execute_unprepared(&format!("SELECT pg_advisory_lock({LOCK})")).await?;
        }
        backend => {
            let row = db
                .query_one_raw(Statement::from_string(
                    backend,
                    "SELECT GET_LOCK(CONCAT('klatsch.', LEFT(DATABASE(), 50)), 600) AS got",
                ))
                .await?;
            let got: Option<i64> = row.map(|row| row.try_get("", "got")).transpose()?.flatten();
            if got != Some(1) {
                let still = "another process is still migrating the database";
                return Err(StoreError::Unavailable(DbErr::Custom(still.into())));
            }
        }
    }
    Ok(())
}

async fn refuse_newer(db: &DatabaseConnection) -> Result<(), StoreError> {
    let known: Vec<_> =
        Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    let applied = Migrator::get_migration_models(db).await?;
    match applied.into_iter().find(|row| !known.contains(&row.version)) {
        Some(row) => Err(StoreError::Newer(row.version)),
        None => Ok(()),
    }
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
async fn raise_heads(db: &DatabaseConnection) -> Result<(), StoreError> {
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
    db: &DatabaseConnection,
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

async fn raise_counter(db: &DatabaseConnection) -> Result<(), StoreError> {
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
