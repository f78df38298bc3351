//! Conversations, messages, receipts and files, on every database that is there.

use std::sync::Arc;

use futures_util::FutureExt;
use klatsch::domain::{
    Access, CircleId, Conversation, ConversationId, Dialect, Draft, Email, Event, FileId, Kind,
    MediaId, Message, MessageId, MessageKind, Posted, Principal, Receipt, Revision, Role, Seq,
    Text, Topic, User, UserId,
};
use klatsch::hub::{Delivery, Listener};
use klatsch::policy::{self, Beginning, Invitee, MayRead, Shelf, Standing};
use klatsch::store::log::Log;
use klatsch::store::{Arrived, Cap, Files, ListFrom, NewUser, Opening, Store};
use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::databases::{self, Database};

const CAP: Cap = Cap { messages: 10_000, bytes: 32 << 20 };

/// A store with Ann and Bob in a circle, and the log.
pub(super) struct World {
    pub(super) store: Store,
    pub(super) log: Log,
    pub(super) ann: User,
    pub(super) bob: User,
    pub(super) circle: CircleId,
}

fn text(raw: &str) -> Text {
    Text::new(raw.to_owned(), 8192).expect("short enough")
}

pub(super) async fn person(store: &Store, name: &str) -> User {
    let email = Email::new(&format!("{name}@example.org")).expect("an address");
    let mut new = NewUser::called(email);
    new.first_name = name.to_owned();
    store.start_user(new).await.expect("a user is made")
}

impl World {
    pub(super) async fn on(database: &Database) -> Self {
        let store = database.store().await;
        let (log, _) = Log::start(&store).expect("the log starts");
        let (ann, bob) = (person(&store, "ann").await, person(&store, "bob").await);
        let circle = store.start_circle(ann.id, "Home").await.expect("a circle").id;
        let world = Self { store, log, ann, bob, circle };
        world.take_in(&world.bob).await;
        world
    }

    /// Makes somebody a member of the circle.
    pub(super) async fn take_in(&self, user: &User) {
        let (store, circle) = (&self.store, self.circle);
        let standing = store.circle_standing(Self::principal(&self.ann), circle).await;
        let standing = standing.expect("the database answers").expect("a circle");
        let permit = policy::may_invite_to_circle(&standing, user.id, false, false);
        let invite = store.invite_to_circle(permit.expect("Ann is inside")).await;
        let invite = invite.expect("stored").expect("the circle is there");
        let invite = store.find_invite(invite).await.expect("an answer").expect("an invitation");
        let permit = policy::may_answer_invite(user.id, &invite).expect("it is theirs");
        assert!(store.join_circle(permit).await.expect("stored"));
    }

    pub(super) fn principal(user: &User) -> Principal {
        Principal::User(user.id)
    }

    /// A group that Ann has begun with Bob, and its first message.
    pub(super) async fn group(&self) -> (ConversationId, Posted) {
        let beginning = Beginning {
            starter: Self::principal(&self.ann),
            other: Self::principal(&self.bob),
            circle: self.circle,
            starter_inside: true,
            other_inside: true,
        };
        let permit = policy::may_start(beginning).expect("both are inside");
        let opening = Opening { title: "Tea".into(), text: text("first"), files: Vec::new() };
        self.store.start_group(permit, opening).await.expect("a group is made")
    }

    pub(super) async fn standing(&self, user: &User, id: ConversationId) -> Arc<Standing> {
        let standing = self.store.standing(Self::principal(user), id).await;
        standing.expect("the database answers").expect("the conversation is there")
    }

    pub(super) async fn reading(&self, user: &User, id: ConversationId) -> MayRead {
        policy::may_read(&*self.standing(user, id).await).expect("a reader")
    }

    pub(super) async fn post(
        &self,
        user: &User,
        id: ConversationId,
        words: &str,
        files: &[&str],
    ) -> Posted {
        let files = files.iter().map(|name| (*name).to_owned()).collect();
        let draft = Draft { files, ..Draft::words(id, text(words), Dialect::Neo) };
        let permit = policy::may_post(&*self.standing(user, id).await).expect("a member");
        self.log.append(permit, draft).await.expect("a message is stored")
    }

    pub(super) async fn message(&self, id: MessageId) -> Message {
        self.store.find_message(id).await.expect("the database answers").expect("a message")
    }

