//! Messages, as they are read: one by one, or a range of them.
//!
//! Lists are bounded ranges of `seq`, which has no gaps: an open range with a limit may be
//! planned as a scan once a statement is prepared (STORE 7, pitfall 2).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use entity::{conversation_heads, medias, members, messages, smiles};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};

use uuid::Uuid;

use super::attachments::{file_id, media};
use super::conversations::{NAMED, living, membership};
use super::{Store, StoreError};
use crate::domain::{
    Authorship, Conversation, ConversationId, FileId, Kind, LinkId, Membership, Message, MessageId,
    MessageKind, Place, Principal, Revision, Seq, Smile, SmileId, Timestamp, Written,
};

/// A row as the message it stands for, without its files.
pub(super) fn message(row: messages::Model) -> Result<Message, StoreError> {
    let kind = match row.kind {
        0 => MessageKind::Text,
        1 => MessageKind::Smile,
        2 => MessageKind::File,
        other => {
            return Err(StoreError::Impossible {
                table: "messages",
                what: format!("kind {other} in row {}", row.id),
            });
        }
    };
    Ok(Message {
        id: MessageId::new(row.id),
        conversation: ConversationId::new(row.conversation_id),
        seq: Seq::new(row.seq),
        revision: Revision::new(row.revision),
        place: row.shown.map(Place::new),
        author: Principal::from_db(row.sender, "messages")?,
        link: row.link_id.map(LinkId::new),
        kind,
        text: row.text,
        smile: row
            .smile_id
            .map(|id| Smile { id: SmileId::new(id), file: FileId::new(Uuid::nil()) }),
        sent: Timestamp::from_micros(row.created_at),
        edited: row.edited_at.map(Timestamp::from_micros),
        deleted: row.deleted_at.map(Timestamp::from_micros),
        read: None,
        media_count: u32::try_from(row.media_count).unwrap_or_default(),
        medias: Vec::new(),
    })
}

/// A message with its files.
pub(super) async fn find_message(
    db: &impl ConnectionTrait,
    id: MessageId,
) -> Result<Option<Message>, StoreError> {
    let Some(row) = messages::Entity::find_by_id(id.get()).one(db).await? else {
        return Ok(None);
    };
    let mut found = [message(row)?];
    attach(db, &mut found).await?;
    let [message] = found;
    Ok(Some(message))
}

/// Puts the images of smiles in the place of what stood for them; a smile whose picture was
/// taken away is none any more.
async fn show_smiles(
    db: &impl ConnectionTrait,
    messages: &mut [Message],
) -> Result<(), StoreError> {
    for message in messages.iter_mut().filter(|message| message.medias.is_empty()) {
        message.smile = None;
    }
    let mut ids: Vec<_> =
        messages.iter().filter_map(|message| message.smile).map(|smile| smile.id.get()).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(());
    }
    let mut files = HashMap::new();
    for ids in ids.chunks(NAMED) {
        let rows = smiles::Entity::find()
            .find_also_related(medias::Entity)
            .filter(smiles::Column::Id.is_in(ids.iter().copied()))
            .all(db)
            .await?;
        for (smile, media) in rows {
            if let Some(media) = media {
                files.insert(smile.id, file_id(&media.uuid)?);
            }
        }
    }
    for message in messages.iter_mut() {
        message.smile = message.smile.and_then(|smile| {
            files.get(&smile.id.get()).map(|file| Smile { file: *file, ..smile })
        });
    }
    Ok(())
}

/// Puts their files and smiles to messages, instead of those that may be there.
pub(super) async fn attach(
    db: &impl ConnectionTrait,
    messages: &mut [Message],
) -> Result<(), StoreError> {
    for message in messages.iter_mut() {
        message.medias.clear();
    }
    let places: HashMap<_, _> = messages
        .iter()
        .enumerate()
        .filter(|(_, message)| message.media_count > 0)
        .map(|(index, message)| (message.id.get(), index))
        .collect();
    let ids: Vec<_> = places.keys().copied().collect();
    for ids in ids.chunks(NAMED) {
        let rows = medias::Entity::find()
            .filter(medias::Column::MessageId.is_in(ids.iter().copied()))
            .filter(medias::Column::DeletedAt.is_null())
            .order_by_asc(medias::Column::Position)
            .order_by_asc(medias::Column::Id)
            .all(db)
            .await?;
        for row in rows {
            if let Some(index) = row.message_id.and_then(|id| places.get(&id)) {
                messages[*index].medias.push(media(row)?);
            }
        }
    }
    show_smiles(db, messages).await
}

