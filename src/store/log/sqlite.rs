//! One batch into SQLite, the lean way: a thread that owns a connection, and statements that are prepared once.
//!
//! The connection is not the one of other transactions; the write turn keeps them apart. Whatever goes wrong, the
//! connection is brought back out of its transaction or replaced before the next batch.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Statement, params};
use sea_orm::{DbErr, RuntimeErr};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::batch::{Batch, Cursor, Mark, NewMedia, NewRow, Outcome, Placed};
use super::permits::look_in_sqlite;
use super::plan::{Head, Key, Numbered, Plan, conversations};
use crate::store::counters::MESSAGES;
use crate::store::error::{constraint_of_columns, is_transient_sqlite};
use crate::store::witness::Commit;
use crate::store::{Durability, StoreError};

const INSERT: &str = "INSERT INTO messages (id, conversation_id, seq, revision, shown, sender, link_id, \
    client_key, kind, text, smile_id, media_count, awaited, created_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

const SET_HEAD: &str =
    "UPDATE conversation_heads SET last_seq = ?2, last_revision = ?3 WHERE conversation_id = ?1";

/// What the thread is asked to store.
pub(super) struct Job {
    pub(super) batch: Arc<Batch>,
    /// Which of the rows.
    pub(super) picks: Vec<usize>,
    pub(super) marks: bool,
    pub(super) look_up: bool,
    /// Until when to wait for others that write.
    pub(super) deadline: Instant,
    /// What names the transaction, if it has messages.
    pub(super) commit: Option<Commit>,
}

/// What came of it; the outcomes are those of the attempt, also if the commit failed.
pub(super) type Attempt = (Result<(), StoreError>, Vec<Outcome>);

/// The way to the thread; it ends when this is dropped.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    jobs: mpsc::Sender<(Job, oneshot::Sender<Attempt>)>,
}

impl Lane {
    /// Opens the connection and starts the thread.
    pub(super) fn open(file: &Path, durability: Durability) -> Result<Self, StoreError> {
        let mut desk = Desk::open(file.to_owned(), durability)?;
        let (jobs, mut inbox) = mpsc::channel::<(Job, oneshot::Sender<Attempt>)>(4);
        std::thread::Builder::new()
            .name("klatsch-log".into())
            .spawn(move || {
                while let Some((job, answer)) = inbox.blocking_recv() {
                    let attempt = desk.attempt(&job);
                    // The batch is given back before the answer, so that its owner is alone with it.
                    drop(job);
                    let _ = answer.send(attempt);
                }
            })
            .map_err(|error| unavailable(&error))?;
        Ok(Self { jobs })
    }

    /// Tries to store; nothing if the thread is no more.
    pub(super) async fn attempt(&self, job: Job) -> Option<Attempt> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send((job, answer)).await.ok()?;
        answered.await.ok()
    }
}

/// The connection and how to open another.
struct Desk {
    file: PathBuf,
    durability: Durability,
    connection: Connection,
}

impl Desk {
    fn open(file: PathBuf, durability: Durability) -> Result<Self, StoreError> {
        let connection = connect(&file, durability)?;
        Ok(Self { file, durability, connection })
    }

