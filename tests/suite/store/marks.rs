//! Pages in the order of places, and what readers mark, on every database that is there.

use klatsch::domain::{
    ClientRef, Collecting, ConversationId, Dialect, MessageId, Place, Posted, Topic,
};
use klatsch::policy;

use super::conversations::World;
use crate::support::databases;

impl World {
    async fn direct(&self) -> ConversationId {
        self.store.open_direct(self.ann.id, self.bob.id).await.expect("a pair").id
    }

    /// Bob has seen these.
    async fn sees(&self, id: ConversationId, named: &[MessageId], dialect: Dialect) {
        let permit = self.reading(&self.bob, id).await;
        self.store.mark_seen(permit, named, dialect).await.expect("stored");
    }

    async fn read_to(&self, id: ConversationId) -> (i64, i64) {
        let found = self.store.find_member(id, self.bob.id).await.expect("the database answers");
        let (member, _) = found.expect("a member");
        (member.read.get(), member.read_seq.get())
    }
}

#[tokio::test]
async fn pages_are_in_the_order_in_which_messages_were_shown() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let id = world.direct().await;
        let mut posted: Vec<Posted> = Vec::new();
        for number in 0..7 {
            // The second waits for its file until all others are there; the fourth is removed.
            let files: &[&str] = if number == 1 { &["cat.png"] } else { &[] };
            posted.push(world.post(&world.ann, id, &number.to_string(), files).await);
        }
        world.remove(&world.ann, posted[3].message).await;
        world.fill(&world.ann, posted[1].message, posted[1].medias[0].id).await;
        posted.push(world.post(&world.bob, id, "7", &[]).await);
        let late = world.message(posted[1].message).await.place.expect("it is shown");

        let permit = world.reading(&world.bob, id).await;
        for limit in [1, 2, 3, 10] {
            let (mut after, mut words) = (Place::new(0), String::new());
            loop {
                let page = world.store.shown_after(&permit, after, limit).await.unwrap();
                assert!(page.messages.len() <= limit as usize, "{}", database.name);
                words.extend(page.messages.iter().map(|one| one.message.text.as_str()));
                after = page.reached;
                if !page.more {
                    break;
                }
            }
            assert_eq!(words, "0245617", "{} by {limit}", database.name);
            let (mut before, mut words) = (None, String::new());
            loop {
                let page = world.store.shown_before(&permit, before, limit).await.unwrap();
                words.extend(page.messages.iter().rev().map(|one| one.message.text.as_str()));
                before = Some(page.reached);
                if !page.more {
                    break;
                }
            }
            assert_eq!(words, "7165420", "{} by {limit}", database.name);
        }
        let page = world.store.shown_before(&permit, Some(late), 2).await.unwrap();
        let shown: Vec<_> = page.messages.iter().map(|one| one.message.text.as_str()).collect();
        assert_eq!(shown, ["5", "6"]);
        assert_eq!(page.messages[0].sender.principal(), World::principal(&world.ann));
        let page = world.store.shown_after(&permit, Place::new(late.get() - 1), 1).await.unwrap();
        assert_eq!(page.messages[0].message.medias.len(), 1, "with its file");
        // What is asked for by an id starts at its place; an unknown one stands for itself.
        assert_eq!(world.store.place_of(&permit, posted[1].message).await.unwrap(), late);
        let unknown = MessageId::new(1 << 40);
        assert_eq!(world.store.place_of(&permit, unknown).await.unwrap().get(), 1 << 40);
    }
}

#[tokio::test]
async fn what_is_seen_out_of_order_is_told_once_and_the_cursor_follows() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let id = world.direct().await;
        let ear = world.listen(Topic::Conversation(id));
        let mut ids = Vec::new();
        for number in 0..6 {
            ids.push(world.post(&world.ann, id, &number.to_string(), &[]).await.message);
            if number == 2 {
                world.post(&world.bob, id, "own", &[]).await;
            }
        }
        ear.heard();
        world.sees(id, &ids[3..5], Dialect::Courier).await;
        assert_eq!(ear.heard(), ["read 2 up to s0, direct true"], "{}", database.name);
        assert_eq!(world.read_to(id).await, (0, 0));
        world.sees(id, &ids[3..5], Dialect::Courier).await;
        // Unknown ones, and a member's own, are passed over.
        let own = MessageId::new(ids[2].get() + 1);
        world.sees(id, &[own, MessageId::new(1 << 40)], Dialect::Courier).await;
        assert!(ear.heard().is_empty(), "{}", database.name);
        world.sees(id, &[ids[1], ids[0]], Dialect::Courier).await;
        assert_eq!(ear.heard(), ["read 2 up to s2, direct true"]);
        world.sees(id, &[ids[2]], Dialect::Courier).await;
        assert_eq!(ear.heard(), ["read 1 up to s6, direct true"]);
        assert_eq!(world.read_to(id).await, (ids[4].get(), 6), "{}", database.name);
        // A mark of everything up to a place passes over what was marked before.
        world.sees(id, &[ids[5]], Dialect::Courier).await;
        assert_eq!(ear.heard(), ["read 1 up to s7, direct true"]);
        let permit = world.reading(&world.bob, id).await;
        world.store.mark_read(permit, klatsch::domain::Seq::new(99)).await.unwrap();
        assert!(ear.heard().is_empty());
    }
}

