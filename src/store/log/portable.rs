//! One batch into any of the databases, by SeaORM: slower than the lean ways, and the measure of what they do.
//!
//! It also stores the messages of rarer transactions, which do more than post.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use entity::{conversation_heads, medias, members, messages};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::batch::{Cursor, Mark, NewMedia, NewRow, Outcome, Placed};
use super::permits::look;
use super::plan::{Head, Key, Numbered, Plan, conversations};
use crate::store::rows::bytes;
use crate::store::{StoreError, Tx, counters};

/// Rows per statement: the databases take at most 32,766 (SQLite) and 65,535 values.
const ROWS: usize = 1024;

/// Stores messages within a transaction; what is already there is found by its key if `look_up`.
pub(crate) async fn insert(
    tx: &Tx,
    rows: &[&NewRow],
    look_up: bool,
) -> Result<Vec<Outcome>, StoreError> {
    let heads = lock_heads(tx, &conversations(rows)).await?;
    let known = if look_up { find_known(tx, rows).await? } else { HashMap::new() };
    // Drawn first: who holds the counter is waited for by whoever ends a login.
    let ids = counters::draw(tx, rows.len()).await?;
    let mut plan = Plan::new(rows, &heads, &known, &look(tx, rows).await?);
    plan.set_ids(ids);
    for part in plan.fresh.chunks(ROWS) {
        let models = part.iter().map(message);
        messages::Entity::insert_many(models).exec_without_returning(tx).await?;
    }
    insert_medias(tx, &mut plan).await?;
    set_heads(tx, &plan.heads).await?;
    Ok(plan.outcomes())
}

/// Locks the heads in the order of their ids, so that batches of several nodes never wait for each other in a circle.
pub(in crate::store) async fn lock_heads(
    tx: &Tx,
    conversations: &BTreeSet<i64>,
) -> Result<BTreeMap<i64, Head>, StoreError> {
    let heads = conversation_heads::Entity::find()
        .filter(conversation_heads::Column::ConversationId.is_in(conversations.iter().copied()))
        .order_by_asc(conversation_heads::Column::ConversationId)
        .lock_exclusive()
        .all(tx)
        .await?;
    let numbers = |head: conversation_heads::Model| {
        (head.conversation_id, Head { seq: head.last_seq, revision: head.last_revision })
    };
    Ok(heads.into_iter().map(numbers).collect())
}

/// The messages that these rows would store again.
pub(super) async fn find_known(
    tx: &Tx,
    rows: &[&NewRow],
) -> Result<HashMap<Key, Placed>, StoreError> {
    let mut known = HashMap::new();
    for part in rows.chunks(ROWS) {
        let keys = part.iter().map(|row| row.client_key.to_vec());
        let stored = messages::Entity::find()
            .filter(messages::Column::ClientKey.is_in(keys))
            .all(tx)
            .await?;
        for row in stored {
            let key = bytes(&row.client_key, "messages")?;
            let placed = Placed {
                id: row.id,
                conversation: row.conversation_id,
                seq: row.seq,
                revision: row.revision,
                shown: row.shown,
                created_at: row.created_at,
                medias: find_medias(tx, &row).await?,
                duplicate: true,
            };
            known.insert((key, row.sender), placed);
        }
    }
    Ok(known)
}

async fn find_medias(tx: &Tx, message: &messages::Model) -> Result<Vec<i64>, StoreError> {
    if message.media_count == 0 {
        return Ok(Vec::new());
    }
    Ok(medias::Entity::find()
        .select_only()
        .column(medias::Column::Id)
        .filter(medias::Column::MessageId.eq(message.id))
        .order_by_asc(medias::Column::Position)
        .into_tuple()
        .all(tx)
        .await?)
}

fn message(numbered: &Numbered<'_>) -> messages::ActiveModel {
    let row = numbered.row;
    messages::ActiveModel {
        id: Set(numbered.id),
        conversation_id: Set(row.conversation),
        seq: Set(numbered.seq),
        revision: Set(numbered.revision),
        shown: Set(numbered.shown()),
        sender: Set(row.sender),
        link_id: Set(row.link),
        client_key: Set(row.client_key.to_vec()),
        kind: Set(row.kind),
        text: Set(row.text.clone()),
        smile_id: Set(row.smile),
        media_count: Set(row.medias.len() as i16),
        awaited: Set(row.awaited() as i16),
        created_at: Set(row.created_at),
        ..Default::default()
    }
}

/// One by one, as their ids are wanted and MySQL returns but one; few messages have any.
pub(super) async fn insert_medias(tx: &Tx, plan: &mut Plan<'_>) -> Result<(), StoreError> {
    for message in &mut plan.fresh {
        for (position, media) in message.row.medias.iter().enumerate() {
            let model = media_of(message, position, media);
            let stored = medias::Entity::insert(model).exec(tx).await?;
            message.medias.push(stored.last_insert_id);
        }
    }
    Ok(())
}

fn media_of(message: &Numbered<'_>, position: usize, media: &NewMedia) -> medias::ActiveModel {
    let file = media.stored.as_ref();
    medias::ActiveModel {
        uuid: Set(media.uuid.to_vec()),
        link_kind: Set(0),
        message_id: Set(Some(message.id)),
        position: Set(position as i16),
        purpose: Set("default".into()),
        identifier: Set(media.identifier.clone()),
        filename: Set(file.map(|file| file.filename.clone())),
        extension: Set(file.map(|file| file.extension.clone())),
        directory: Set(String::new()),
        mime: Set(file.and_then(|file| file.mime.clone())),
        declared_mime: Set(file.and_then(|file| file.declared_mime.clone())),
        size: Set(file.map(|file| file.size)),
        uploaded_at: Set(file.map(|file| file.uploaded_at)),
        created_at: Set(message.row.created_at),
        ..Default::default()
    }
}

/// All heads by one statement. The rows are there and locked; an upsert is how one statement sets many.
async fn set_heads(tx: &Tx, heads: &BTreeMap<i64, Head>) -> Result<(), StoreError> {
    use conversation_heads::Column;
    if heads.is_empty() {
        return Ok(());
    }
    let models = heads.iter().map(|(conversation, head)| conversation_heads::ActiveModel {
        conversation_id: Set(*conversation),
        last_seq: Set(head.seq),
        last_revision: Set(head.revision),
    });
    let newer = OnConflict::column(Column::ConversationId)
        .update_columns([Column::LastSeq, Column::LastRevision])
        .to_owned();
    conversation_heads::Entity::insert_many(models)
        .on_conflict(newer)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Moves cursors forward, in the order of the memberships; who is further already stays there.
pub(crate) async fn advance(tx: &Tx, marks: &[Mark]) -> Result<(), StoreError> {
    use members::Column;
    let mut marks = marks.to_vec();
    marks.sort_by_key(|mark| mark.link);
    for mark in marks {
        let (cursor, to) = match mark.to {
            Cursor::Read { shown, .. } => (Column::ReadShown, shown),
            Cursor::Delivered(shown) => (Column::DeliveredShown, shown),
            Cursor::Courier(shown) => (Column::CourierShown, shown),
        };
        let mut update = members::Entity::update_many()
            .col_expr(cursor, Expr::value(to))
            .filter(Column::Id.eq(mark.link))
            .filter(Column::Live.eq(1))
            .filter(cursor.lt(to));
        if let Cursor::Read { seq, at, .. } = mark.to {
            update = update
                .col_expr(Column::ReadSeq, Expr::value(seq))
                .col_expr(Column::ReadAt, Expr::value(at));
        }
        update.exec(tx).await?;
    }
    Ok(())
}
