//! Lists of messages before their words are read: which messages, and about how large each is.
//!
//! A list may hold megabytes of words. Who sends one reads its outline first, and then one piece after the other, each
//! when the one before has been taken.

use entity::{conversations, members, messages};
use sea_orm::sea_query::{Expr, Func};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select};

use super::messages::{head, message};
use super::{Store, StoreError};
use crate::domain::{ConversationId, Device, Kind, LinkId, Message, MessageId, Principal, Written};
use crate::policy::MayRead;

/// How many places are looked at at a time.
const STRIDE: i64 = 2000;
/// Messages of one piece at most.
const PIECE_MESSAGES: usize = 500;
/// About how many bytes of answer one piece makes at most, but for a single message that is larger.
const PIECE_BYTES: usize = 256 << 10;

/// Which messages of a conversation a list begins or ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFrom {
    /// The oldest.
    Oldest,
    /// The newest.
    Newest,
    /// The newest before this one.
    Before(MessageId),
}

/// Where a list ends whatever was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// At most so many messages.
    pub messages: usize,
    /// At most about so many bytes of answer.
    pub bytes: usize,
}

/// A message of a list, without its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub id: MessageId,
    /// The membership it was written under; none for devices.
    pub link: Option<LinkId>,
    /// About how many bytes it takes in an answer.
    pub bytes: usize,
}