    fn attempt(&mut self, job: &Job) -> Attempt {
        let mut outcomes = Vec::new();
        let stored = self.transact(job, &mut outcomes);
        if stored.is_err() && !self.connection.is_autocommit() {
            // After a full disk SQLite has rolled back by itself, and this is not reached.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        (stored, outcomes)
    }

    fn transact(&mut self, job: &Job, outcomes: &mut Vec<Outcome>) -> Result<(), StoreError> {
        if !self.connection.is_autocommit() {
            self.connection = connect(&self.file, self.durability)?;
        }
        let db = &self.connection;
        let rows: Vec<&NewRow> = job.picks.iter().map(|pick| &job.batch.rows[*pick]).collect();
        let left = job.deadline.saturating_duration_since(Instant::now());
        db.busy_timeout(left.max(Duration::from_millis(1))).map_err(fault)?;
        execute(db, "BEGIN IMMEDIATE", [])?;
        *outcomes = insert(db, &rows, job.look_up)?;
        if job.marks {
            advance(db, &job.batch.marks)?;
        }
        if let Some(commit) = job.commit {
            let sql = "UPDATE commits SET number = ?2 WHERE witness = ?1";
            execute(db, sql, params![&commit.witness[..], commit.number])?;
        }
        commit(db)
    }
}

fn commit(db: &Connection) -> Result<(), StoreError> {
    db.execute_batch("COMMIT").map_err(|error| {
        // An error of the disk while committing: the commit may be in the file.
        let unknown = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
        match fault(error) {
            StoreError::Unavailable(source) if unknown => StoreError::OutcomeUnknown(Some(source)),
            error => error,
        }
    })
}

fn connect(file: &Path, durability: Durability) -> Result<Connection, StoreError> {
    let db = Connection::open(file).map_err(fault)?;
    db.busy_timeout(Duration::from_secs(5)).map_err(fault)?;
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    for (pragma, value) in [
        ("journal_mode", "WAL"),
        ("synchronous", synchronous),
        ("foreign_keys", "ON"),
        ("wal_autocheckpoint", "4000"),
        ("cache_size", "-65536"),
    ] {
        db.pragma_update(None, pragma, value).map_err(fault)?;
    }
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

fn execute(db: &Connection, sql: &str, values: impl rusqlite::Params) -> Result<usize, StoreError> {
    db.prepare_cached(sql).and_then(|mut statement| statement.execute(values)).map_err(fault)
}

fn insert(db: &Connection, rows: &[&NewRow], look_up: bool) -> Result<Vec<Outcome>, StoreError> {
    let heads = read_heads(db, rows).map_err(fault)?;
    let known = if look_up { find_known(db, rows).map_err(fault)? } else { HashMap::new() };
    let objections = look_in_sqlite(db, rows).map_err(fault)?;
    let mut plan = Plan::new(rows, &heads, &known, &objections);
    plan.set_ids(draw(db, plan.fresh.len()).map_err(fault)?..);
    // Held for the whole batch: finding it again in the cache for each row would cost as much as binding it.
    let mut insert = db.prepare_cached(INSERT).map_err(fault)?;
    for message in &mut plan.fresh {
        insert_message(&mut insert, message).map_err(fault)?;
        for (position, media) in message.row.medias.iter().enumerate() {
            insert_media(db, message, position, media).map_err(fault)?;
            message.medias.push(db.last_insert_rowid());
        }
    }
    let mut set_head = db.prepare_cached(SET_HEAD).map_err(fault)?;
    for (conversation, head) in &plan.heads {
        set_head.execute(params![conversation, head.seq, head.revision]).map_err(fault)?;
    }
    Ok(plan.outcomes())
}

fn read_heads(db: &Connection, rows: &[&NewRow]) -> rusqlite::Result<BTreeMap<i64, Head>> {
    let mut find = db.prepare_cached(
        "SELECT last_seq, last_revision FROM conversation_heads WHERE conversation_id = ?1",
    )?;
    let mut heads = BTreeMap::new();
    for conversation in conversations(rows) {
        let head = |row: &rusqlite::Row<'_>| Ok(Head { seq: row.get(0)?, revision: row.get(1)? });
        if let Some(head) = find.query_row([conversation], head).optional()? {
            heads.insert(conversation, head);
        }
    }
    Ok(heads)
}

fn find_known(db: &Connection, rows: &[&NewRow]) -> rusqlite::Result<HashMap<Key, Placed>> {
    let mut find = db.prepare_cached(
        "SELECT id, conversation_id, seq, revision, shown, created_at FROM messages \
         WHERE client_key = ?1 AND sender = ?2",
    )?;
    let mut find_medias =
        db.prepare_cached("SELECT id FROM medias WHERE message_id = ?1 ORDER BY position")?;
    let mut known = HashMap::new();
    for row in rows {
        let found = find
            .query_row(params![&row.client_key[..], row.sender], |row| {
                Ok(Placed {
                    id: row.get(0)?,
                    conversation: row.get(1)?,
                    seq: row.get(2)?,
                    revision: row.get(3)?,
                    shown: row.get(4)?,
                    created_at: row.get(5)?,
                    medias: Vec::new(),
                    duplicate: true,
                })
            })
            .optional()?;
        if let Some(mut placed) = found {
            let ids = find_medias.query_map([placed.id], |row| row.get(0))?;
            placed.medias = ids.collect::<Result<_, _>>()?;
            known.insert((row.client_key, row.sender), placed);
        }
    }
    Ok(known)
}

/// The first of `n` numbers.
fn draw(db: &Connection, n: usize) -> rusqlite::Result<i64> {
    let sql = "UPDATE counters SET value = value + ?2 WHERE name = ?1 RETURNING value";
    let n = n as i64;
    let last: i64 = db.prepare_cached(sql)?.query_row(params![MESSAGES, n], |row| row.get(0))?;
    Ok(last - n + 1)
}

fn insert_message(insert: &mut Statement<'_>, message: &Numbered<'_>) -> rusqlite::Result<()> {
    let row = message.row;
    insert.execute(params![
        message.id,
        row.conversation,
        message.seq,
        message.revision,
        message.shown(),
        row.sender,
        row.link,
        &row.client_key[..],
        row.kind,
        row.text,
        row.smile,
        row.medias.len() as i64,
        row.awaited() as i64,
        row.created_at,
    ])?;
    Ok(())
}

fn insert_media(
    db: &Connection,
    message: &Numbered<'_>,
    position: usize,
    media: &NewMedia,
) -> rusqlite::Result<()> {
    let file = media.stored.as_ref();
    db.prepare_cached(
        "INSERT INTO medias (uuid, link_kind, message_id, position, purpose, identifier, filename, \
         extension, directory, mime, declared_mime, size, uploaded_at, created_at) \
         VALUES (?1, 0, ?2, ?3, 'default', ?4, ?5, ?6, '', ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        &media.uuid[..],
        message.id,
        position as i64,
        media.identifier,
        file.map(|file| &file.filename),
        file.map(|file| &file.extension),
        file.and_then(|file| file.mime.as_ref()),
        file.and_then(|file| file.declared_mime.as_ref()),
        file.map(|file| file.size),
        file.map(|file| file.uploaded_at),
        message.row.created_at,
    ])?;
    Ok(())
}

fn advance(db: &Connection, marks: &[Mark]) -> Result<(), StoreError> {
    for mark in marks {
        match mark.to {
            Cursor::Read { shown, seq, at } => execute(
                db,
                "UPDATE members SET read_shown = ?2, read_seq = ?3, read_at = ?4 \
                 WHERE id = ?1 AND live = 1 AND read_shown < ?2",
                params![mark.link, shown, seq, at],
            )?,
            Cursor::Delivered(shown) => execute(
                db,
                "UPDATE members SET delivered_shown = ?2 \
                 WHERE id = ?1 AND live = 1 AND delivered_shown < ?2",
                params![mark.link, shown],
            )?,
            Cursor::Courier(shown) => execute(
                db,
                "UPDATE members SET courier_shown = ?2 \
                 WHERE id = ?1 AND live = 1 AND courier_shown < ?2",
                params![mark.link, shown],
            )?,
        };
    }
    Ok(())
}

fn unavailable(error: &dyn std::error::Error) -> StoreError {
    StoreError::Unavailable(DbErr::Exec(RuntimeErr::Internal(error.to_string())))
}

/// As the other connections would report it.
fn fault(error: rusqlite::Error) -> StoreError {
    let source = DbErr::Exec(RuntimeErr::Internal(error.to_string()));
    let rusqlite::Error::SqliteFailure(code, message) = error else {
        return StoreError::Database(source);
    };
    if is_transient_sqlite(code.extended_code) {
        return StoreError::Unavailable(source);
    }
    let message = message.unwrap_or_default();
    match message.split_once("UNIQUE constraint failed: ") {
        Some((_, columns)) if code.code == ErrorCode::ConstraintViolation => {
            StoreError::Duplicate { constraint: constraint_of_columns(columns), source }
        }
        _ => StoreError::Database(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::{Options, Store};

    const ROOM: &str = "INSERT INTO conversations (id, kind, access, title, description, \
        device_access, created_at, updated_at) VALUES (1, 2, 1, 'Tea', '', FALSE, 0, 0); \
        INSERT INTO conversation_heads VALUES (1, 0, 0); \
        INSERT INTO users (id, email, email_key, username, first_name, last_name, created_at, \
        updated_at, is_active, is_superuser, is_staff, is_employee, balance) \
        VALUES (1, 'ann', 'ann', 'ann', '', '', 0, 0, TRUE, FALSE, FALSE, FALSE, 0); \
        INSERT INTO members (id, conversation_id, user_id, role, live, joined_seq, created_at, \
        updated_at, delivered_shown, read_shown, read_seq, courier_shown) \
        VALUES (1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0)";

    fn job(key: u8, text: &str) -> Job {
        let row = NewRow {
            conversation: 1,
            sender: 1,
            link: Some(1),
            login: None,
            client_key: [key; 16],
            kind: 0,
            text: text.into(),
            smile: None,
            created_at: 0,
            medias: Vec::new(),
            deadline: Instant::now(),
        };
        let batch = Arc::new(Batch { rows: vec![row], marks: Vec::new() });
        let deadline = Instant::now() + Duration::from_secs(5);
        Job { batch, picks: vec![0], marks: false, look_up: false, deadline, commit: None }
    }

    #[tokio::test]
    async fn what_is_committed_after_a_full_disk_is_stored() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/klatsch.db", dir.path().display());
        let store = Store::open(&Options::at(url), Clock::system()).await.unwrap();
        store.migrate().await.unwrap();
        let file = store.file().unwrap();
        let mut desk = Desk::open(file.to_owned(), Durability::Full).unwrap();
        desk.connection.execute_batch(ROOM).unwrap();

        desk.connection.execute_batch("PRAGMA max_page_count = 1").unwrap();
        let (full, _) = desk.attempt(&job(1, &"x".repeat(100_000)));
        assert!(full.as_ref().is_err_and(StoreError::is_transient), "{full:?}");
        desk.connection.execute_batch("PRAGMA max_page_count = 1000000").unwrap();

        let (stored, outcomes) = desk.attempt(&job(1, "there is room again"));
        stored.unwrap();
        assert_eq!(outcomes[0].as_ref().map(|placed| placed.seq), Ok(1));
        let (taken, _) = desk.attempt(&job(1, "again"));
        assert!(taken.unwrap_err().is_duplicate_of("uq_messages_client_key_sender"));
        let (stored, outcomes) = desk.attempt(&job(2, "and on"));
        stored.unwrap();
        assert_eq!(outcomes[0].as_ref().map(|placed| placed.seq), Ok(2));

        let other = Connection::open(file).unwrap();
        let count: i64 =
            other.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 2);
    }
}