    pub(super) async fn edit(&self, user: &User, id: MessageId, words: &str) {
        let message = self.message(id).await;
        let standing = self.standing(user, message.conversation).await;
        let permit = policy::may_edit(&standing, &message).expect("the author");
        self.store.edit(permit, text(words)).await.expect("stored").expect("still there");
    }

    pub(super) async fn remove(&self, user: &User, id: MessageId) {
        let message = self.message(id).await;
        let standing = self.standing(user, message.conversation).await;
        let permit = policy::may_remove(&standing, &message).expect("the author");
        self.store.remove(permit).await.expect("stored").expect("still there");
    }

    pub(super) async fn shelf(&self, user: &User, message: MessageId) -> Shelf {
        let message = self.message(message).await;
        let standing = self.standing(user, message.conversation).await.as_ref().clone();
        Shelf::Message { standing, author: message.author, kind: MessageKind::Text }
    }

    pub(super) async fn fill(&self, user: &User, message: MessageId, media: MediaId) {
        self.fill_with(user, message, media, FileId::random()).await;
    }

    pub(super) async fn fill_with(
        &self,
        user: &User,
        message: MessageId,
        media: MediaId,
        file: FileId,
    ) {
        let facts = self.shelf(user, message).await;
        let permit = policy::may_fill(Self::principal(user), media, &facts).expect("the author");
        let arrived = Arrived {
            file,
            size: 3,
            mime: Some("text/plain".into()),
            filename: "cat".into(),
            extension: ".txt".into(),
        };
        self.store.fill(permit, arrived).await.expect("stored").expect("still wanted");
    }

    pub(super) async fn discard(&self, user: &User, message: MessageId, media: MediaId) {
        let facts = self.shelf(user, message).await;
        let permit = policy::may_discard(Self::principal(user), media, &facts).expect("the author");
        self.store.discard(permit).await.expect("stored").expect("still there");
    }

    pub(super) async fn list(
        &self,
        permit: &MayRead,
        from: ListFrom,
        quantity: usize,
        cap: Cap,
    ) -> Vec<i64> {
        let entries = self.store.outline(permit, from, quantity, cap).await.expect("a list");
        let mut list = Vec::new();
        for piece in klatsch::store::pieces(&entries) {
            list.extend(self.store.messages_of(piece).await.expect("its messages"));
        }
        list.iter().map(|message| message.seq.get()).collect()
    }

    pub(super) fn listen(&self, topic: Topic) -> Arc<Ear> {
        let ear = Arc::new(Ear::default());
        let id = self.store.hub().attach(Arc::clone(&ear) as Arc<dyn Listener>);
        self.store.hub().subscribe(id, topic);
        ear
    }
}

/// Notes the kinds of events.
#[derive(Default)]
pub(super) struct Ear(Mutex<Vec<String>>);

