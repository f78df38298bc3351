//! The queue before the one writer: entries go in, and are answered when they are stored
//! and everybody who listens has had an offer.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{Batch, BatchWriter, Cursor, Mark, NewMedia, NewRow, NotPlaced, Outcome, Placed};
use crate::domain::{
    Aside, ConversationId, Dialect, Draft, Event, FileId, LinkId, Media, MediaId, MediaOwner,
    Message, MessageId, MessageKind, Party, Place, Posted, Revision, Seq, Timestamp, Topic,
};
use crate::hub::{News, Notice, Published};
use crate::policy::{MayPost, MayRead};
use crate::store::{Store, StoreError};
use crate::telemetry;

/// Entries that may wait; more is refused at once.
const WAITING: usize = 8192;
/// How much later than its deadline an entry may be answered.
const GRACE: Duration = Duration::from_secs(1);
/// Entries of one transaction.
const ROWS: usize = 1024;
/// Bytes of one transaction.
const BYTES: usize = 1 << 20;

/// The one writer of conversation history.
///
/// Entries are numbered, stored and published in one order. Whatever has queued up
/// while a transaction was committing goes into the next one, so the cost of a
/// commit is shared and nobody waits for a timer.
#[derive(Clone, Debug)]
pub struct Log {
    store: Store,
    entries: mpsc::Sender<Entry>,
}

/// What waits to be stored.
#[derive(Debug)]
enum Entry {
    Post(Box<Pending>),
    Mark(Mark),
}

/// A message on its way.
#[derive(Debug)]
struct Pending {
    row: NewRow,
    sender: Party,
    dialect: Dialect,
    aside: Option<Aside>,
    answer: oneshot::Sender<Result<Stored, NotPlaced>>,
}

impl Entry {
    /// About how many bytes it takes.
    fn weight(&self) -> usize {
        match self {
            Self::Post(pending) => pending.row.weight(),
            Self::Mark(_) => size_of::<Mark>(),
        }
    }
}

/// What became of an entry, and when everybody has been told.
type Stored = (Placed, Published);

impl Log {
    /// Starts the writer. It ends when the last log is dropped, after what was queued.
    pub fn start(store: &Store) -> Result<(Self, JoinHandle<()>), StoreError> {
        let writer = BatchWriter::lean(store.clone())?;
        let (entries, queue) = mpsc::channel(WAITING);
        let running = tokio::spawn(run(store.clone(), writer, queue));
        Ok((Self { store: store.clone(), entries }, running))
    }

    /// Stores a message, tells of it, and answers: an answer means committed.
    ///
    /// The same reference of the same sender is stored once; sent again it gets the first
    /// answer again, and nobody is told anew.
    pub async fn append(&self, permit: MayPost, draft: Draft) -> Result<Posted, StoreError> {
        let author = permit.author();
        let Some(sender) = self.store.find_party(author).await? else {
            return Err(StoreError::Impossible {
                table: "users",
                what: format!("{author:?} writes and is not there"),
            });
        };
        let dialect = draft.dialect;
        let aside = draft.aside.clone().map(|json| Aside { dialect, json });
        let row = self.row(&permit, draft);
        let (answer, answered) = oneshot::channel();
        let pending = Pending { row: row.clone(), sender, dialect, aside, answer };
        self.entries.try_send(Entry::Post(Box::new(pending))).map_err(|_| StoreError::TooSlow)?;
        // The writer answers everything it takes, and in time unless the disk hangs without a
        // word; otherwise nobody knows.
        let stored = timeout_at(row.deadline + GRACE, answered)
            .await
            .map_err(|_| StoreError::OutcomeUnknown(None))?
            .map_err(|_| StoreError::OutcomeUnknown(None))?;
        let (placed, published) = stored.map_err(StoreError::from)?;
        published.wait().await;
        self.posted(&row, placed).await
    }

    /// Everything up to a place has reached a reader, by this dialect: tells the authors, and
    /// moves the cursors with the next batch; only a crash may lose that.
    pub async fn mark_delivered(
        &self,
        permit: &MayRead,
        place: Place,
        dialect: Dialect,
    ) -> Result<(), StoreError> {
        let Some(link) = permit.link() else { return Ok(()) };
        if self.store.deliver(permit, place).await? {
            self.mark(link, Cursor::Delivered(place.get())).await;
        }
        if dialect == Dialect::Courier {
            self.mark(link, Cursor::Courier(place.get())).await;
        }
        Ok(())
    }

    async fn mark(&self, link: LinkId, to: Cursor) {
        // Without the writer the server is on its way down.
        let _ = self.entries.send(Entry::Mark(Mark { link: link.get(), to })).await;
    }

    fn row(&self, permit: &MayPost, draft: Draft) -> NewRow {
        let client_key = match &draft.reference {
            Some(reference) => key(draft.dialect, reference.as_str()),
            None => Uuid::now_v7().into_bytes(),
        };
        let medias = draft.files.into_iter().map(|identifier| NewMedia {
            uuid: FileId::random().get().into_bytes(),
            identifier: identifier.chars().filter(|c| *c != '\0').take(1024).collect(),
            stored: None,
        });
        NewRow {
            conversation: permit.conversation().get(),
            sender: permit.author().to_db(),
            link: permit.link().map(LinkId::get),
            client_key,
            kind: 0,
            text: draft.text.into_inner(),
            smile: None,
            created_at: self.store.clock().now().micros(),
            medias: medias.collect(),
            deadline: self.store.deadline(),
        }
    }

