//! Ten thousand people who leave at once, without sockets: each is told of once, in order, and
//! the next change hardly waits.

use std::sync::Arc;
use std::time::Duration;

use klatsch::clock::Clock;
use klatsch::domain::{ConnectionId, Email, Event, PresenceMark, Principal, Topic};
use klatsch::hub::{Delivery, Listener};
use klatsch::service::PresenceTeller;
use klatsch::store::{NewUser, Options, Store};
use parking_lot::Mutex;
use sea_orm::ConnectionTrait;
use tokio::time::{Instant, sleep};

const CROWD: usize = 10_000;
const DEADLINE: Duration = Duration::from_mins(2);

/// Writes down who came and went, and when that was told.
#[derive(Default)]
struct Ear(Mutex<Vec<(Principal, bool, Instant)>>);

impl Listener for Ear {
    fn offer(&self, delivery: &Arc<Delivery>) {
        if let Event::PresenceChanged { who, online, changes, .. } = delivery.event() {
            assert!(changes.is_news_after(PresenceMark::default()));
            self.0.lock().push((who.principal(), *online, Instant::now()));
        }
    }
}

impl Ear {
    async fn until(&self, count: usize) {
        let begun = Instant::now();
        while self.0.lock().len() < count {
            assert!(begun.elapsed() < DEADLINE, "{count} changes are told");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Users in circles of ten, and one who belongs to all of these.
async fn crowd(store: &Store) -> Vec<Principal> {
    let mut crowd = Vec::with_capacity(CROWD);
    let email = Email::new("first@example.org").unwrap();
    store.start_user(NewUser::called(email)).await.unwrap();
    let write = async |tx: &klatsch::store::Tx| {
        for id in 2..CROWD + 2 {
            let user = format!(
                "INSERT INTO users (id, email, email_key, username, first_name, last_name, created_at, updated_at, \
                 is_active, is_superuser, is_staff, is_employee, balance) VALUES ({id}, '{id}', '{id}', 'u{id}', '', \
                 '', 0, 0, TRUE, FALSE, FALSE, FALSE, 0)"
            );
            tx.execute_unprepared(&user).await?;
            let circle = id / 10;
            let here = format!(
                "INSERT INTO circles (id, name, created_at, updated_at) VALUES ({circle}, 'c', 0, 0) ON CONFLICT DO NOTHING"
            );
            tx.execute_unprepared(&here).await?;
            for user in [1, id] {
                let member = format!(
                    "INSERT INTO circle_members (circle_id, user_id, privilege, keeper, created_at, updated_at) VALUES \
                     ({circle}, {user}, 'MEMBER', FALSE, 0, 0) ON CONFLICT DO NOTHING"
                );
                tx.execute_unprepared(&member).await?;
            }
        }
        Ok(())
    };
    store.write(write).await.unwrap();
    crowd
        .extend((1..=CROWD as i64 + 1).map(|id| Principal::User(klatsch::domain::UserId::new(id))));
    crowd
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_who_leave_at_once_are_told_in_order_and_the_next_change_is_not_late() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::at(format!("sqlite:{}", folder.path().join("klatsch.db").display()));
    options.deadline = DEADLINE;
    let store = Store::open(&options, Clock::system()).await.unwrap();
    store.migrate().await.unwrap();
    let people = crowd(&store).await;
    let begun = Instant::now();
    let (watcher, people) = people.split_first().unwrap();
    let ear = Arc::new(Ear::default());
    let hub = store.hub().clone();
    let listening = hub.attach(Arc::clone(&ear) as Arc<dyn Listener>);
    hub.subscribe(listening, Topic::Inbox(*watcher));
    store.hold_contacts(*watcher).await.unwrap();
    for (number, person) in people.iter().enumerate() {
        store.hold_contacts(*person).await.unwrap();
        let connection = ConnectionId::new(1_000_000 + number as u64);
        hub.roster().arrive(*person, connection, 9, None).unwrap();
    }
    let (teller, telling) = PresenceTeller::start(store.clone());
    println!("everybody is there after {:?}", begun.elapsed());
    ear.until(CROWD).await;
    ear.0.lock().clear();
    let leave = |number: usize| {
        hub.roster().depart(people[number], ConnectionId::new(1_000_000 + number as u64));
        store.let_go_contacts(people[number]);
    };
    let begun = Instant::now();
    (0..CROWD).for_each(leave);
    // One more, whose change is the next.
    let connection = hub.number();
    store.hold_contacts(people[0]).await.unwrap();
    hub.roster().arrive(people[0], connection, 9, None).unwrap();
    ear.until(CROWD - 1).await;
    sleep(Duration::from_millis(50)).await;
    let told = ear.0.lock().clone();
    let back = told.iter().any(|(who, online, _)| *who == people[0] && *online);
    // He may have come back before his going was told, and then neither is.
    let gone: Vec<_> = told.iter().filter(|(_, online, _)| !online).map(|one| one.0).collect();
    let expected = if back { people } else { &people[1..] };
    assert_eq!(gone, expected);
    let (before, last) = (told[told.len() - 2].2, told[told.len() - 1].2);
    assert!(last - before < Duration::from_secs(1), "{:?}", last - before);
    println!("{CROWD} told in {:?}, the next {:?} later", before - begun, last - before);
    drop(teller);
    tokio::time::timeout(DEADLINE, telling).await.expect("everything is written").unwrap();
}