impl Ear {
    pub(super) fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

impl Listener for Ear {
    fn offer(&self, delivery: &Arc<Delivery>) {
        let note = match delivery.event() {
            Event::MessagePosted { message, .. } => format!("posted r{}", message.revision),
            Event::FileArrived { message, .. } => format!("arrived r{}", message.revision),
            Event::MessageCompleted { message, .. } => format!("completed r{}", message.revision),
            Event::MessageEdited { message, .. } => format!("edited r{}", message.revision),
            Event::MessageRemoved { message, .. } => format!("removed r{}", message.revision),
            Event::ReceiptAdvanced { messages, to: Receipt::Delivered, .. } => {
                let ids: Vec<_> = messages.iter().map(|one| one.message.get()).collect();
                format!("delivered {ids:?}")
            }
            Event::ReceiptAdvanced { messages, up_to, direct, .. } => {
                format!("read {} up to s{up_to}, direct {direct}", messages.len())
            }
            other => format!("{other:?}").split([' ', '{']).next().unwrap_or_default().to_owned(),
        };
        self.0.lock().push(note);
    }
}

/// Looks up, while it hears of a change, whether somebody still seems to take part.
struct Suspicious {
    store: Store,
    who: Principal,
    deceived: Mutex<Option<bool>>,
}

impl Listener for Suspicious {
    fn offer(&self, delivery: &Arc<Delivery>) {
        if let Event::ConversationChanged { conversation, .. } = delivery.event() {
            // What is remembered is there at once; what has to be read is not.
            let known = self.store.standing(self.who, *conversation).now_or_never();
            let standing = known.and_then(Result::ok).flatten();
            *self.deceived.lock() = Some(standing.is_some_and(|known| known.takes_part()));
        }
    }
}

#[tokio::test]
async fn who_is_put_out_is_forgotten_before_anybody_hears_of_it() {
    let database = databases::sqlite();
    let world = World::on(&database).await;
    let (id, _) = world.group().await;
    let who = World::principal(&world.bob);
    let deceived = Mutex::new(None);
    let ear = Arc::new(Suspicious { store: world.store.clone(), who, deceived });
    let connection = world.store.hub().attach(Arc::clone(&ear) as Arc<dyn Listener>);
    world.store.hub().subscribe(connection, Topic::Conversation(id));
    assert!(world.standing(&world.bob, id).await.takes_part());
    let seat = world.store.find_seat(id, world.bob.id).await.unwrap();
    let kick = policy::may_kick(&*world.standing(&world.ann, id).await, world.bob.id, seat);
    assert!(world.store.kick(kick.unwrap()).await.unwrap());
    assert_eq!(*ear.deceived.lock(), Some(false));
}

#[tokio::test]
async fn mail_brings_what_happens_where_one_is_a_member() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let ears = [&world.ann, &world.bob].map(|user| world.listen(Topic::Mail(user.id)));
        let (id, _) = world.group().await;
        world.post(&world.ann, id, "hi", &[]).await;
        for ear in &ears {
            // The first one is what the group began with.
            assert_eq!(ear.heard(), ["posted r1", "posted r2"], "{}", database.name);
        }
        let seat = world.store.find_seat(id, world.bob.id).await.unwrap();
        let standing = world.standing(&world.ann, id).await;
        let kick = policy::may_kick(&standing, world.bob.id, seat).unwrap();
        assert!(world.store.kick(kick).await.unwrap());
        world.post(&world.ann, id, "gone?", &[]).await;
        assert_eq!(ears[0].heard(), ["ConversationChanged", "posted r3"]);
        assert!(ears[1].heard().is_empty(), "{}", database.name);

        let permit = policy::MayKeepRooms::operator();
        let room = world.store.add_room(&permit, "Tea", "", Access::Open).await.unwrap();
        let enter = policy::may_enter(&*world.standing(&world.ann, room.id).await).unwrap();
        world.store.enter(enter).await.unwrap();
        world.post(&world.ann, room.id, "rooms are mail of their members", &[]).await;
        assert_eq!(ears[0].heard(), ["posted r1"], "{}", database.name);
        assert!(ears[1].heard().is_empty(), "{}", database.name);
    }
}

#[tokio::test]
async fn a_group_begins_with_its_first_message_and_its_two_members() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let ear = world.listen(Topic::Inbox(World::principal(&world.bob)));
        let (id, posted) = world.group().await;
        assert_eq!(ear.heard(), ["ConversationChanged", "RoomListed"], "{}", database.name);
        let members = world.store.list_members(id).await.unwrap();
        let roles: Vec<_> = members.iter().map(|(link, user)| (user.id, link.role)).collect();
        assert_eq!(roles, [(world.ann.id, Role::Admin), (world.bob.id, Role::Standard)]);
        let message = world.message(posted.message).await;
        assert_eq!(message.link, Some(members[0].0.link));
        assert_eq!((message.seq, message.revision), (Seq::new(1), Revision::new(1)));
        assert_eq!(message.place.map(klatsch::domain::Place::get), Some(message.id.get()));
        // The log goes on where the first message left off.
        let next = world.post(&world.bob, id, "second", &[]).await;
        assert_eq!((next.seq.get(), next.revision.get()), (2, 2), "{}", database.name);
        assert!(next.message > posted.message);
    }
}