/// The pieces in which the messages of a list are read.
pub fn pieces(mut entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = entries.iter().take(PIECE_MESSAGES).take_while(|entry| {
            bytes += entry.bytes;
            bytes <= PIECE_BYTES
        });
        let length = fits.count().max(1).min(entries.len());
        let (piece, rest) = entries.split_at(length);
        entries = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// What is known of a message without reading its words.
struct Sketch {
    id: i64,
    link: Option<i64>,
    words: usize,
    files: usize,
    deleted: bool,
}

impl Sketch {
    /// Its words stand beside each file again.
    const fn bytes(&self) -> usize {
        (self.words + 512) * (1 + self.files)
    }

    fn entry(&self) -> Entry {
        let (id, link) = (MessageId::new(self.id), self.link.map(LinkId::new));
        Entry { id, link, bytes: self.bytes() }
    }
}

/// Its id, its membership, the bytes of its words, how many files it has, and when it was removed.
type Row = (i64, Option<i64>, i32, i16, Option<i64>);

impl Store {
    /// The messages that are asked for.
    async fn sketches(&self, wanted: Select<messages::Entity>) -> Result<Vec<Sketch>, StoreError> {
        let words = Func::cust("octet_length").arg(Expr::col(messages::Column::Text));
        let rows: Vec<Row> = wanted
            .select_only()
            .column(messages::Column::Id)
            .column(messages::Column::LinkId)
            .column_as(Expr::from(words), "words")
            .column(messages::Column::MediaCount)
            .column(messages::Column::DeletedAt)
            .into_tuple()
            .all(self.reads())
            .await?;
        let sketch = |(id, link, words, files, deleted): Row| Sketch {
            id,
            link,
            words: usize::try_from(words).unwrap_or_default(),
            files: usize::try_from(files).unwrap_or_default(),
            deleted: deleted.is_some(),
        };
        Ok(rows.into_iter().map(sketch).collect())
    }

    /// The messages of a conversation that were not removed, ascending.
    pub async fn outline(
        &self,
        permit: &MayRead,
        from: ListFrom,
        quantity: usize,
        cap: Cap,
    ) -> Result<Vec<Entry>, StoreError> {
        let conversation = permit.conversation();
        let (last_seq, _) = head(self.reads(), conversation).await?;
        let (mut low, mut high) = (1, last_seq);
        if let ListFrom::Before(id) = from {
            high = self.seq_in(conversation, id).await?.map_or(0, |seq| seq - 1);
        }
        let quantity = quantity.min(cap.messages);
        let (mut list, mut bytes) = (Vec::new(), 0);
        'reading: while low <= high && list.len() < quantity {
            // Not too few: there may be nothing but removed ones for a while.
            let stride = ((quantity - list.len()) as i64).clamp(50, STRIDE);
            let (from_seq, to_seq) = match from {
                ListFrom::Oldest => {
                    low += stride;
                    (low - stride, high.min(low - 1))
                }
                ListFrom::Newest | ListFrom::Before(_) => {
                    high -= stride;
                    (low.max(high + 1), high + stride)
                }
            };
            let range = messages::Entity::find()
                .filter(messages::Column::ConversationId.eq(conversation.get()))
                .filter(messages::Column::Seq.between(from_seq, to_seq))
                .order_by_asc(messages::Column::Seq);
            let mut some = self.sketches(range).await?;
            if from != ListFrom::Oldest {
                some.reverse();
            }
            for sketch in some.iter().filter(|sketch| !sketch.deleted) {
                bytes += sketch.bytes();
                if bytes > cap.bytes || list.len() == quantity {
                    break 'reading;
                }
                list.push(sketch.entry());
            }
        }
        if from != ListFrom::Oldest {
            list.reverse();
        }
        Ok(list)
    }

    async fn seq_in(
        &self,
        conversation: ConversationId,
        id: MessageId,
    ) -> Result<Option<i64>, StoreError> {
        let found: Option<(i64, i64)> = messages::Entity::find_by_id(id.get())
            .select_only()
            .column(messages::Column::ConversationId)
            .column(messages::Column::Seq)
            .into_tuple()
            .one(self.reads())
            .await?;
        Ok(found.filter(|(of, _)| *of == conversation.get()).map(|(_, seq)| seq))
    }

    /// What a device wrote in those of its circle's conversations in which somebody takes part, oldest first, up to
    /// the cap.
    pub async fn outline_of_device(
        &self,
        device: &Device,
        reader: Principal,
        cap: Cap,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut here = conversations::Entity::find()
            .select_only()
            .column(conversations::Column::Id)
            .filter(conversations::Column::CircleId.eq(device.circle.get()))
            .filter(conversations::Column::DeletedAt.is_null());
        match reader {
            Principal::User(user) => {
                let own = members::Entity::find()
                    .select_only()
                    .column(members::Column::ConversationId)
                    .filter(members::Column::UserId.eq(user.get()))
                    .filter(members::Column::Live.eq(1));
                here = here.filter(conversations::Column::Id.in_subquery(own.into_query()));
            }
            Principal::Device(id) if id == device.id => {
                here = here.filter(conversations::Column::DeviceAccess.eq(true));
            }
            Principal::Device(_) => return Ok(Vec::new()),
        }
        let wanted = messages::Entity::find()
            .filter(messages::Column::ConversationId.in_subquery(here.into_query()))
            .filter(messages::Column::Sender.eq(Principal::Device(device.id).to_db()))
            .filter(messages::Column::DeletedAt.is_null())
            .order_by_asc(messages::Column::Id)
            .limit(cap.messages as u64);
        let mut bytes = 0;
        let found = self.sketches(wanted).await?;
        let fits = found.iter().take_while(|sketch| {
            bytes += sketch.words;
            bytes <= cap.bytes
        });
        Ok(fits.map(Sketch::entry).collect())
    }

    /// The messages of a piece, ascending, without their files. Those that were removed since the outline was read are
    /// left out.
    pub async fn messages_of(&self, piece: &[Entry]) -> Result<Vec<Message>, StoreError> {
        let rows = messages::Entity::find()
            .filter(messages::Column::Id.is_in(piece.iter().map(|entry| entry.id.get())))
            .filter(messages::Column::DeletedAt.is_null())
            .order_by_asc(messages::Column::Id)
            .all(self.reads())
            .await?;
        rows.into_iter().map(message).collect()
    }

    /// The same of one conversation; in a direct one each says when its reader had read it.
    pub async fn read_messages(
        &self,
        kind: Kind,
        conversation: ConversationId,
        piece: &[Entry],
    ) -> Result<Vec<Message>, StoreError> {
        let mut found = self.messages_of(piece).await?;
        self.tell_read(kind, conversation, &mut found).await?;
        Ok(found)
    }

    /// The same with their files and by what right they were written.
    pub async fn read_written(
        &self,
        kind: Kind,
        conversation: ConversationId,
        piece: &[Entry],
    ) -> Result<Vec<Written>, StoreError> {
        let found = self.messages_of(piece).await?;
        self.written(kind, conversation, found).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(bytes: &[usize]) -> Vec<Entry> {
        let entry = |(id, bytes): (usize, &usize)| Entry {
            id: MessageId::new(id as i64),
            link: None,
            bytes: *bytes,
        };
        bytes.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn pieces_hold_everything_once_and_not_too_much() {
        for bytes in [vec![], vec![1], vec![PIECE_BYTES + 1; 3], vec![100; 1201], vec![99_999; 9]] {
            let all = entries(&bytes);
            let found: Vec<_> = pieces(&all).collect();
            assert_eq!(found.concat(), all);
            for piece in found {
                let bytes: usize = piece.iter().map(|entry| entry.bytes).sum();
                assert!(piece.len() == 1 || bytes <= PIECE_BYTES);
                assert!((1..=PIECE_MESSAGES).contains(&piece.len()));
            }
        }
    }
}