    async fn posted(&self, row: &NewRow, placed: Placed) -> Result<Posted, StoreError> {
        let message = MessageId::new(placed.id);
        let medias = if placed.duplicate {
            self.store.list_medias(MediaOwner::Message(message), None).await?
        } else {
            announced(row, &placed)
        };
        Ok(Posted {
            message,
            seq: Seq::new(placed.seq),
            revision: Revision::new(placed.revision),
            medias,
            duplicate: placed.duplicate,
        })
    }
}

/// A client's reference as the table keeps it, per dialect.
fn key(dialect: Dialect, reference: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(dialect.as_str().as_bytes());
    hash.update([0]);
    hash.update(reference.as_bytes());
    let digest = hash.finalize();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    key
}

impl From<NotPlaced> for StoreError {
    fn from(error: NotPlaced) -> Self {
        match error {
            NotPlaced::Unavailable => Self::TooSlow,
            NotPlaced::OutcomeUnknown => Self::OutcomeUnknown(None),
            NotPlaced::NoConversation | NotPlaced::Refused => {
                Self::Impossible { table: "messages", what: error.to_string() }
            }
        }
    }
}

async fn run(store: Store, mut writer: BatchWriter, mut queue: mpsc::Receiver<Entry>) {
    let mut waiting = Vec::new();
    while !waiting.is_empty() || queue.recv_many(&mut waiting, ROWS).await > 0 {
        let rest = waiting.split_off(fitting(&waiting));
        let entries = std::mem::replace(&mut waiting, rest);
        write(&store, &mut writer, entries).await;
    }
}

/// How many of the first entries go into one transaction; at least one.
fn fitting(waiting: &[Entry]) -> usize {
    let mut bytes = 0;
    let heavy = waiting.iter().position(|entry| {
        bytes += entry.weight();
        bytes > BYTES
    });
    heavy.map_or(waiting.len(), |first| first.max(1))
}

async fn write(store: &Store, writer: &mut BatchWriter, entries: Vec<Entry>) {
    let mut batch = Batch::default();
    let mut tails = Vec::new();
    for entry in entries {
        match entry {
            Entry::Post(pending) => {
                let Pending { row, sender, dialect, aside, answer } = *pending;
                batch.rows.push(row);
                tails.push((sender, aside, dialect, answer));
            }
            Entry::Mark(mark) => batch.marks.push(mark),
        }
    }
    let batch = Arc::new(batch);
    let mut turn = store.turn().await;
    let begun = Instant::now();
    let outcomes = writer.write(&mut turn, &batch).await;
    telemetry::count_commit(batch.rows.len() + batch.marks.len(), begun.elapsed());
    for ((row, outcome), tail) in batch.rows.iter().zip(outcomes).zip(tails) {
        let (sender, aside, dialect, answer) = tail;
        // Handed over while the turn is held: nobody commits in between.
        let stored = tell(store, row, outcome, sender, aside).await;
        if let Ok((placed, _)) = &stored
            && !placed.duplicate
        {
            telemetry::count_message(dialect.as_str());
        }
        // Nobody waits for it any more: it is stored and told all the same.
        let _ = answer.send(stored);
    }
}

async fn tell(
    store: &Store,
    row: &NewRow,
    outcome: Outcome,
    sender: Party,
    aside: Option<Aside>,
) -> Result<Stored, NotPlaced> {
    let placed = outcome?;
    let news = if placed.duplicate {
        News::none()
    } else {
        let conversation = ConversationId::new(row.conversation);
        let message = Arc::new(message(row, &placed, &sender));
        let event = Event::MessagePosted { message, sender, aside };
        News::none()
            .conversation(conversation, Notice::new([Topic::Conversation(conversation)], event))
    };
    Ok((placed, store.dispatch(news).await))
}

fn message(row: &NewRow, placed: &Placed, sender: &Party) -> Message {
    Message {
        id: MessageId::new(placed.id),
        conversation: ConversationId::new(row.conversation),
        seq: Seq::new(placed.seq),
        revision: Revision::new(placed.revision),
        place: placed.shown.map(Place::new),
        author: sender.principal(),
        link: row.link.map(LinkId::new),
        kind: MessageKind::Text,
        text: row.text.clone(),
        smile: None,
        sent: Timestamp::from_micros(row.created_at),
        edited: None,
        deleted: None,
        read: None,
        media_count: u32::try_from(row.medias.len()).unwrap_or(u32::MAX),
        medias: announced(row, placed),
    }
}

fn announced(row: &NewRow, placed: &Placed) -> Vec<Media> {
    row.medias
        .iter()
        .zip(&placed.medias)
        .map(|(media, id)| Media {
            id: MediaId::new(*id),
            file: FileId::new(Uuid::from_bytes(media.uuid)),
            owner: MediaOwner::Message(MessageId::new(placed.id)),
            purpose: "default".to_owned(),
            identifier: media.identifier.clone(),
            filename: None,
            extension: None,
            directory: String::new(),
            mime: None,
            size: None,
            uploaded: None,
            created: Timestamp::from_micros(row.created_at),
        })
        .collect()
}