#[tokio::test]
async fn who_comes_back_has_a_new_link_and_old_messages_keep_theirs() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let (id, _) = world.group().await;
        let posted = world.post(&world.bob, id, "hi", &[]).await;
        let first = world.store.find_seat(id, world.bob.id).await.unwrap().unwrap();

        let admin = world.standing(&world.ann, id).await;
        let kick = policy::may_kick(&admin, world.bob.id, Some(first)).unwrap();
        assert!(world.store.kick(kick).await.unwrap());
        // At once, although Bob's standing had been looked up before.
        assert!(!world.standing(&world.bob, id).await.takes_part(), "{}", database.name);
        assert_eq!(world.message(posted.message).await.link, Some(first.link));

        let invitee = Invitee { user: world.bob.id, member: false, in_circle: true };
        let invite = policy::may_invite(&admin, invitee).unwrap();
        let second = world.store.invite(invite, 500).await.unwrap();
        assert!(second > first.link);
        assert!(world.standing(&world.bob, id).await.takes_part());
        assert_eq!(world.message(posted.message).await.link, Some(first.link));
        let again = policy::may_invite(&admin, invitee).unwrap();
        assert!(world.store.invite(again, 500).await.is_err(), "nobody is a member twice");
    }
}

#[tokio::test]
async fn the_oldest_who_remain_take_over_and_without_anybody_a_group_ends() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let (id, posted) = world.group().await;
        let quit = policy::may_quit(&*world.standing(&world.ann, id).await).unwrap();
        assert!(world.store.quit(quit).await.unwrap());
        let seat = world.store.find_seat(id, world.bob.id).await.unwrap().unwrap();
        assert_eq!(seat.role, Role::Admin, "{}", database.name);
        let quit = policy::may_quit(&*world.standing(&world.bob, id).await).unwrap();
        assert!(world.store.quit(quit).await.unwrap());
        assert!(world.store.find_conversation(id).await.unwrap().is_none());
        let nobody = world.store.standing(World::principal(&world.bob), id).await.unwrap();
        assert!(nobody.is_none());
        assert!(world.store.find_message(posted.message).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn two_who_open_a_direct_conversation_at_once_open_the_same() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let (ann, bob) = (world.ann.id, world.bob.id);
        let (one, other) =
            tokio::join!(world.store.open_direct(ann, bob), world.store.open_direct(bob, ann));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one.id, other.id, "{}", database.name);
        assert_eq!((one.kind, one.pair), (Kind::Direct, Some((ann, bob))));
        let own: Conversation = world.store.open_direct(ann, ann).await.unwrap();
        assert_eq!(own.pair, Some((ann, ann)));
        assert_eq!(world.store.list_members(own.id).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_room_is_entered_once_and_ends_for_everybody() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let keeper = policy::MayKeepRooms::operator();
        let room = world.store.add_room(&keeper, "Tea", "and cake", Access::Open).await.unwrap();
        for _ in 0..2 {
            let enter = policy::may_enter(&*world.standing(&world.ann, room.id).await).unwrap();
            world.store.enter(enter).await.unwrap();
        }
        assert_eq!(world.store.list_members(room.id).await.unwrap().len(), 1);
        assert!(world.standing(&world.ann, room.id).await.takes_part(), "{}", database.name);
        assert_eq!(world.store.list_rooms().await.unwrap(), std::slice::from_ref(&room));
        let ear = world.listen(Topic::Conversation(room.id));
        assert!(world.store.remove_room(&keeper, room.id).await.unwrap());
        assert!(!world.store.remove_room(&keeper, room.id).await.unwrap());
        assert_eq!(ear.heard(), ["ConversationChanged"]);
        assert!(world.store.list_rooms().await.unwrap().is_empty());
        let (group, _) = world.group().await;
        assert!(!world.store.remove_room(&keeper, group).await.unwrap(), "a group is no room");
    }
}

