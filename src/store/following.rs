//! Acting on what other processes changed, the command line among them, within two seconds.
//!
//! Once a second the latest notices are read, each time anew, and each is acted upon once; to act twice would do no
//! harm. What kind it knows not, a process passes over: a newer one may have written it.

use std::collections::HashSet;
use std::time::Duration;

use entity::logins;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use tokio::time::{MissedTickBehavior, interval};

use super::logins::login_ended;
use super::memberships::changed;
use super::rooms::listed;
use super::{
    CONVERSATION_REMOVED, LOGINS_ENDED, Notice, ROOM_ADDED, ROOM_CHANGED, Store, StoreError,
    USER_CHANGED,
};
use crate::domain::{
    Access, ConversationChange, ConversationId, Listing, LoginId, Principal, Timestamp, Topic,
    UserId,
};
use crate::hub::{News, Notice as HubNotice};

/// How often one looks.
const PACE: Duration = Duration::from_secs(1);
/// After how many looks old notices are forgotten.
const FORGETTING: u32 = 600;
/// Logins that ended so many seconds ago may be what a notice speaks of; clocks differ.
const RECENTLY: i64 = 120;

/// What has been acted upon.
struct Follower {
    store: Store,
    seen: HashSet<i64>,
    /// When it looked last and got an answer; one that could not for longer than the latest notices reach back looks
    /// further.
    looked: Timestamp,
}

impl Store {
    /// Acts on the notices of other processes, for ever; `earlier` ones were there before
    /// anything was read from the database, and tell nobody anything new.
    pub async fn follow_notices(self, earlier: Vec<Notice>) {
        let seen = earlier.iter().map(|notice| notice.id).collect();
        let looked = self.clock().now();
        let mut follower = Follower { store: self, seen, looked };
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0;
        let mut failing = false;
        loop {
            pace.tick().await;
            looks = (looks + 1) % FORGETTING;
            let mut result = follower.look().await;
            if looks == 0 && result.is_ok() {
                result = follower.store.forget_notices().await;
            }
            if let Err(error) = &result
                && !failing
            {
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, "changes by other processes are not seen now");
            }
            failing = result.is_err();
        }
    }
}

impl Follower {
    /// Acts on what is new.
    async fn look(&mut self) -> Result<(), StoreError> {
        let now = self.store.clock().now();
        let notices = self.store.list_notices_since(now.min(self.looked)).await?;
        let listed: HashSet<_> = notices.iter().map(|notice| notice.id).collect();
        self.seen.retain(|id| listed.contains(id));
        for notice in notices {
            if !notice.own && !self.seen.contains(&notice.id) {
                self.store.act_on(&notice).await?;
            }
            self.seen.insert(notice.id);
        }
        self.looked = now;
        Ok(())
    }
}

impl Store {
    async fn act_on(&self, notice: &Notice) -> Result<(), StoreError> {
        match notice.kind.as_str() {
            USER_CHANGED => self.user_changed(UserId::new(notice.subject)).await,
            LOGINS_ENDED => self.logins_ended(Principal::from_db(notice.subject, "notices")?).await,
            CONVERSATION_REMOVED => {
                self.conversation_removed(ConversationId::new(notice.subject)).await
            }
            ROOM_ADDED => self.room_added(ConversationId::new(notice.subject)).await,
            ROOM_CHANGED => self.room_changed(ConversationId::new(notice.subject)).await,
            _ => Ok(()),
        }
    }

    /// Rights may be others now; who is staff no more is put out of staff rooms.
    async fn user_changed(&self, id: UserId) -> Result<(), StoreError> {
        self.forget_standings();
        let principal = Principal::User(id);
        self.contacts().touch([principal]);
        self.renew_contacts().await;
        if !self.hub().roster().is_online(principal) {
            return Ok(());
        }
        let rooms = self.list_rooms().await?;
        // Last of all: who is staff by now stays.
        if self.find_user(id).await?.is_some_and(|user| user.is_staff()) {
            return Ok(());
        }
        let staff_only = rooms.iter().filter(|room| room.access == Access::Staff);
        let news = staff_only.fold(News::none(), |news, room| {
            news.conversation(room.id, HubNotice::putting_out([principal], room.id))
        });
        self.tell(news).await;
        Ok(())
    }

    /// Connections that are known by a login which has ended are told so.
    async fn logins_ended(&self, principal: Principal) -> Result<(), StoreError> {
        if !self.hub().roster().is_online(principal) {
            return Ok(());
        }
        let active = match principal {
            Principal::User(id) => self.find_user(id).await?.is_some_and(|user| user.active),
            Principal::Device(id) => self.find_device(id).await?.is_some_and(|it| it.activated),
        };
        let since = self.clock().now().plus_secs(-RECENTLY).micros();
        let ended = logins::Entity::find()
            .filter(logins::Column::Principal.eq(principal.to_db()))
            .filter(logins::Column::EndedAt.gte(since))
            .all(self.reads())
            .await?;
        let told = ended.iter().map(|row| login_ended(LoginId::new(row.id), !active));
        self.tell(told.fold(News::none(), News::personal)).await;
        Ok(())
    }

    /// Everybody in it is told, and hears nothing of it afterwards.
    async fn conversation_removed(&self, id: ConversationId) -> Result<(), StoreError> {
        self.forget_standings_of(id);
        let everybody = self.hub().roster().principals();
        let notice = everybody
            .into_iter()
            .fold(changed(id, ConversationChange::Deleted), |notice, principal| {
                notice.evicting(principal, Topic::Conversation(id))
            });
        let mut news = News::none().conversation(id, notice);
        if let Some((room, users)) = self.find_removed(id).await? {
            news.append(listed(&room, Listing::Removed, users));
        }
        self.tell(news).await;
        Ok(())
    }

