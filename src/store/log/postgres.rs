//! One batch into PostgreSQL, the lean way: a statement for all rows, whose text is always the same.
//!
//! Each column travels as one array, so the server parses and plans once whatever the size of the batch.

use std::collections::{BTreeMap, HashMap};

use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};

use super::batch::{NewRow, Outcome};
use super::permits::look_and_draw;
use super::plan::{Head, Numbered, Plan, conversations};
use super::portable::{find_known, insert_medias};
use crate::store::locks::BATCHES;
use crate::store::{StoreError, Tx};

/// Shares the lock of batches, for which the end of logins waits, before those of the heads.
const LOCK: &str = "SELECT conversation_id, last_seq, last_revision \
    FROM pg_advisory_xact_lock_shared($2), conversation_heads \
    WHERE conversation_id = ANY($1) ORDER BY conversation_id FOR UPDATE OF conversation_heads";

/// Zero stands for absence in the arrays of links and smiles.
const INSERT: &str = "INSERT INTO messages (id, conversation_id, seq, revision, shown, sender, \
    link_id, client_key, kind, text, smile_id, media_count, awaited, created_at) \
    SELECT id, conversation, seq, revision, CASE WHEN awaited = 0 THEN id END, sender, \
    NULLIF(link, 0), client_key, kind, text, NULLIF(smile, 0), medias, awaited, created_at \
    FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], \
    $7::bytea[], $8::smallint[], $9::text[], $10::bigint[], $11::smallint[], $12::smallint[], \
    $13::bigint[]) AS row (id, conversation, seq, revision, sender, link, client_key, kind, text, \
    smile, medias, awaited, created_at)";

const SET_HEADS: &str = "UPDATE conversation_heads AS head \
    SET last_seq = row.seq, last_revision = row.revision \
    FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[]) AS row (conversation, seq, revision) \
    WHERE head.conversation_id = row.conversation";

/// Stores messages within a transaction; what is already there is found by its key if `look_up`.
pub(super) async fn insert(
    tx: &Tx,
    rows: &[&NewRow],
    look_up: bool,
) -> Result<Vec<Outcome>, StoreError> {
    let heads = lock_heads(tx, rows).await?;
    let known = if look_up { find_known(tx, rows).await? } else { HashMap::new() };
    let (objections, ids) = look_and_draw(tx, rows).await?;
    let mut plan = Plan::new(rows, &heads, &known, &objections);
    plan.set_ids(ids);
    if !plan.fresh.is_empty() {
        run(tx, INSERT, columns(&plan.fresh)).await?;
        insert_medias(tx, &mut plan).await?;
        let column = |number: fn(&Head) -> i64| -> Value {
            plan.heads.values().map(number).collect::<Vec<_>>().into()
        };
        let ids: Vec<i64> = plan.heads.keys().copied().collect();
        let numbers = [column(|head| head.seq), column(|head| head.revision)];
        run(tx, SET_HEADS, [Value::from(ids)].into_iter().chain(numbers)).await?;
    }
    Ok(plan.outcomes())
}

async fn run(
    tx: &Tx,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<(), StoreError> {
    tx.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
    Ok(())
}

async fn lock_heads(tx: &Tx, rows: &[&NewRow]) -> Result<BTreeMap<i64, Head>, StoreError> {
    let ids: Vec<i64> = conversations(rows).into_iter().collect();
    let lock =
        Statement::from_sql_and_values(DbBackend::Postgres, LOCK, [ids.into(), BATCHES.into()]);
    let mut heads = BTreeMap::new();
    for row in tx.query_all_raw(lock).await? {
        let head = Head { seq: row.try_get_by_index(1)?, revision: row.try_get_by_index(2)? };
        heads.insert(row.try_get_by_index(0)?, head);
    }
    Ok(heads)
}

fn columns(fresh: &[Numbered<'_>]) -> [Value; 13] {
    fn column<'a, T>(fresh: &'a [Numbered<'a>], value: impl Fn(&'a Numbered<'a>) -> T) -> Value
    where
        Vec<T>: Into<Value>,
    {
        fresh.iter().map(value).collect::<Vec<_>>().into()
    }
    [
        column(fresh, |message| message.id),
        column(fresh, |message| message.row.conversation),
        column(fresh, |message| message.seq),
        column(fresh, |message| message.revision),
        column(fresh, |message| message.row.sender),
        column(fresh, |message| message.row.link.unwrap_or(0)),
        column(fresh, |message| message.row.client_key.to_vec()),
        column(fresh, |message| message.row.kind),
        column(fresh, |message| message.row.text.clone()),
        column(fresh, |message| message.row.smile.unwrap_or(0)),
        column(fresh, |message| message.row.medias.len() as i16),
        column(fresh, |message| message.row.awaited() as i16),
        column(fresh, |message| message.row.created_at),
    ]
}