#[tokio::test]
async fn lists_pass_over_what_was_removed_and_end_where_they_must() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let (id, first) = world.group().await;
        let mut ids = vec![first.message];
        for n in 2..=9 {
            ids.push(world.post(&world.ann, id, &format!("message {n}"), &[]).await.message);
        }
        for seq in [1, 4, 9] {
            world.remove(&world.ann, ids[seq - 1]).await;
        }
        let permit = world.reading(&world.bob, id).await;
        let before = |seq: usize| ListFrom::Before(ids[seq - 1]);
        let few = Cap { messages: 2, ..CAP };
        let light = Cap { bytes: 1200, ..CAP };
        let table = [
            (ListFrom::Oldest, 3, CAP, vec![2, 3, 5]),
            (ListFrom::Oldest, 100, CAP, vec![2, 3, 5, 6, 7, 8]),
            (ListFrom::Newest, 2, CAP, vec![7, 8]),
            (before(7), 2, CAP, vec![5, 6]),
            (before(4), 9, CAP, vec![2, 3]),
            (before(1), 9, CAP, vec![]),
            (ListFrom::Before(MessageId::new(999_999)), 9, CAP, vec![]),
            (ListFrom::Oldest, 100, few, vec![2, 3]),
            (ListFrom::Newest, 100, few, vec![7, 8]),
            (ListFrom::Newest, 100, light, vec![7, 8]),
        ];
        for (from, quantity, cap, seqs) in table {
            let list = world.list(&permit, from, quantity, cap).await;
            assert_eq!(list, seqs, "{from:?} {quantity} {cap:?} on {}", database.name);
        }
        let page = world.store.page_before(&permit, Some(Seq::new(5)), 3).await.unwrap();
        let seqs: Vec<_> = page.messages.iter().map(|one| one.message.seq.get()).collect();
        assert_eq!((seqs, page.more), (vec![2, 3, 4], true), "tombstones are history");
        assert!(page.messages[2].message.deleted.is_some());
        let page = world.store.page_before(&permit, None, 200).await.unwrap();
        assert_eq!((page.messages.len(), page.more), (9, false));
        let page = world.store.page_before(&permit, Some(Seq::new(1)), 200).await.unwrap();
        assert_eq!((page.messages.len(), page.more), (0, false));
    }
}

/// What a test does to a conversation: each number picks a message.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Post,
    PostFile,
    Edit(usize),
    Remove(usize),
    Fill(usize),
    Discard(usize),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        3 => Just(Deed::Post),
        1 => Just(Deed::PostFile),
        3 => (0..50_usize).prop_map(Deed::Edit),
        1 => (0..50_usize).prop_map(Deed::Remove),
        2 => (0..50_usize).prop_map(Deed::Fill),
        1 => (0..50_usize).prop_map(Deed::Discard),
    ];
    prop::collection::vec(deed, 0..40)
}

async fn act(world: &World, id: ConversationId, ids: &mut Vec<MessageId>, deed: Deed) {
    match deed {
        Deed::Post => ids.push(world.post(&world.ann, id, "words", &[]).await.message),
        Deed::PostFile => ids.push(world.post(&world.ann, id, "", &["a", "b"]).await.message),
        Deed::Edit(n) | Deed::Remove(n) | Deed::Fill(n) | Deed::Discard(n) => {
            let message = world.message(ids[n % ids.len()]).await;
            if message.deleted.is_some() {
                return;
            }
            let media = message.medias.get(n % 2).map(|media| media.id);
            match (deed, media) {
                (Deed::Edit(n), _) => world.edit(&world.ann, message.id, &n.to_string()).await,
                (Deed::Remove(_), _) => world.remove(&world.ann, message.id).await,
                (Deed::Fill(_), Some(media)) => world.fill(&world.ann, message.id, media).await,
                (Deed::Discard(_), Some(media)) => {
                    world.discard(&world.ann, message.id, media).await;
                }
                _ => {}
            }
        }
    }
}

/// Everything since a revision, by pages.
async fn sync(world: &World, permit: &MayRead, since: i64, limit: u32) -> Vec<Message> {
    let (mut since, mut all) = (Revision::new(since), Vec::new());
    loop {
        let page = world.store.page_since(permit, since, limit).await.expect("a page");
        assert!(page.messages.len() <= limit as usize);
        all.extend(page.messages.into_iter().map(|one| one.message));
        since = page.revision;
        if !page.more {
            return all;
        }
    }
}

#[test]
fn since_any_revision_each_message_comes_once_as_it_is_now() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let world = runtime.block_on(async {
        let database = databases::sqlite();
        let world = World::on(&database).await;
        (world, database)
    });
    let world = &world.0;
    let mut runner =
        TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    runner
        .run(&(deeds(), 1..12_u32), |(deeds, limit)| {
            runtime.block_on(check_sync(world, deeds, limit));
            Ok(())
        })
        .expect("it holds");
}