    /// Everybody who shows rooms is told.
    async fn room_added(&self, id: ConversationId) -> Result<(), StoreError> {
        if let Some(room) = self.find_conversation(id).await? {
            self.tell(listed(&room, Listing::Added, [])).await;
        }
        Ok(())
    }

    /// The same, and who may not be in it any more is put out.
    async fn room_changed(&self, id: ConversationId) -> Result<(), StoreError> {
        self.forget_standings_of(id);
        let Some(room) = self.find_conversation(id).await? else { return Ok(()) };
        self.tell(News::none().conversation(id, changed(id, ConversationChange::Updated))).await;
        self.tell_room_changed(&room).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::clock::Clock;
    use crate::domain::{Email, Event, User};
    use crate::hub::{Delivery, Listener};
    use crate::policy::MayKeepRooms;
    use crate::store::{NewUser, Options, UserChange};

    /// Hears everything, and writes it down in a word.
    #[derive(Default)]
    struct Ear(Mutex<Vec<String>>);

    impl Ear {
        fn heard(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock())
        }
    }

    impl Listener for Ear {
        fn offer(&self, delivery: &Arc<Delivery>) {
            self.0.lock().push(match delivery.event() {
                Event::LoginEnded { login, deactivated } => format!("login {login} {deactivated}"),
                Event::ConversationChanged { conversation, .. } => format!("gone {conversation}"),
                other => format!("{other:?}"),
            });
        }
    }

    /// Two processes on one database; a user is connected to the first.
    struct Two {
        here: Follower,
        there: Store,
        ear: Arc<Ear>,
        ann: User,
        _folder: tempfile::TempDir,
    }

    impl Two {
        async fn start(change: impl FnOnce(&mut NewUser), topics: &[Topic]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let url = format!("sqlite:{}", folder.path().join("klatsch.db").display());
            let here = Store::open(&Options::at(&url), Clock::system()).await.unwrap();
            here.migrate().await.unwrap();
            let there = Store::open(&Options::at(&url), Clock::system()).await.unwrap();
            let mut new = NewUser::called(Email::new("ann@example.org").unwrap());
            change(&mut new);
            let ann = here.start_user(new).await.unwrap();
            let ear = Arc::new(Ear::default());
            let connection = here.hub().attach(Arc::clone(&ear) as Arc<dyn Listener>);
            here.hub().roster().arrive(Principal::User(ann.id), connection, 9, None).unwrap();
            for topic in topics {
                here.hub().subscribe(connection, *topic);
            }
            let looked = here.clock().now();
            let here = Follower { store: here, seen: HashSet::new(), looked };
            Self { here, there, ear, ann, _folder: folder }
        }

        async fn heard(&mut self) -> Vec<String> {
            self.here.look().await.unwrap();
            self.ear.heard()
        }

        async fn change(&self, change: UserChange) {
            self.there.change_user(self.ann.id, change).await.unwrap();
        }
    }

    const LOGIN: LoginId = LoginId::new(1);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_login_that_ended_elsewhere_is_told_once() {
        for (change, word) in [
            (UserChange { password_hash: Some(None), ..UserChange::default() }, "login 1 false"),
            (UserChange { active: Some(false), ..UserChange::default() }, "login 1 true"),
        ] {
            let mut two = Two::start(|_| (), &[Topic::Login(LOGIN)]).await;
            let expires = Clock::system().now().plus_secs(60);
            let store = &two.here.store;
            let login = store.start_login(Principal::User(two.ann.id), expires).await.unwrap();
            assert_eq!(login, LOGIN);
            assert!(two.heard().await.is_empty());
            two.change(change).await;
            assert_eq!(two.heard().await, [word]);
            assert!(two.heard().await.is_empty());
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_room_removed_elsewhere_is_heard_of_for_the_last_time() {
        let room = ConversationId::new(1);
        let mut two = Two::start(|_| (), &[Topic::Conversation(room)]).await;
        let permit = MayKeepRooms::operator();
        let made = two.there.add_room(&permit, "Tea", "", Access::Open).await.unwrap();
        assert_eq!(made.id, room);
        assert!(two.heard().await.is_empty());
        assert!(two.there.remove_room(&permit, room).await.unwrap());
        assert_eq!(two.heard().await, ["gone 1"]);
        let store = &two.here.store;
        let again = changed(room, ConversationChange::Updated);
        store.tell(News::none().conversation(room, again)).await;
        assert!(two.ear.heard().is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_is_staff_no_more_hears_nothing_of_staff_rooms() {
        let topics = [1, 2].map(|id| Topic::Conversation(ConversationId::new(id)));
        let mut two = Two::start(|new| new.staff = true, &topics).await;
        let permit = MayKeepRooms::operator();
        let kitchen = two.there.add_room(&permit, "Kitchen", "", Access::Staff).await.unwrap();
        let tea = two.there.add_room(&permit, "Tea", "", Access::Open).await.unwrap();
        let say = async |two: &Two, id| {
            let news = News::none().conversation(id, changed(id, ConversationChange::Updated));
            two.here.store.tell(news).await;
            two.ear.heard().len()
        };
        two.change(UserChange { employee: Some(true), ..UserChange::default() }).await;
        two.heard().await;
        assert_eq!((say(&two, kitchen.id).await, say(&two, tea.id).await), (1, 1));
        two.change(UserChange { staff: Some(false), ..UserChange::default() }).await;
        two.heard().await;
        assert_eq!((say(&two, kitchen.id).await, say(&two, tea.id).await), (0, 1));
    }
}
