//! Permits hold in the transaction that writes, whichever process made the commit before it: two stores on one
//! database stand for two processes.

use std::sync::Arc;

use klatsch::domain::{
    ConversationId, Dialect, Draft, LoginId, MediaOwner, Message, MessageId, RefusalKind, Role,
    Text, Timestamp, User,
};
use klatsch::policy::{self, Beginning, Invitee, Standing};
use klatsch::store::{Amended, Ending, Opening, Store, StoreError, UserChange};
use sea_orm::{ConnectionTrait, Statement};

use super::conversations::World;
use crate::support::databases::{self, Database};

/// A world, and another process on its database.
struct Pair {
    world: World,
    other: Store,
    name: &'static str,
    _database: Database,
}

impl Pair {
    async fn each() -> Vec<Self> {
        let mut pairs = Vec::new();
        for database in databases::each().await {
            let world = World::on(&database).await;
            let other = database.open().await;
            pairs.push(Self { world, other, name: database.name, _database: database });
        }
        pairs
    }

    /// A group without a circle that Ann has made with these.
    async fn gather(&self, others: &[&User]) -> ConversationId {
        let named = others.iter().map(|user| user.id);
        let permit = policy::may_gather(self.world.ann.id, named, 500).expect("enough");
        self.world.store.gather(permit, "Tea", "", None).await.expect("stored")
    }

    async fn number(&self, sql: &str) -> i64 {
        let db = self.other.reads();
        let row = db.query_one_raw(Statement::from_string(self.other.backend(), sql)).await;
        row.expect("an answer").expect("a row").try_get_by_index(0).expect("a number")
    }

    /// Ann puts Bob out of a group, in the other process.
    async fn kick_bob(&self, id: ConversationId) {
        let standing = fresh(&self.other, &self.world.ann, id).await;
        let seat = self.other.find_seat(id, self.world.bob.id).await.expect("an answer");
        let permit = policy::may_kick(&standing, self.world.bob.id, seat).expect("Ann keeps it");
        assert!(self.other.kick(permit).await.expect("stored"));
    }

    /// Ann puts Bob out of the circle, in the other process.
    async fn kick_bob_from_circle(&self) {
        let (ann, bob) = (World::principal(&self.world.ann), self.world.bob.id);
        let circle = self.world.circle;
        let standing = self.other.circle_standing(ann, circle).await.unwrap().unwrap();
        let link = self.other.find_circle_link(circle, bob).await.unwrap();
        let permit = policy::may_kick_from_circle(&standing, bob, link.map(|link| link.id));
        assert!(self.other.kick_from_circle(permit.expect("Ann keeps it")).await.unwrap());
    }
}

async fn fresh(store: &Store, user: &User, id: ConversationId) -> Arc<Standing> {
    store.standing_now(World::principal(user), id).await.unwrap().expect("a conversation")
}

fn kind<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> RefusalKind {
    match outcome {
        Err(StoreError::Refused(refusal)) => refusal.kind(),
        other => panic!("not refused: {other:?}"),
    }
}

fn words(id: ConversationId, text: &str) -> Draft {
    Draft::words(id, Text::new(text.to_owned(), 100).expect("short"), Dialect::Neo)
}

