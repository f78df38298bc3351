//! Whether those who post may still do so, as the database has it in the transaction that stores their messages.
//!
//! The permit was given before the message was queued. Behind the locks of the heads nobody is put out of these
//! conversations any more; logins and rights of accounts wait for the batch where they end.

use std::collections::HashMap;
use std::fmt::Write as _;

use rusqlite::{Connection, params};
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};

use super::batch::{NewRow, NotPlaced};
use crate::store::locks::BATCHES;
use crate::store::{StoreError, Tx};

/// `Standing::takes_part` in the words of the databases, and whether the login lives; zero if all is well.
macro_rules! verdict {
    () => {
        "CASE \
         WHEN post.login <> 0 AND NOT EXISTS (SELECT 1 FROM logins WHERE logins.id = post.login \
         AND logins.principal = post.sender AND logins.ended_at IS NULL) THEN 1 \
         WHEN NOT EXISTS (SELECT 1 FROM conversations WHERE conversations.id = post.conversation \
         AND conversations.deleted_at IS NULL) THEN 2 \
         WHEN post.sender > 0 AND EXISTS (SELECT 1 FROM members \
         JOIN users ON users.id = members.user_id \
         JOIN conversations ON conversations.id = members.conversation_id \
         WHERE members.id = post.link AND members.user_id = post.sender \
         AND members.conversation_id = post.conversation AND members.live = 1 \
         AND users.is_active AND users.deleted_at IS NULL \
         AND (conversations.access <> 2 OR users.is_staff OR users.is_superuser)) THEN 0 \
         WHEN post.sender < 0 AND EXISTS (SELECT 1 FROM devices \
         JOIN conversations ON conversations.circle_id = devices.circle_id \
         WHERE devices.id = -post.sender AND devices.live = 1 AND devices.activated \
         AND conversations.id = post.conversation AND conversations.device_access) THEN 0 \
         ELSE 3 END"
    };
}

/// On PostgreSQL one statement looks and draws ids, so that looking costs no further one.
pub(super) const LOOK_AND_DRAW: &str = concat!(
    "SELECT CAST(",
    verdict!(),
    " AS bigint), nextval('message_places') \
     FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) \
     AS post (conversation, sender, link, login)"
);

const LOOK_IN_SQLITE: &str = concat!(
    "SELECT ",
    verdict!(),
    " FROM (SELECT ?1 AS conversation, ?2 AS sender, ?3 AS link, ?4 AS login) AS post"
);

/// Rows per statement.
const ROWS: usize = 256;

/// What is said of each row; none if it may be stored.
pub(super) type Objections = Vec<Option<NotPlaced>>;

/// What a row rests on: conversation, sender, membership, login; zero for absence.
pub(super) fn ground(row: &NewRow) -> [i64; 4] {
    [row.conversation, row.sender, row.link.unwrap_or(0), row.login.unwrap_or(0)]
}

/// What the number of a verdict means.
pub(super) const fn objection(verdict: i64) -> Option<NotPlaced> {
    match verdict {
        0 => None,
        1 => Some(NotPlaced::LoginEnded),
        2 => Some(NotPlaced::NoConversation),
        _ => Some(NotPlaced::NotPermitted),
    }
}

/// Looks at each row; the heads of the conversations are locked and the ids are drawn.
pub(super) async fn look(tx: &Tx, rows: &[&NewRow]) -> Result<Objections, StoreError> {
    let backend = tx.get_database_backend();
    if backend == DbBackend::Postgres {
        let lock = "SELECT pg_advisory_xact_lock_shared($1)";
        tx.execute_raw(Statement::from_sql_and_values(backend, lock, [BATCHES.into()])).await?;
        return Ok(look_and_draw(tx, rows).await?.0);
    }
    let mut objections = Vec::with_capacity(rows.len());
    for rows in rows.chunks(ROWS) {
        let (sql, values) = question(rows);
        let mut verdicts = vec![0; rows.len()];
        for answer in tx.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?
        {
            let place: i64 = answer.try_get_by_index(0)?;
            if let Some(verdict) = usize::try_from(place).ok().and_then(|at| verdicts.get_mut(at)) {
                *verdict = answer.try_get_by_index(1)?;
            }
        }
        objections.extend(verdicts.into_iter().map(objection));
    }
    Ok(objections)
}

/// One question about all rows; its text depends on nothing but their number.
fn question(rows: &[&NewRow]) -> (String, Vec<Value>) {
    let mut sql = String::from(concat!("SELECT post.place, ", verdict!(), " FROM ("));
    let mut values = Vec::with_capacity(4 * rows.len());
    for (place, row) in rows.iter().enumerate() {
        let start = if place == 0 { "" } else { " UNION ALL " };
        let _ = write!(
            sql,
            "{start}SELECT {place} AS place, ? AS conversation, ? AS sender, ? AS link, ? AS login"
        );
        values.extend(ground(row).map(Value::from));
    }
    sql.push_str(") AS post");
    (sql, values)
}

/// PostgreSQL: looks at each row, and draws an id for each.
pub(super) async fn look_and_draw(
    tx: &Tx,
    rows: &[&NewRow],
) -> Result<(Objections, Vec<i64>), StoreError> {
    let column =
        |at: usize| -> Value { rows.iter().map(|row| ground(row)[at]).collect::<Vec<_>>().into() };
    let look = Statement::from_sql_and_values(
        DbBackend::Postgres,
        LOOK_AND_DRAW,
        [column(0), column(1), column(2), column(3)],
    );
    let (mut objections, mut ids) = (Vec::with_capacity(rows.len()), Vec::new());
    for answer in tx.query_all_raw(look).await? {
        objections.push(objection(answer.try_get_by_index(0)?));
        ids.push(answer.try_get_by_index(1)?);
    }
    ids.sort_unstable();
    Ok((objections, ids))
}

/// SQLite, the lean way; the same ground is looked at once.
pub(super) fn look_in_sqlite(db: &Connection, rows: &[&NewRow]) -> rusqlite::Result<Objections> {
    let mut look = db.prepare_cached(LOOK_IN_SQLITE)?;
    let mut known: HashMap<[i64; 4], i64> = HashMap::new();
    let mut objections = Vec::with_capacity(rows.len());
    for row in rows {
        let ground = ground(row);
        let verdict = if let Some(verdict) = known.get(&ground) {
            *verdict
        } else {
            let [conversation, sender, link, login] = ground;
            let asked = params![conversation, sender, link, login];
            let verdict = look.query_row(asked, |answer| answer.get(0))?;
            known.insert(ground, verdict);
            verdict
        };
        objections.push(objection(verdict));
    }
    Ok(objections)
}
