//! The queue before the one writer: entries go in, and are answered when they are stored
//! and everybody who listens has had an offer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::charged::{Tariff, sell};
use super::writer::Doubtful;
use super::{
    Batch, BatchWriter, Cursor, Mark, NewMedia, NewRow, NotPlaced, Outcome, Placed, StoredFile,
};
use crate::domain::{
    Aside, Attached, Charge, ConversationId, Dialect, Draft, Event, FileId, LinkId, LoginId, Media,
    MediaId, MediaOwner, Message, MessageId, MessageKind, Party, Place, Posted, Refusal, Revision,
    Seq, Smile, Timestamp, Topic,
};
use crate::hub::{News, Notice, Published};
use crate::policy::{MayPost, MayRead};
use crate::store::doubts::Way;
use crate::store::locks::login_over;
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
/// How soon it is tried again to store marks.
const AGAIN: Duration = Duration::from_secs(1);
/// How many of them are kept while the database is away; beyond that the oldest are lost, as in a crash.
const MARKS_LEFT: usize = 1 << 17;
/// The kinds of message, as the table spells them.
const TEXT: i16 = 0;
const SMILE: i16 = 1;
const FILE: i16 = 2;

/// The one writer of conversation history.
///
/// Entries are numbered, stored and published in one order. Whatever has queued up
/// while a transaction was committing goes into the next one, so the cost of a
/// commit is shared and nobody waits for a timer.
#[derive(Clone, Debug)]
pub struct Log {
    store: Store,
    entries: mpsc::Sender<Entry>,
    tariff: Arc<Tariff>,
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
    telling: Telling,
    answer: oneshot::Sender<Result<Stored, NotPlaced>>,
}

/// What listeners are told beside what is stored.
#[derive(Clone, Debug)]
pub(super) struct Telling {
    pub(super) sender: Party,
    pub(super) dialect: Dialect,
    pub(super) aside: Option<Aside>,
    pub(super) smile: Option<Smile>,
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
pub(super) type Stored = (Placed, Published);

impl Log {
    /// Starts the writer. It ends when the last log is dropped, after what was queued.
    pub fn start(store: &Store) -> Result<(Self, JoinHandle<()>), StoreError> {
        let writer = BatchWriter::lean(store.clone())?;
        let (entries, queue) = mpsc::channel(WAITING);
        let running = tokio::spawn(run(store.clone(), writer, queue));
        let tariff = Arc::default();
        Ok((Self { store: store.clone(), entries, tariff }, running))
    }

    /// The same log, where messages cost something; without this they cost nothing.
    #[must_use]
    pub fn charging(self, tariff: Tariff) -> Self {
        Self { tariff: Arc::new(tariff), ..self }
    }

    /// What a message of a dialect costs that has no price of its own.
    pub fn default_price(&self, dialect: Dialect) -> i64 {
        if self.tariff.bills(dialect) { self.tariff.default_price } else { 0 }
    }

    /// Stores a message, tells of it, and answers: an answer means committed.
    ///
    /// The same reference of the same sender is stored once; sent again it gets the first
    /// answer again, and nobody is told anew.
    pub async fn append(&self, permit: MayPost, draft: Draft) -> Result<Posted, StoreError> {
        self.sell(permit, draft, None).await.map(|(posted, _)| posted)
    }

    /// The same for as long as the login lives, and what it cost, if it cost something.
    pub async fn sell(
        &self,
        permit: MayPost,
        draft: Draft,
        login: Option<LoginId>,
    ) -> Result<(Posted, Option<Charge>), StoreError> {
        let author = permit.author();
        let Some(sender) = self.store.find_party(author).await? else {
            return Err(StoreError::Impossible {
                table: "users",
                what: format!("{author:?} writes and is not there"),
            });
        };
        let dialect = draft.dialect;
        let aside = draft.aside.clone().map(|json| Aside { dialect, json });
        let telling = Telling { sender, dialect, aside, smile: draft.smile };
        let row = NewRow { login: login.map(LoginId::get), ..self.row(&permit, draft) };
        let stored = self.store_row(&row, telling, dialect).await;
        if let Err(StoreError::Refused(_)) = &stored {
            // Somebody else changed it, and what is known here is not true any more.
            self.store.forget_standings_of(permit.conversation());
        }
        let ((placed, published), charge) = stored?;
        published.wait().await;
        Ok((self.posted(&row, placed).await?, charge))
    }