async fn login_of(store: &Store, user: &User) -> LoginId {
    let expires = Timestamp::from_secs(4_000_000_000);
    store.start_login(World::principal(user), expires).await.expect("stored")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_put_out_posts_edits_and_changes_nothing() {
    for pair in Pair::each().await {
        let (world, name) = (&pair.world, pair.name);
        let (id, _) = world.group().await;
        let said = world.post(&world.bob, id, "mine", &[]).await.message;
        let said: Message = world.store.find_message(said).await.unwrap().unwrap();
        let standing = fresh(&world.store, &world.bob, id).await;
        let post = policy::may_post(&standing).unwrap();
        let edit = policy::may_edit(&standing, &said).unwrap();
        let remove = policy::may_remove(&standing, &said).unwrap();
        let read = policy::may_read(&standing).unwrap();
        let guest = Invitee { user: world.ann.id, member: false, in_circle: true };
        let invite = policy::may_invite(&standing, guest).unwrap();
        let quit = policy::may_quit(&standing).unwrap();
        pair.kick_bob(id).await;

        let before = pair.number("SELECT COUNT(*) FROM messages").await;
        assert_eq!(kind(world.log.append(post, words(id, "late")).await), RefusalKind::Forbidden);
        let text = Text::new("other".to_owned(), 100).unwrap();
        assert_eq!(kind(world.store.edit(edit, text).await), RefusalKind::Forbidden, "{name}");
        assert_eq!(kind(world.store.remove(remove).await), RefusalKind::Forbidden, "{name}");
        assert_eq!(kind(world.store.invite(invite, 500).await), RefusalKind::Forbidden, "{name}");
        assert_eq!(kind(world.store.quit(quit).await), RefusalKind::Forbidden, "{name}");
        assert_eq!(world.store.mark_read(read, said.seq).await.unwrap(), None, "{name}");
        assert_eq!(pair.number("SELECT COUNT(*) FROM messages").await, before, "{name}");
        let now = world.store.find_message(said.id).await.unwrap().unwrap();
        assert_eq!((now.text.as_str(), now.deleted), ("mine", None), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_the_kicked_is_stored_after_the_kick_was_answered() {
    for pair in Pair::each().await {
        for _ in 0..5 {
            let world = &pair.world;
            let (id, _) = world.group().await;
            let mut talk = tokio::task::JoinSet::new();
            for n in 0..8 {
                let (log, store) = (world.log.clone(), world.store.clone());
                let bob = world.bob.clone();
                talk.spawn(async move {
                    let standing = fresh(&store, &bob, id).await;
                    for m in 0..20 {
                        // Judged as it was when it all began.
                        let permit = policy::may_post(&standing).expect("a member");
                        let _ = log.append(permit, words(id, &format!("{n} {m}"))).await;
                    }
                });
            }
            tokio::task::yield_now().await;
            pair.kick_bob(id).await;
            let newest =
                format!("SELECT last_seq FROM conversation_heads WHERE conversation_id = {id}");
            let at_the_kick = pair.number(&newest).await;
            while talk.join_next().await.is_some() {}
            assert_eq!(pair.number(&newest).await, at_the_kick, "{}", pair.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_not_begun_by_or_with_who_left_the_circle() {
    for pair in Pair::each().await {
        let world = &pair.world;
        let (ann, bob) = (World::principal(&world.ann), World::principal(&world.bob));
        let beginning = |starter, other| Beginning {
            starter,
            other,
            circle: world.circle,
            starter_inside: true,
            other_inside: true,
        };
        let permits = [
            policy::may_start(beginning(bob, ann)).unwrap(),
            policy::may_start(beginning(ann, bob)).unwrap(),
        ];
        let shelf = world.store.shelf(bob, MediaOwner::Circle(world.circle)).await.unwrap();
        let shelve = policy::may_shelve(bob, &shelf.unwrap()).unwrap();
        let standing = world.store.circle_standing(bob, world.circle).await.unwrap().unwrap();
        let rename = policy::may_rename_circle(&standing).unwrap();
        let stranger = klatsch::domain::UserId::new(77);
        let invite = policy::may_invite_to_circle(&standing, stranger, false, false).unwrap();
        pair.kick_bob_from_circle().await;
        for permit in permits {
            let text = Text::new("first".to_owned(), 100).unwrap();
            let opening = Opening { title: "Tea".into(), text, files: Vec::new() };
            let outcome = world.store.start_group(permit, opening).await;
            assert_eq!(kind(outcome), RefusalKind::Forbidden, "{}", pair.name);
        }
        let wanted = vec![(shelve, "default".to_owned(), "a.png".to_owned())];
        assert_eq!(kind(world.store.shelve(wanted).await), RefusalKind::Forbidden);
        let name = Some("Mine".to_owned());
        assert_eq!(kind(world.store.rename_circle(rename, name).await), RefusalKind::Forbidden);
        assert_eq!(kind(world.store.invite_to_circle(invite).await), RefusalKind::Forbidden);
        let left = "SELECT COUNT(*) FROM conversations WHERE deleted_at IS NULL";
        assert_eq!(pair.number(left).await, 0, "{}", pair.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_login_writes_nothing() {
    for pair in Pair::each().await {
        let (world, name) = (&pair.world, pair.name);
        let (id, _) = world.group().await;
        let bob = World::principal(&world.bob);
        for deactivates in [false, true] {
            let login = login_of(&world.store, &world.bob).await;
            let post = || async {
                let standing = fresh(&world.store, &world.bob, id).await;
                let permit = policy::may_post(&standing).unwrap();
                world.log.sell(permit, words(id, "hi"), Some(login)).await
            };
            post().await.expect("the login lives");
            let acting = world.store.acting(bob, login);
            acting.start_circle(world.bob.id, "Mine").await.expect("the login lives");
            if deactivates {
                let change = UserChange { active: Some(false), ..UserChange::default() };
                let outcome = pair.other.change_user(world.bob.id, change).await.unwrap();
                assert!(matches!(outcome, Amended::To(_)));
            } else {
                let ending =
                    Ending { principal: bob, only: Some(login), except: None, deactivated: false };
                assert!(pair.other.end_logins(ending).await.unwrap());
            }
            assert_eq!(kind(post().await), RefusalKind::Unidentified, "{name}");
            let made = acting.start_circle(world.bob.id, "Late").await;
            assert_eq!(kind(made), RefusalKind::Unidentified, "{name}");
        }
        // Nor is anything said in the name of an account that is switched off.
        let standing = fresh(&world.store, &world.bob, id).await;
        let permit = policy::may_post(&standing).unwrap();
        let said = world.log.append(permit, words(id, "Missed call")).await;
        assert_eq!(kind(said), RefusalKind::Forbidden, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_stored_after_a_logout_was_answered() {
    for pair in Pair::each().await {
        let world = &pair.world;
        let (id, _) = world.group().await;
        for _ in 0..5 {
            let login = login_of(&world.store, &world.bob).await;
            let mut talk = tokio::task::JoinSet::new();
            for n in 0..8 {
                let (log, standing) =
                    (world.log.clone(), fresh(&world.store, &world.bob, id).await);
                talk.spawn(async move {
                    for m in 0..20 {
                        let permit = policy::may_post(&standing).expect("a member");
                        let said = log.sell(permit, words(id, &format!("{n} {m}")), Some(login));
                        let _ = said.await;
                    }
                });
            }
            tokio::task::yield_now().await;
            let principal = World::principal(&world.bob);
            let ending = Ending { principal, only: Some(login), except: None, deactivated: false };
            assert!(pair.other.end_logins(ending).await.unwrap());
            let newest =
                format!("SELECT last_seq FROM conversation_heads WHERE conversation_id = {id}");
            let then = pair.number(&newest).await;
            while talk.join_next().await.is_some() {}
            assert_eq!(pair.number(&newest).await, then, "{}", pair.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_invitations_as_many_succeed_as_there_is_room() {
    for pair in Pair::each().await {
        let world = &pair.world;
        let mut people = Vec::new();
        for n in 0..6 {
            people.push(super::conversations::person(&world.store, &format!("p{n}")).await);
        }
        let group = pair.gather(&[&world.bob, &people[0], &people[1]]).await;
        let standing = fresh(&world.store, &world.ann, group).await;
        let mut under_way = tokio::task::JoinSet::new();
        for (n, person) in people[2..].iter().enumerate() {
            let invitee = Invitee { user: person.id, member: false, in_circle: false };
            let permit = policy::may_invite(&standing, invitee).unwrap();
            let store = if n % 2 == 0 { world.store.clone() } else { pair.other.clone() };
            under_way.spawn(async move { store.invite(permit, 5).await });
        }
        let outcomes = under_way.join_all().await;
        let (invited, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!(invited.len(), 1, "{}: {refused:?}", pair.name);
        for outcome in refused {
            assert_eq!(kind(outcome), RefusalKind::Forbidden, "{}", pair.name);
        }
        assert_eq!(world.store.list_members(group).await.unwrap().len(), 5, "{}", pair.name);
        // The same person twice is one member.
        let group = pair.gather(&[&world.bob]).await;
        let standing = fresh(&world.store, &world.ann, group).await;
        let guest = Invitee { user: people[0].id, member: false, in_circle: false };
        let ask = |store: &Store| {
            let (store, permit) = (store.clone(), policy::may_invite(&standing, guest).unwrap());
            async move { store.invite(permit, 5).await }
        };
        let (one, other) = tokio::join!(ask(&world.store), ask(&pair.other));
        assert!(one.is_ok() != other.is_ok(), "{}: {one:?} {other:?}", pair.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_without_members_is_gone_whoever_left_at_once() {
    for pair in Pair::each().await {
        let world = &pair.world;
        for round in 0..20 {
            let group = pair.gather(&[&world.bob]).await;
            let quit = |store: &Store, user: &User| {
                let (store, user) = (store.clone(), user.clone());
                async move {
                    let standing = fresh(&store, &user, group).await;
                    store.quit(policy::may_quit(&standing)?).await
                }
            };
            let crossing = async {
                if round % 2 == 0 {
                    return quit(&pair.other, &world.ann).await;
                }
                // Ann puts Bob out while he goes, and goes then.
                let standing = fresh(&pair.other, &world.ann, group).await;
                let seat = pair.other.find_seat(group, world.bob.id).await.unwrap();
                if let Ok(permit) = policy::may_kick(&standing, world.bob.id, seat) {
                    let _ = pair.other.kick(permit).await;
                }
                quit(&pair.other, &world.ann).await
            };
            let (one, other) = tokio::join!(quit(&world.store, &world.bob), crossing);
            for outcome in [one, other] {
                assert!(
                    matches!(outcome, Ok(_) | Err(StoreError::Refused(_))),
                    "{}: {outcome:?}",
                    pair.name
                );
            }
        }
        let abandoned = "SELECT COUNT(*) FROM conversations WHERE deleted_at IS NULL AND NOT EXISTS \
             (SELECT 1 FROM members WHERE members.conversation_id = conversations.id AND live = 1)";
        assert_eq!(pair.number(abandoned).await, 0, "{}", pair.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_has_members_has_an_administrator_whoever_hands_over() {
    for pair in Pair::each().await {
        let world = &pair.world;
        let carl = super::conversations::person(&world.store, "carl").await;
        for _ in 0..10 {
            let group = pair.gather(&[&world.bob, &carl]).await;
            let promote = async {
                let standing = fresh(&world.store, &world.ann, group).await;
                let seat = world.store.find_seat(group, world.bob.id).await.unwrap();
                let permit = policy::may_promote(&standing, world.bob.id, seat);
                match permit {
                    Ok(permit) => world.store.promote(permit).await,
                    Err(refusal) => Err(StoreError::Refused(refusal)),
                }
            };
            let leave = async {
                let standing = fresh(&pair.other, &world.bob, group).await;
                pair.other.quit(policy::may_quit(&standing).unwrap()).await
            };
            let (_, left) = tokio::join!(promote, leave);
            left.unwrap();
            let members = world.store.list_members(group).await.unwrap();
            let keepers = members.iter().filter(|(member, _)| member.role == Role::Admin).count();
            assert!(keepers >= 1, "{}: {members:?}", pair.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_holds_what_was_touched_however_often_it_was_touched_again() {
    for pair in Pair::each().await {
        let world = &pair.world;
        let (id, first) = world.group().await;
        // Far more revisions than a page has, and nothing to show for most of them.
        let edits = if pair.name == "SQLite" { 3_000 } else { 300 };
        let message = world.store.find_message(first.message).await.unwrap().unwrap();
        let standing = fresh(&world.store, &world.ann, id).await;
        for n in 0..edits {
            let permit = policy::may_edit(&standing, &message).unwrap();
            let text = Text::new(format!("edit {n}"), 100).unwrap();
            world.store.edit(permit, text).await.unwrap();
        }
        let last = world.post(&world.ann, id, "last", &[]).await.message;
        let permit = world.reading(&world.bob, id).await;
        let (mut since, mut seen): (_, Vec<MessageId>) =
            (klatsch::domain::Revision::new(0), vec![]);
        loop {
            let page = world.store.page_since(&permit, since, 1).await.unwrap();
            assert!(!page.messages.is_empty() || !page.more, "{}: an empty page", pair.name);
            seen.extend(page.messages.iter().map(|written| written.message.id));
            since = page.revision;
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, [first.message, last], "{}", pair.name);
    }
}

/// What the databases are asked is what the policy says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_question_of_a_batch_is_that_of_the_policy() {
    for pair in Pair::each().await {
        let (world, name) = (&pair.world, pair.name);
        let keeper = policy::MayKeepRooms::operator();
        for access in [klatsch::domain::Access::Open, klatsch::domain::Access::Staff] {
            let room = world.store.add_room(&keeper, "Tea", "", access).await.unwrap().id;
            let staff = UserChange { staff: Some(true), ..UserChange::default() };
            world.store.change_user(world.bob.id, staff).await.unwrap();
            let standing = fresh(&world.store, &world.bob, room).await;
            world.store.enter(policy::may_enter(&standing).unwrap()).await.unwrap();
            let standing = fresh(&world.store, &world.bob, room).await;
            let permit = policy::may_post(&standing).unwrap();
            let again = policy::may_post(&standing).unwrap();
            world.log.append(permit, words(room, "as staff")).await.unwrap();
            let plain = UserChange { staff: Some(false), ..UserChange::default() };
            pair.other.change_user(world.bob.id, plain).await.unwrap();
            let said = world.log.append(again, words(room, "as anybody")).await;
            let standing = fresh(&world.store, &world.bob, room).await;
            assert_eq!(said.is_ok(), policy::may_post(&standing).is_ok(), "{name} {access:?}");
        }
        // A conversation that is gone, and a principal that was never in it.
        let (id, _) = world.group().await;
        let standing = fresh(&world.store, &world.bob, id).await;
        let (gone, other) =
            (policy::may_post(&standing).unwrap(), policy::may_post(&standing).unwrap());
        let mut admin = world.store.find_user(world.ann.id).await.unwrap().unwrap();
        let change = UserChange { superuser: Some(true), ..UserChange::default() };
        world.store.change_user(admin.id, change).await.unwrap();
        admin.superuser = true;
        let permit = policy::may_administer(&admin).unwrap();
        let foreign = login_of(&world.store, &world.ann).await;
        let said = world.log.sell(other, words(id, "by another's login"), Some(foreign)).await;
        assert_eq!(kind(said), RefusalKind::Unidentified, "{name}");
        assert!(pair.other.remove_conversation(&permit, id).await.unwrap());
        assert_eq!(kind(world.log.append(gone, words(id, "late")).await), RefusalKind::NotFound);
        // An administrator who is none any more.
        let change = UserChange { superuser: Some(false), ..UserChange::default() };
        pair.other.change_user(admin.id, change).await.unwrap();
        let outcome = world.store.remove_circle(&permit, world.circle).await;
        assert_eq!(kind(outcome), RefusalKind::Forbidden, "{name}");
    }
}