#[tokio::test]
async fn delivery_is_told_once_and_to_the_author_alone() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let id = world.direct().await;
        let author = world.listen(Topic::Inbox(World::principal(&world.ann)));
        let others = world.listen(Topic::Conversation(id));
        let mut ids = Vec::new();
        for words in ["one", "two", "three"] {
            ids.push(world.post(&world.ann, id, words, &[]).await.message.get());
        }
        author.heard();
        others.heard();
        let reaches = async |place| {
            let permit = world.reading(&world.bob, id).await;
            let place = Place::new(place);
            world.log.mark_delivered(&permit, place, Dialect::Courier).await.unwrap();
        };
        reaches(ids[0]).await;
        reaches(ids[0]).await;
        world.sees(id, &[MessageId::new(ids[1])], Dialect::Courier).await;
        reaches(ids[2]).await;
        reaches(ids[1]).await;
        // What was seen before it was known to be delivered is not told as delivered.
        let told = [format!("delivered [{}]", ids[0]), format!("delivered [{}]", ids[2])];
        assert_eq!(author.heard(), told, "{}", database.name);
        assert_eq!(others.heard(), ["read 1 up to s0, direct true"], "{}", database.name);
    }
}

#[tokio::test]
async fn what_waits_lies_behind_a_cursor_of_its_own() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let (id, _) = world.group().await;
        let direct = world.direct().await;
        for number in 0..4 {
            world.post(&world.ann, id, &format!("g{number}"), &[]).await;
            world.post(&world.ann, direct, &format!("d{number}"), &[]).await;
        }
        world.post(&world.bob, id, "own", &[]).await;
        // What another dialect has shown before the first courier connection does not wait.
        let read = world.reading(&world.bob, direct).await;
        world.store.mark_read(read, klatsch::domain::Seq::new(2)).await.unwrap();
        world.store.begin_courier(world.bob.id).await.unwrap();
        let waiting = async |limit, once| {
            let (mut words, mut next) = (Vec::new(), Some(Collecting::all()));
            while let Some(collecting) = next {
                let page = world.store.list_waiting(world.bob.id, &collecting, limit, once);
                let page = page.await.unwrap();
                assert!(page.messages.len() <= limit as usize);
                words.extend(page.messages.iter().map(|(_, one)| one.message.text.clone()));
                next = page.next;
            }
            words.join(" ")
        };
        let all = "first g0 g1 g2 d2 g3 d3";
        for limit in [1, 2, 5, 200] {
            assert_eq!(waiting(limit, false).await, all, "{} by {limit}", database.name);
        }
        // Later reading elsewhere changes nothing, unless each message is to wait but once.
        let read = world.reading(&world.bob, direct).await;
        world.store.mark_read(read, klatsch::domain::Seq::new(3)).await.unwrap();
        assert_eq!(waiting(200, false).await, all, "{}", database.name);
        assert_eq!(waiting(200, true).await, "first g0 g1 g2 g3 d3", "{}", database.name);
        world.store.begin_courier(world.bob.id).await.unwrap();
        assert_eq!(waiting(200, false).await, all, "a second connection begins nothing");
        let permit = world.reading(&world.bob, id).await;
        let page = world.store.shown_after(&permit, Place::new(0), 3).await.unwrap();
        let reached = page.messages[2].message.place.unwrap();
        world.log.mark_delivered(&permit, reached, Dialect::Courier).await.unwrap();
        assert_eq!(waiting(200, false).await, "g2 d2 g3 d3", "{}", database.name);
    }
}

#[tokio::test]
async fn a_group_that_is_asked_for_twice_under_a_name_is_made_once() {
    for database in databases::each().await {
        let world = World::on(&database).await;
        let ear = world.listen(Topic::Inbox(World::principal(&world.bob)));
        let name = ClientRef::new("g1".to_owned()).unwrap();
        let gather = async |reference| {
            let permit = policy::may_gather(world.ann.id, [world.bob.id], 3).unwrap();
            world.store.gather(permit, "Tea", "About tea", reference).await.unwrap()
        };
        let (first, again) = tokio::join!(gather(Some(&name)), gather(Some(&name)));
        assert_eq!(first, again, "{}", database.name);
        assert_ne!(gather(None).await, first);
        assert_eq!(world.store.list_members(first).await.unwrap().len(), 2);
        let told = ["ConversationChanged", "RoomListed", "ConversationChanged", "RoomListed"];
        assert_eq!(ear.heard(), told, "{}", database.name);
    }
}