    async fn store_row(
        &self,
        row: &NewRow,
        telling: Telling,
        dialect: Dialect,
    ) -> Result<(Stored, Option<Charge>), StoreError> {
        if self.tariff.bills(dialect) {
            let price = self.tariff.default_price;
            let selling = sell(self.store.clone(), row.clone(), telling, price);
            // It runs to its end whoever waits for it.
            let sold = tokio::spawn(selling).await;
            sold.map_err(|_| StoreError::OutcomeUnknown(None))?
        } else {
            Ok((self.queue(row.clone(), telling).await?, None))
        }
    }

    async fn queue(&self, row: NewRow, telling: Telling) -> Result<Stored, StoreError> {
        let (answer, answered) = oneshot::channel();
        let deadline = row.deadline;
        let pending = Pending { row, telling, answer };
        self.entries.try_send(Entry::Post(Box::new(pending))).map_err(|_| StoreError::TooSlow)?;
        // The writer answers everything it takes, and in time unless the disk hangs without a
        // word; otherwise nobody knows.
        let stored = timeout_at(deadline + GRACE, answered)
            .await
            .map_err(|_| StoreError::OutcomeUnknown(None))?
            .map_err(|_| StoreError::OutcomeUnknown(None))?;
        Ok(stored?)
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
        // First, and without waiting: the client may be back in a moment.
        if dialect == Dialect::Courier && self.store.deliver_by_courier(link, place) {
            self.mark(link, Cursor::Courier(place.get())).await;
        }
        if self.store.deliver(permit, place).await? {
            self.mark(link, Cursor::Delivered(place.get())).await;
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
        let now = self.store.clock().now().micros();
        let kind = match (&draft.smile, &draft.attached) {
            (Some(_), _) => SMILE,
            (None, Some(_)) => FILE,
            (None, None) => TEXT,
        };
        let attached = draft.attached.map(|attached| stored_media(*attached, now));
        let awaited = draft.files.into_iter().map(|name| NewMedia {
            uuid: FileId::random().get().into_bytes(),
            identifier: identifier(&name),
            stored: None,
        });
        NewRow {
            conversation: permit.conversation().get(),
            sender: permit.author().to_db(),
            link: permit.link().map(LinkId::get),
            login: None,
            client_key,
            kind,
            text: draft.text.into_inner(),
            smile: draft.smile.map(|smile| smile.id.get()),
            created_at: now,
            medias: attached.into_iter().chain(awaited).collect(),
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

/// A file that is there already, as the table keeps it.
fn stored_media(attached: Attached, now: i64) -> NewMedia {
    NewMedia {
        uuid: attached.file.get().into_bytes(),
        identifier: identifier(&attached.name),
        stored: Some(StoredFile {
            filename: attached.filename,
            extension: attached.extension,
            declared_mime: attached.mime.clone(),
            mime: attached.mime,
            size: i64::try_from(attached.size).unwrap_or(i64::MAX),
            uploaded_at: now,
        }),
    }
}

/// A name of a file as its column takes it.
fn identifier(name: &str) -> String {
    name.chars().filter(|c| *c != '\0').take(1024).collect()
}

/// A client's reference as the table keeps it, per dialect.
pub(crate) fn key(dialect: Dialect, reference: &str) -> [u8; 16] {
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
            NotPlaced::NoConversation => Self::Refused(Refusal::not_found(error.to_string())),
            NotPlaced::NotPermitted => Self::Refused(Refusal::forbidden(error.to_string())),
            NotPlaced::LoginEnded => Self::Refused(login_over()),
            NotPlaced::Refused => Self::Impossible { table: "messages", what: error.to_string() },
        }
    }
}

async fn run(store: Store, mut writer: BatchWriter, mut queue: mpsc::Receiver<Entry>) {
    let mut waiting = Vec::new();
    // What no batch could store so far.
    let mut left = Vec::new();
    let mut open = true;
    while open || !waiting.is_empty() {
        if waiting.is_empty() {
            let more = queue.recv_many(&mut waiting, ROWS);
            if left.is_empty() {
                open = more.await > 0;
            } else if let Ok(count) = timeout(AGAIN, more).await {
                open = count > 0;
            }
        }
        let rest = waiting.split_off(fitting(&waiting));
        let entries = std::mem::replace(&mut waiting, rest);
        let marks: Vec<_> = left.drain(..left.len().min(ROWS)).collect();
        if !entries.is_empty() || !marks.is_empty() {
            left.extend(write(&store, &mut writer, entries, marks).await);
            keep_newest(&mut left);
        }
    }
}

/// Of the steps of one cursor the last one says everything.
fn keep_newest(marks: &mut Vec<Mark>) {
    if marks.len() < 2 {
        return;
    }
    let mut seen = HashSet::new();
    marks.reverse();
    marks.retain(|mark| seen.insert((mark.link, std::mem::discriminant(&mark.to))));
    marks.truncate(MARKS_LEFT);
    marks.reverse();
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

/// Stores a batch and tells of it; returns the marks that are still to be stored.
async fn write(
    store: &Store,
    writer: &mut BatchWriter,
    entries: Vec<Entry>,
    marks: Vec<Mark>,
) -> Vec<Mark> {
    let mut batch = Batch { rows: Vec::new(), marks };
    let mut tails = Vec::new();
    for entry in entries {
        match entry {
            Entry::Post(pending) => {
                let Pending { row, telling, answer } = *pending;
                batch.rows.push(row);
                tails.push((telling, answer));
            }
            Entry::Mark(mark) => batch.marks.push(mark),
        }
    }
    let batch = Arc::new(batch);
    let mut turn = store.turn().await;
    let begun = Instant::now();
    let outcomes = writer.write(&mut turn, &batch).await;
    telemetry::count_commit(batch.rows.len() + batch.marks.len(), begun.elapsed());
    for Doubtful { commit, placed } in writer.take_doubtful() {
        let mut news = News::none();
        for (pick, placed) in placed {
            news.append(posted(&batch.rows[pick], &placed, tails[pick].0.clone()));
        }
        store.doubt(commit, news);
    }
    let mut way = store.settle(&mut turn).await;
    for ((row, outcome), tail) in batch.rows.iter().zip(outcomes).zip(tails) {
        let (telling, answer) = tail;
        let dialect = telling.dialect;
        // Handed over while the turn is held: nobody commits in between.
        let stored = tell(store, &mut way, row, outcome, telling).await;
        if let Ok((placed, _)) = &stored
            && !placed.duplicate
        {
            telemetry::count_message(dialect.as_str());
        }
        // Nobody waits for it any more: it is stored and told all the same.
        let _ = answer.send(stored);
    }
    if writer.has_marks_left() { batch.marks.clone() } else { Vec::new() }
}

pub(super) async fn tell(
    store: &Store,
    way: &mut Way,
    row: &NewRow,
    outcome: Outcome,
    telling: Telling,
) -> Result<Stored, NotPlaced> {
    let placed = outcome?;
    let news = if placed.duplicate { News::none() } else { posted(row, &placed, telling) };
    Ok((placed, store.tell_behind(way, news).await))
}

/// What there is to tell of a stored message.
pub(super) fn posted(row: &NewRow, placed: &Placed, telling: Telling) -> News {
    let Telling { sender, aside, smile, .. } = telling;
    let conversation = ConversationId::new(row.conversation);
    let message = Message { smile, ..message(row, placed, &sender) };
    let event = Event::MessagePosted { message: Arc::new(message), sender, aside };
    News::none().conversation(conversation, Notice::new([Topic::Conversation(conversation)], event))
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
        kind: match row.kind {
            SMILE => MessageKind::Smile,
            FILE => MessageKind::File,
            _ => MessageKind::Text,
        },
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
        .map(|(media, id)| {
            let stored = media.stored.as_ref();
            Media {
                id: MediaId::new(*id),
                file: FileId::new(Uuid::from_bytes(media.uuid)),
                owner: MediaOwner::Message(MessageId::new(placed.id)),
                purpose: "default".to_owned(),
                identifier: media.identifier.clone(),
                filename: stored.map(|file| file.filename.clone()),
                extension: stored.map(|file| file.extension.clone()),
                directory: String::new(),
                mime: stored.and_then(|file| file.mime.clone()),
                size: stored.and_then(|file| u64::try_from(file.size).ok()),
                uploaded: stored.map(|file| Timestamp::from_micros(file.uploaded_at)),
                created: Timestamp::from_micros(row.created_at),
            }
        })
        .collect()
}