/// The newest numbers of a conversation.
pub(super) async fn head(
    db: &impl ConnectionTrait,
    conversation: ConversationId,
) -> Result<(i64, i64), StoreError> {
    let row = conversation_heads::Entity::find_by_id(conversation.get()).one(db).await?;
    Ok(row.map_or((0, 0), |head| (head.last_seq, head.last_revision)))
}

/// The messages in `first..=last`, ascending, without their files.
pub(super) async fn range(
    db: &impl ConnectionTrait,
    conversation: ConversationId,
    first: i64,
    last: i64,
) -> Result<Vec<Message>, StoreError> {
    let rows = messages::Entity::find()
        .filter(messages::Column::ConversationId.eq(conversation.get()))
        .filter(messages::Column::Seq.between(first, last))
        .order_by_asc(messages::Column::Seq)
        .all(db)
        .await?;
    rows.into_iter().map(message).collect()
}

impl Store {
    /// A message with its files, removed or not.
    pub async fn find_message(&self, id: MessageId) -> Result<Option<Message>, StoreError> {
        find_message(self.reads(), id).await
    }

    /// Messages with their files and by what right they were written.
    pub async fn written(
        &self,
        kind: Kind,
        conversation: ConversationId,
        mut messages: Vec<Message>,
    ) -> Result<Vec<Written>, StoreError> {
        attach(self.reads(), &mut messages).await?;
        self.tell_read(kind, conversation, &mut messages).await?;
        let circle = match kind {
            Kind::Direct | Kind::Room => None,
            Kind::Group => {
                let found = self.find_conversation(conversation).await?;
                found.and_then(|conversation: Conversation| conversation.circle)
            }
        };
        let links = self.links(&messages).await?;
        let mut devices = HashMap::new();
        let mut list = Vec::with_capacity(messages.len());
        for message in messages {
            let by = match message.author {
                Principal::User(_) => {
                    message.link.and_then(|link| links.get(&link)).map(|membership| {
                        Authorship::Member { membership: Arc::clone(membership), circle }
                    })
                }
                Principal::Device(id) => {
                    let device = match devices.entry(id) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => new.insert(self.find_device(id).await?.map(Arc::new)),
                    };
                    device.clone().map(Authorship::Device)
                }
            };
            list.push(Written { message, by: by.unwrap_or(Authorship::Gone) });
        }
        Ok(list)
    }

    async fn links(
        &self,
        messages: &[Message],
    ) -> Result<HashMap<LinkId, Arc<Membership>>, StoreError> {
        let mut ids: Vec<_> = messages.iter().filter_map(|message| message.link).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut links = HashMap::new();
        for ids in ids.chunks(NAMED) {
            let rows = members::Entity::find()
                .filter(members::Column::Id.is_in(ids.iter().map(|id| id.get())))
                .all(self.reads())
                .await?;
            for row in rows {
                links.insert(LinkId::new(row.id), Arc::new(membership(&row)?));
            }
        }
        Ok(links)
    }

    /// In direct conversations a message says when its reader had read it.
    pub(super) async fn tell_read(
        &self,
        kind: Kind,
        conversation: ConversationId,
        messages: &mut [Message],
    ) -> Result<(), StoreError> {
        if kind != Kind::Direct || messages.is_empty() {
            return Ok(());
        }
        let ends = living(self.reads(), conversation).await?;
        for message in messages {
            let author = message.author.user().map(crate::domain::UserId::get);
            let reader = ends.iter().find(|end| Some(end.user_id) != author);
            if let (Some(reader), Some(place)) = (reader, message.place)
                && reader.read_shown >= place.get()
            {
                message.read = reader.read_at.map(Timestamp::from_micros);
            }
        }
        Ok(())
    }
}
