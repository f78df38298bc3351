//! What goes into the database together, and what becomes of it.
//!
//! Plain numbers and texts, as the columns hold them: nothing here knows permits, events or dialects.

use tokio::time::Instant;

/// Messages and marks that are stored in one transaction.
#[derive(Debug, Default)]
pub struct Batch {
    /// Messages, in the order in which they are numbered.
    pub rows: Vec<NewRow>,
    /// Cursors to move forward.
    pub marks: Vec<Mark>,
}

/// A message before it has its numbers.
#[derive(Clone, Debug)]
pub struct NewRow {
    /// Where it is posted.
    pub conversation: i64,
    /// The principal that posts it.
    pub sender: i64,
    /// The membership it is posted through.
    pub link: Option<i64>,
    /// The login it is posted by; none for what the server says in somebody's name.
    pub login: Option<i64>,
    /// Names this sending; unique per sender.
    pub client_key: [u8; 16],
    /// 0 text, 1 smile, 2 file.
    pub kind: i16,
    /// What it says, without U+0000.
    pub text: String,
    /// The smile it shows.
    pub smile: Option<i64>,
    /// When it was posted.
    pub created_at: i64,
    /// Its files; those without a stored file are awaited.
    pub medias: Vec<NewMedia>,
    /// Until when it may be stored. Later, its sender is told that it was not.
    pub deadline: Instant,
}

/// A file of a message.
#[derive(Clone, Debug)]
pub struct NewMedia {
    /// Its public name.
    pub uuid: [u8; 16],
    /// The name its sender announced.
    pub identifier: String,
    /// What is known of its bytes, if they have arrived with the message.
    pub stored: Option<StoredFile>,
}

/// A file whose bytes are there.
#[derive(Clone, Debug, Default)]
pub struct StoredFile {
    /// The name it arrived with, without extension.
    pub filename: String,
    /// With the leading dot.
    pub extension: String,
    /// The type it is served with.
    pub mime: Option<String>,
    /// The type its sender declared.
    pub declared_mime: Option<String>,
    /// Bytes.
    pub size: i64,
    /// When they arrived.
    pub uploaded_at: i64,
}

/// One step of a member's cursor; it never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// The membership.
    pub link: i64,
    /// Which cursor, and where to.
    pub to: Cursor,
}

/// The cursors of a membership, each counted in places.
#[derive(Clone, Copy, Debug)]
pub enum Cursor {
    /// Everything up to here is read.
    Read {
        /// The place.
        shown: i64,
        /// The seq it stands for.
        seq: i64,
        /// When it was read.
        at: i64,
    },
    /// Everything up to here is delivered.
    Delivered(i64),
    /// Everything up to here has reached the courier client.
    Courier(i64),
}

/// The numbers a message was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The message.
    pub id: i64,
    /// Where it is; another conversation than asked for, if its key was used there before.
    pub conversation: i64,
    /// Its place there.
    pub seq: i64,
    /// The change that posted it, or last touched it.
    pub revision: i64,
    /// Its place among everything shown; nothing while files are awaited.
    pub shown: Option<i64>,
    /// When it was posted.
    pub created_at: i64,
    /// Its files, in order.
    pub medias: Vec<i64>,
    /// Whether it was there already, and told of already.
    pub duplicate: bool,
}

/// Why a message has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPlaced {
    /// The conversation is not there.
    #[error("there is no such conversation")]
    NoConversation,
    /// Its author takes part in the conversation no longer.
    #[error("you do not take part in this conversation")]
    NotPermitted,
    /// The login it was posted by has ended.
    #[error("the login has ended")]
    LoginEnded,
    /// The database refuses this message, and would again.
    #[error("the message cannot be stored")]
    Refused,
    /// The database could not store it in time; it is not stored.
    #[error("the database is not available")]
    Unavailable,
    /// It may be stored, and may not; the same key finds out.
    #[error("whether the message was stored is unknown")]
    OutcomeUnknown,
}

/// What became of a row.
pub type Outcome = Result<Placed, NotPlaced>;

/// The longest name of a file, in characters.
const IDENTIFIER: usize = 1024;
/// The most bytes one text may have; MySQL's column ends at 16 MiB.
const TEXT: usize = 8 << 20;

impl NewRow {
    /// How many of its files are still to come.
    pub(super) fn awaited(&self) -> usize {
        self.medias.iter().filter(|media| media.stored.is_none()).count()
    }

    /// About how many bytes it takes.
    pub fn weight(&self) -> usize {
        let names: usize = self.medias.iter().map(|media| media.identifier.len() + 64).sum();
        self.text.len() + names + 128
    }

    /// Whether every database takes it: a row that one refuses costs its whole batch a second try.
    pub(super) fn is_sound(&self) -> bool {
        let clean = |text: &str, chars: usize| {
            !text.contains('\0') && (text.len() <= chars || text.chars().count() <= chars)
        };
        self.text.len() <= TEXT
            && !self.text.contains('\0')
            && i16::try_from(self.medias.len()).is_ok()
            && self.medias.iter().all(|media| {
                clean(&media.identifier, IDENTIFIER)
                    && media.stored.as_ref().is_none_or(|file| {
                        clean(&file.filename, 255)
                            && clean(&file.extension, 32)
                            && file.mime.as_ref().is_none_or(|mime| clean(mime, 255))
                            && file.declared_mime.as_ref().is_none_or(|mime| clean(mime, 255))
                    })
            })
    }
}
