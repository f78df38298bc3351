//! The use cases, the same for every dialect and for HTTP.
//!
//! A use case is always the same few lines: collect the standing, ask `policy` for a
//! permit, let `store` write, answer.

mod accounts;
mod administration;
mod attachments;
mod attendance;
mod browsers;
mod calls;
mod chats;
mod circles;
mod conversations;
mod devices;
mod dialogs;
mod execute;
#[cfg(test)]
pub(crate) mod fixture;
mod identity;
mod letters;
mod listings;
mod messages;
mod naming;
mod pace;
mod places;
mod presence;
mod revisions;
mod rooms;
mod storage;
mod turns;
mod typing;

use std::net::IpAddr;
use std::sync::{Arc, Weak};

use places::Places;

use crate::auth::Auth;
use crate::clock::Clock;
use crate::domain::{LoginId, Principal, Refusal};
use crate::hub::ConnectionId;
use crate::rtc::Introductions;
use crate::settings::{
    AuthSettings, CourierSettings, LimitSettings, MembersChatSettings, NeoSettings,
};
use crate::store::log::Log;
use crate::store::{Files, Store};

use calls::Desk;
use letters::Letters;
use pace::Pace;
use turns::Turns;

pub use accounts::{Modification, Profile, Registration};
pub use attachments::{Announced, Belonging, Opened, Upload, named_owner};
pub use browsers::BrowserEntry;
pub use circles::CircleContent;
pub use conversations::{ConversationContent, FirstMessage};
pub use devices::DeviceContent;
pub use dialogs::DialogPage;
pub use listings::{MessageList, Reader};
pub use naming::{guess, stored_name};
pub use presence::{Binding, Hearing, PresenceTeller};
pub use storage::{NoSmile, Picture};
pub use turns::{Bulk, LARGE_ANSWER, Turn};
pub use typing::Typing;

pub use crate::store::{Amended, Amount, Description, ListFrom, PricedSmile, UserChange};

/// Bytes at which a list of messages in one answer ends.
const LIST_BYTES: usize = 32 << 20;

/// Who asks, and over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// By which login it is known.
    pub login: LoginId,
    /// The live connection it asks over; none for HTTP.
    pub connection: Option<ConnectionId>,
    /// Where it asks from.
    pub address: IpAddr,
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    parts: Arc<Parts>,
    places: Places,
    letters: Arc<Letters>,
    pace: Arc<Pace>,
    turns: Arc<Turns>,
    desk: Arc<Desk>,
}

/// What the use cases rest on.
pub struct Parts {
    /// Everything that is kept, and where what happens is told.
    pub store: Store,
    /// The bytes of files.
    pub files: Files,
    /// The one writer of history.
    pub log: Log,
    /// Where calls find STUN and TURN.
    pub rtc: Introductions,
    /// Tells who comes online and goes.
    pub presence: PresenceTeller,
    /// Knows who is typing.
    pub typing: Typing,
    /// Proofs of who one is.
    pub auth: Auth,
    /// The present moment.
    pub clock: Clock,
    /// What operators set about accounts.
    pub accounts: AuthSettings,
    /// How much one may claim.
    pub limits: LimitSettings,
    /// What operators set about the NEO interface.
    pub neo: NeoSettings,
    /// What operators set about members-chat, and what messages cost.
    pub members_chat: MembersChatSettings,
    /// What operators set about letters.
    pub courier: CourierSettings,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

impl Services {
    /// Brings together what the use cases rest on.
    pub fn new(parts: Parts) -> Self {
        let places = Places::start(parts.store.clone());
        let letters = Arc::new(Letters::new(parts.courier.clone()));
        let pace = Arc::new(Pace::new(&parts.limits));
        let turns = Arc::default();
        let (desk, jobs) = Desk::new(parts.store.hub().clone());
        let services = Self { parts: Arc::new(parts), places, letters, pace, turns, desk };
        services.attend_calls(jobs);
        services
    }

    /// Starts what becomes of calls without being asked; it ends with the last of these services.
    fn attend_calls(&self, jobs: tokio::sync::mpsc::UnboundedReceiver<calls::Job>) {
        let (parts, desk) = (Arc::downgrade(&self.parts), Arc::downgrade(&self.desk));
        let evictions = self.hub().evictions();
        let run = {
            let desk = Weak::clone(&desk);
            let (places, letters) = (self.places.clone(), Arc::clone(&self.letters));
            let (pace, turns) = (Arc::clone(&self.pace), Arc::clone(&self.turns));
            move |errand| {
                let there = parts.upgrade().zip(desk.upgrade());
                let (places, letters) = (places.clone(), Arc::clone(&letters));
                let (pace, turns) = (Arc::clone(&pace), Arc::clone(&turns));
                async move {
                    let Some((parts, desk)) = there else { return };
                    let services = Self { parts, places, letters, pace, turns, desk };
                    services.run_errand(errand).await;
                }
            }
        };
        tokio::spawn(calls::attend(desk, jobs, evictions, run));
    }

    /// Everything that is kept.
    pub(crate) fn store(&self) -> &Store {
        &self.parts.store
    }

    /// The same, for what a caller asks to be written: not once its login has ended.
    pub(crate) fn store_for(&self, caller: &Caller) -> Store {
        self.store().acting(caller.principal, caller.login)
    }

    fn files(&self) -> &Files {
        &self.parts.files
    }

    fn log(&self) -> &Log {
        &self.parts.log
    }

    /// Where calls find STUN and TURN.
    fn rtc(&self) -> &Introductions {
        &self.parts.rtc
    }

    fn places(&self) -> &Places {
        &self.places
    }

    fn typing(&self) -> &Typing {
        &self.parts.typing
    }

    fn desk(&self) -> &Desk {
        &self.desk
    }

    fn clock(&self) -> &Clock {
        &self.parts.clock
    }

    fn limits(&self) -> &LimitSettings {
        &self.parts.limits
    }

    fn auth(&self) -> &Auth {
        &self.parts.auth
    }

    fn accounts(&self) -> &AuthSettings {
        &self.parts.accounts
    }

    fn neo(&self) -> &NeoSettings {
        &self.parts.neo
    }

    fn courier(&self) -> &Letters {
        &self.letters
    }

    fn chats(&self) -> &MembersChatSettings {
        &self.parts.members_chat
    }

    /// Names of what does not answer.
    pub async fn missing(&self) -> Vec<&'static str> {
        match self.store().ping().await {
            Ok(()) => Vec::new(),
            Err(_) => vec!["database"],
        }
    }
}

/// Refuses what is not there.
fn found(there: bool, otherwise: impl FnOnce() -> Refusal) -> Result<(), Refusal> {
    if there { Ok(()) } else { Err(otherwise()) }
}
