//! Rooms and the places of lost connections, on every database that is there.

use klatsch::domain::{Access, Email, LoginId, Place, Principal, Timestamp};
use klatsch::policy::MayKeepRooms;
use klatsch::store::{NewUser, ParkedPlace};

use crate::support::databases;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_are_kept_until_they_are_given_up_and_survive_a_crash() {
    for database in databases::each().await {
        let store = database.store().await;
        let email = Email::new("ann@example.org").expect("an address");
        let ann = store.start_user(NewUser::called(email)).await.expect("a user");
        let principal = Principal::User(ann.id);
        let later = Timestamp::from_secs(4_000_000_000);
        let login = store.start_login(principal, later).await.expect("a login");
        let permit = MayKeepRooms::operator();
        let mut places = Vec::new();
        for title in ["Tea", "Attic", "Cellar"] {
            let room = store.add_room(&permit, title, "", Access::Open).await.expect("a room");
            let confirmed = Place::new(5);
            places.push(ParkedPlace { login, room: room.id, confirmed, until: None });
        }
        store.keep_places(&places).await.expect("stored");
        // Lost, with a while to come back; confirmed a little more; and given up.
        places[0].until = Some(Timestamp::from_secs(3_000_000_000));
        store.keep_places(&places[..1]).await.expect("stored");
        places[1].confirmed = Place::new(9);
        store.confirm_places(&places[1..2]).await.expect("stored");
        store.forget_place(login, places[2].room).await.expect("stored");
        store.confirm_places(&places[2..]).await.expect("stored");
        let revived = store.revive_places(Some(later)).await.expect("the database answers");
        places[1].until = Some(later);
        let mut found: Vec<_> = revived.iter().map(|(place, _)| *place).collect();
        found.sort_by_key(|place| place.room);
        assert_eq!(found, places[..2], "{}", database.name);
        assert!(revived.iter().all(|(_, whose)| *whose == principal));
        assert!(store.revive_places(None).await.expect("the database answers").is_empty());
        assert_ne!(login, LoginId::new(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_are_changed_only_where_something_is_different() {
    for database in databases::each().await {
        let store = database.store().await;
        let permit = MayKeepRooms::operator();
        let room = store.add_room(&permit, "Tea", "", Access::Open).await.expect("a room");
        let update = async |title: Option<&str>, access| {
            let title = title.map(str::to_owned);
            let updated = store.update_room(&permit, room.id, title, access).await;
            updated.expect("stored").map(|(room, told)| (room.title, room.access, told))
        };
        let is = |title: &str, access, told| Some((title.to_owned(), access, told));
        assert_eq!(update(None, None).await, is("Tea", Access::Open, false));
        assert_eq!(update(Some("Tea"), Some(Access::Open)).await, is("Tea", Access::Open, false));
        assert_eq!(update(Some("Coffee"), None).await, is("Coffee", Access::Open, true));
        assert_eq!(update(None, Some(Access::Staff)).await, is("Coffee", Access::Staff, true));
        assert!(store.remove_room(&permit, room.id).await.expect("stored"));
        assert_eq!(update(Some("Tea"), None).await, None);
    }
}