async fn check_sync(world: &World, deeds: Vec<Deed>, limit: u32) {
    let (id, first) = world.group().await;
    let mut ids = vec![first.message];
    for deed in deeds {
        act(world, id, &mut ids, deed).await;
    }
    let mut all = Vec::new();
    for id in &ids {
        all.push(world.message(*id).await);
    }
    all.sort_by_key(|message| message.revision);
    let newest = all.last().map_or(0, |message| message.revision.get());
    let permit = world.reading(&world.bob, id).await;
    for since in 0..=newest {
        let expected: Vec<_> =
            all.iter().filter(|message| message.revision.get() > since).cloned().collect();
        assert_eq!(sync(world, &permit, since, limit).await, expected, "since {since}");
    }
    assert!(sync(world, &permit, newest + 100, limit).await.is_empty());
    assert_eq!(sync(world, &permit, -5, limit).await, all);
}

#[tokio::test]
async fn on_every_database_a_reader_catches_up() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let deeds = [
            Deed::Post,
            Deed::PostFile,
            Deed::Edit(0),
            Deed::Fill(2),
            Deed::Post,
            Deed::Remove(1),
            Deed::Fill(3 + 2 * 4),
            Deed::Edit(0),
            Deed::Discard(2),
        ];
        check_sync(&world, deeds.to_vec(), 2).await;
    }
}

#[tokio::test]
async fn a_message_is_complete_with_its_last_file_however_that_ends() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let (id, _) = world.group().await;
        let ear = world.listen(Topic::Conversation(id));
        let posted = world.post(&world.ann, id, "look", &["a.png", "b.png", "c.png"]).await;
        let other = world.post(&world.ann, id, "between", &[]).await;
        let files: Vec<_> = posted.medias.iter().map(|media| media.id).collect();
        assert_eq!(world.message(posted.message).await.place, None);

        world.fill(&world.ann, posted.message, files[1]).await;
        world.fill(&world.ann, posted.message, files[0]).await;
        assert_eq!(world.message(posted.message).await.place, None);
        world.discard(&world.ann, posted.message, files[2]).await;
        let message = world.message(posted.message).await;
        let names: Vec<_> = message.medias.iter().map(|media| media.identifier.as_str()).collect();
        assert_eq!(names, ["a.png", "b.png"], "{}", database.name);
        assert_eq!(message.media_count, 2);
        let place = message.place.expect("it is complete").get();
        assert!(place > other.message.get(), "it appears behind what was said meanwhile");
        assert_eq!(
            ear.heard(),
            ["posted r2", "posted r3", "arrived r4", "arrived r5", "edited r6", "completed r6"]
        );

        let before = message.medias[0].file;
        world.fill(&world.ann, posted.message, files[0]).await;
        let message = world.message(posted.message).await;
        assert_ne!(message.medias[0].file, before, "replaced bytes have another name");
        assert_eq!(message.place.map(klatsch::domain::Place::get), Some(place));
        assert_eq!(ear.heard(), ["edited r7"]);

        world.remove(&world.ann, posted.message).await;
        let message = world.message(posted.message).await;
        assert_eq!((message.media_count, message.medias.len()), (0, 0));
        assert_eq!(message.text, "");
        assert!(world.store.find_media(files[0]).await.unwrap().is_none());
        assert_eq!(ear.heard(), ["removed r8"]);
    }
}

#[tokio::test]
async fn cursors_move_forward_only_and_tell_what_is_new() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let direct = world.store.open_direct(world.ann.id, world.bob.id).await.unwrap().id;
        let ear = world.listen(Topic::Conversation(direct));
        for words in ["one", "two", "three"] {
            world.post(&world.ann, direct, words, &[]).await;
        }
        world.post(&world.bob, direct, "mine", &[]).await;
        ear.heard();
        let mark = async |seq| {
            let permit = world.reading(&world.bob, direct).await;
            world.store.mark_read(permit, Seq::new(seq)).await.unwrap();
        };
        mark(2).await;
        mark(2).await;
        mark(1).await;
        mark(0).await;
        mark(999).await;
        let told = ["read 2 up to s2, direct true", "read 1 up to s4, direct true"];
        assert_eq!(ear.heard(), told, "{}", database.name);
        let (member, _) = world.store.find_member(direct, world.bob.id).await.unwrap().unwrap();
        assert_eq!(member.read_seq, Seq::new(4));

        let permit = world.reading(&world.ann, direct).await;
        let list = world.store.outline(&permit, ListFrom::Oldest, 9, CAP).await.unwrap();
        let list = world.store.read_messages(Kind::Direct, direct, &list).await.unwrap();
        let read: Vec<_> = list.iter().map(|message| message.read.is_some()).collect();
        assert_eq!(read, [true, true, true, false], "Ann has not read Bob's");
    }
}

