//! Use cases on a database of a test's own, for tests of what stands above them.

use std::net::{IpAddr, Ipv4Addr};

use tempfile::TempDir;

use super::{Parts, PresenceTeller, Services, Typing};
use crate::auth::{Auth, Secrets};
use crate::clock::Clock;
use crate::domain::{Access, ConversationId, Email, Principal};
use crate::policy::MayKeepRooms;
use crate::rtc::Introductions;
use crate::settings::Settings;
use crate::store::log::Log;
use crate::store::{Files, NewUser, Options, Store};

/// Where everybody in tests comes from.
pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Services, and the folder they live in.
pub(crate) struct Home {
    pub(crate) services: Services,
    _folder: TempDir,
}

impl Home {
    /// An empty one with the defaults.
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::default();
        let clock = Clock::system();
        let url = format!("sqlite:{}", folder.path().join("klatsch.db").display());
        let store = Store::open(&Options::at(url), clock.clone()).await.unwrap();
        store.migrate().await.unwrap();
        let secrets =
            Secrets::open(folder.path(), &settings.auth.token_secret, &settings.turn.secret)
                .unwrap();
        let (log, _) = Log::start(&store).unwrap();
        let services = Services::new(Parts {
            files: Files::open(folder.path()).await.unwrap(),
            log,
            rtc: Introductions {
                stun: Vec::new(),
                turn: Vec::new(),
                host: None,
                secure: None,
                listens: true,
                relays: true,
                port: std::sync::Arc::new(3478.into()),
                credentials: crate::rtc::RelayCredentials::new("secret", 60),
            },
            presence: PresenceTeller::start(store.clone()).0,
            typing: Typing::start(store.clone()),
            auth: Auth::new(&settings.auth, &settings.limits, &secrets, &clock),
            clock,
            accounts: settings.auth.clone(),
            limits: settings.limits.clone(),
            neo: settings.neo.clone(),
            members_chat: settings.members_chat.clone(),
            courier: settings.courier.clone(),
            store,
        });
        Self { services, _folder: folder }
    }

    /// A new account and a token of it.
    pub(crate) async fn person(&self, name: &str) -> (Principal, String) {
        let email = Email::new(&format!("{name}@example.org")).unwrap();
        let user = self.services.store().start_user(NewUser::called(email)).await.unwrap();
        let principal = Principal::User(user.id);
        (principal, self.token(principal).await)
    }

    /// A further login.
    pub(crate) async fn token(&self, principal: Principal) -> String {
        let tokens = &self.services.auth().tokens;
        let expires = tokens.expiry(principal);
        let login = self.services.store().start_login(principal, expires).await.unwrap();
        tokens.issue(principal, login, expires)
    }

    /// A room that everybody may enter.
    pub(crate) async fn room(&self) -> ConversationId {
        let permit = MayKeepRooms::operator();
        let room = self.services.store().add_room(&permit, "Tea", "", Access::Open).await;
        room.unwrap().id
    }
}
