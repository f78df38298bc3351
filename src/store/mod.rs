//! The database; the only module that knows what it looks like.
//!
//! There are pools for reading, and one turn for writing: whoever writes takes the turn first, so within a process
//! commits happen in the order in which they are told.

mod accounts;
mod attachments;
mod audience;
mod change;
mod changes;
mod circles;
mod companies;
mod connect;
mod contacts;
mod conversations;
pub(crate) mod counters;
mod delivered;
mod devices;
mod dialogs;
mod doubts;
mod error;
mod faces;
mod files;
mod following;
mod letters;
mod locks;
pub mod log;
mod logins;
mod marks;
mod memberships;
mod messages;
mod notices;
mod openings;
mod operator;
mod outlines;
mod pages;
mod parked;
mod pool;
mod reading;
mod receipts;
mod relaying;
mod rooms;
mod rows;
mod schema;
mod sharing;
mod shelves;
mod shown;
mod smiles;
mod standings;
mod tips;
mod transaction;
mod witness;

use std::path::Path;
use std::sync::Arc;

use sea_orm::{ConnectionTrait, DbBackend};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

pub use accounts::NewUser;
pub use attachments::{Arrived, Description};
pub use change::Changed;
pub use connect::{Durability, Options};
pub use contacts::Concerned;
pub use delivered::Reception;
pub use devices::{DeviceKeys, NewDevice};
pub use dialogs::{DialogState, Newest};
pub use error::StoreError;
pub use files::{Files, Incoming, Kept, SweepError};
pub use letters::Waiting;
pub use logins::{BrowserHashes, Ending, Identity, LOGINS_ENDED, LoginState};
pub use notices::Notice;
pub use openings::{CONVERSATION_REMOVED, Opening, ROOM_ADDED};
pub use operator::{Amended, Amount, USER_CHANGED, UserChange};
pub use outlines::{Cap, Entry, ListFrom, pieces};
pub use parked::ParkedPlace;
pub use reading::Reads;
pub use rooms::ROOM_CHANGED;
pub use smiles::PricedSmile;
pub use transaction::{Tx, WriteTurn};

use crate::clock::Clock;
use crate::domain::{LoginId, Principal};
use crate::hub::{Hub, Publishers};
use audience::Audiences;
use connect::Connector;
use contacts::Contacts;
use delivered::DeliveredMarks;
use doubts::{Doubts, keep_settled};
use standings::Standings;
use transaction::Writer;

/// The way to everything that is kept.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    /// For whom it writes, and by which login that is known.
    acting: Option<(Principal, LoginId)>,
}

struct Shared {
    connector: Connector,
    reads: Reads,
    /// Fair: whoever asks first writes first.
    writer: Arc<Mutex<Writer>>,
    hub: Hub,
    publishers: Publishers,
    standings: Standings,
    audiences: Audiences,
    contacts: Contacts,
    delivered: DeliveredMarks,
    doubts: Doubts,
    clock: Clock,
    node: [u8; 16],
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("backend", &self.backend()).finish_non_exhaustive()
    }
}

impl Store {
    /// Connects; SQLite's file is made if it is missing. The schema is left as it is.
    pub async fn open(options: &Options, clock: Clock) -> Result<Self, StoreError> {
        let connector = Connector::new(options)?;
        // The writer comes first: it makes the file that readers open.
        let writer = Writer::open(connector.clone()).await?;
        let reads = Reads::open(&connector).await?;
        let writer = Arc::new(Mutex::new(writer));
        let hub = Hub::default();
        let publishers = Publishers::start(&hub);
        let node = rand::random();
        let standings = Standings::default();
        let shared = Shared {
            connector,
            reads,
            writer,
            hub,
            publishers,
            standings,
            audiences: Audiences::default(),
            contacts: Contacts::default(),
            delivered: DeliveredMarks::default(),
            doubts: Doubts::default(),
            clock,
            node,
        };
        let shared = Arc::new(shared);
        tokio::spawn(keep_settled(Arc::downgrade(&shared)));
        Ok(Self { shared, acting: None })
    }

    /// Brings the schema up to date, and names what was applied; several processes may do so at once.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        schema::migrate(&self.shared.connector).await
    }

    /// Names of the migrations that `migrate` would apply.
    pub async fn list_pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        let connections = self.reads().connections();
        let pending = schema::pending(&connections);
        timeout_at(self.deadline(), pending).await.map_err(|_| StoreError::TooSlow)?
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.reads().execute_unprepared("SELECT 1").await?;
        Ok(())
    }

    /// Waits for the writer, and closes. Nothing can be read or written afterwards.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.reads().close().await?;
        let writer = self.shared.writer.lock().await;
        writer.checkpoint().await;
        Ok(writer.close().await?)
    }

    /// Runs one transaction in a turn of its own: all of it is stored, or nothing if `work` or anything else fails.
    pub async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&Tx) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let deadline = self.deadline();
        let mut turn = timeout_at(deadline, self.turn()).await.map_err(|_| StoreError::TooSlow)?;
        let work = async |tx: &Tx| {
            self.require_login(tx).await?;
            work(tx).await
        };
        turn.write_until(deadline, work).await
    }

    /// Waits for the turn to write. Whoever has it may commit and tell of it before anybody else commits.
    pub async fn turn(&self) -> WriteTurn {
        let writer = self.shared.writer.clone().lock_owned().await;
        WriteTurn::new(writer, self.shared.connector.options().deadline)
    }

    /// Until when a transaction that begins now has to be done.
    fn deadline(&self) -> Instant {
        Instant::now() + self.shared.connector.options().deadline
    }

    /// The event bus, and who is connected.
    pub fn hub(&self) -> &Hub {
        &self.shared.hub
    }

    /// The tasks that tell what was committed.
    pub(crate) fn publishers(&self) -> &Publishers {
        &self.shared.publishers
    }

    /// How principals stand to conversations, as far as it was asked lately.
    fn standings(&self) -> &Standings {
        &self.shared.standings
    }

    /// Who belongs to conversations, as far as it was asked lately.
    fn audiences(&self) -> &Audiences {
        &self.shared.audiences
    }

    /// Whom the presence of those who are connected concerns.
    fn contacts(&self) -> &Contacts {
        &self.shared.contacts
    }

    /// How far messages have been delivered lately.
    fn delivered_marks(&self) -> &DeliveredMarks {
        &self.shared.delivered
    }

    /// What everybody reads from. A page is read whole, never while a client is being waited for.
    pub fn reads(&self) -> &Reads {
        &self.shared.reads
    }

    /// Which of the three databases it is.
    pub fn backend(&self) -> DbBackend {
        self.shared.connector.backend()
    }

    /// SQLite's file, if it is SQLite.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.shared.connector.file()
    }

    /// When SQLite calls a commit done.
    pub(crate) fn durability(&self) -> Durability {
        self.shared.connector.options().durability
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Names this process among those that share the database.
    pub(crate) fn node(&self) -> &[u8; 16] {
        &self.shared.node
    }
}