#[tokio::test]
async fn who_leaves_the_staff_leaves_staff_rooms_at_once() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let keeper = policy::MayKeepRooms::operator();
        let room = world.store.add_room(&keeper, "Staff", "", Access::Staff).await.unwrap().id;
        let outside = world.standing(&world.ann, room).await;
        assert!(policy::may_enter(&outside).is_err(), "{}", database.name);
        let staff = |staff| klatsch::store::UserChange {
            staff: Some(staff),
            ..klatsch::store::UserChange::default()
        };
        let id: UserId = world.ann.id;
        world.store.change_user(id, staff(true)).await.unwrap();
        let enter = policy::may_enter(&*world.standing(&world.ann, room).await).unwrap();
        world.store.enter(enter).await.unwrap();
        assert!(policy::may_post(&*world.standing(&world.ann, room).await).is_ok());
        world.store.change_user(id, staff(false)).await.unwrap();
        assert!(policy::may_post(&*world.standing(&world.ann, room).await).is_err());
    }
}

#[tokio::test]
async fn bytes_that_nobody_knows_are_swept_away_after_a_while() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path()).await.unwrap();
        let (id, _) = world.group().await;
        let posted = world.post(&world.ann, id, "", &["known", "young"]).await;
        let keep = async || {
            let mut incoming = files.receive().await.unwrap();
            incoming.write(b"x").await.unwrap();
            incoming.keep().await.unwrap().id
        };
        let (known, orphan, young) = (keep().await, keep().await, keep().await);
        for (file, media) in [(known, 0), (orphan, 1)] {
            world.fill_with(&world.ann, posted.message, posted.medias[media].id, file).await;
        }
        // The second file is replaced, and nobody removes what it was.
        world.fill(&world.ann, posted.message, posted.medias[1].id).await;
        let cut_off = files.receive().await.unwrap();
        std::mem::forget(cut_off);
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        for file in everything_below(folder.path()) {
            if !file.ends_with(young.get().simple().to_string()) {
                std::fs::File::options()
                    .write(true)
                    .open(file)
                    .unwrap()
                    .set_modified(long_ago)
                    .unwrap();
            }
        }
        assert_eq!(files.sweep(&world.store).await.unwrap(), 2, "{}", database.name);
        assert_eq!(everything_below(folder.path()).len(), 2);
        assert!(files.open_file(known).await.unwrap().is_some());
        assert!(files.open_file(young).await.unwrap().is_some());
        assert!(files.open_file(orphan).await.unwrap().is_none());
        assert_eq!(files.sweep(&world.store).await.unwrap(), 0);
    }
}

/// What is left behind while a server runs goes as well, and what was there before it came.
#[tokio::test]
async fn a_server_sweeps_when_it_starts_and_again_and_again() {
    let database = databases::sqlite();
    let world = World::on(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let files = Files::open(folder.path()).await.unwrap();
    let orphan = async || {
        let mut incoming = files.receive().await.unwrap();
        incoming.write(b"x").await.unwrap();
        incoming.keep().await.unwrap();
        for path in everything_below(folder.path()) {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            let made = file.metadata().unwrap().modified().unwrap();
            file.set_modified(made - std::time::Duration::from_secs(3601)).unwrap();
        }
    };
    orphan().await;
    let turn = std::time::Duration::from_millis(20);
    let sweeping = tokio::spawn(files.clone().keep_swept(world.store.clone(), turn));
    for _ in 0..3 {
        let deadline = std::time::Instant::now() + crate::support::world::DEADLINE;
        while !everything_below(folder.path()).is_empty() {
            assert!(std::time::Instant::now() < deadline, "nobody sweeps");
            tokio::time::sleep(turn).await;
        }
        orphan().await;
    }
    sweeping.abort();
}

fn everything_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(everything_below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}
