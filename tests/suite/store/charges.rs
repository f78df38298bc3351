//! Messages that cost coins, on every database that is there: paid for once, or not there.

use klatsch::domain::{
    Attached, ClientRef, Dialect, Draft, Email, Event, FileId, MessageKind, Posted, Principal,
    Refusal, RefusalKind, Text, User,
};
use klatsch::domain::{Charge, Conversation, Smile, SmileId, Timestamp};
use klatsch::policy::{self, MayAdminister};
use klatsch::store::log::{Log, Tariff};
use klatsch::store::{Amount, Arrived, NewUser, Store, StoreError, UserChange};
use sea_orm::{ConnectionTrait, Statement};

use crate::support::databases::{self, Database};

/// A pair that pays five coins for each message of members-chat.
struct Shop {
    store: Store,
    log: Log,
    ann: User,
    chat: Conversation,
}

async fn person(store: &Store, name: &str, superuser: bool) -> User {
    let email = Email::new(&format!("{name}@example.org")).expect("an address");
    store.start_user(NewUser { superuser, ..NewUser::called(email) }).await.expect("a user")
}

impl Shop {
    async fn on(database: &Database, balance: i64) -> Self {
        let store = database.store().await;
        let (log, _) = Log::start(&store).expect("the log starts");
        let tariff = Tariff { default_price: 5, billed: vec![Dialect::MembersChat] };
        let log = log.charging(tariff);
        let (ann, bob) = (person(&store, "ann", false).await, person(&store, "bob", false).await);
        let chat = store.open_direct(ann.id, bob.id).await.expect("a conversation");
        let shop = Self { store, log, ann, chat };
        let balance = Some(Amount::Exactly(balance));
        shop.change(UserChange { balance, ..UserChange::default() }).await;
        shop
    }

    async fn change(&self, change: UserChange) {
        self.store.change_user(self.ann.id, change).await.expect("stored");
    }

    fn words(&self, text: &str) -> Draft {
        let text = Text::new(text.to_owned(), 100).expect("short");
        Draft::words(self.chat.id, text, Dialect::MembersChat)
    }

    async fn send(&self, draft: Draft) -> Result<(Posted, Option<Charge>), Refusal> {
        let standing = self.store.standing(Principal::User(self.ann.id), self.chat.id).await;
        let standing = standing.expect("the database answers").expect("a conversation");
        let permit = policy::may_post(&standing).expect("a member");
        self.log.sell(permit, draft, None).await.map_err(|error| match error {
            StoreError::Refused(refusal) => refusal,
            other => panic!("{other}"),
        })
    }

    async fn balance(&self) -> i64 {
        self.store.find_user(self.ann.id).await.expect("an answer").expect("a user").balance
    }

    async fn number(&self, sql: &str) -> i64 {
        let db = self.store.reads();
        let row = db.query_one_raw(Statement::from_string(self.store.backend(), sql)).await;
        row.expect("an answer").expect("a row").try_get_by_index(0).expect("a number")
    }

    async fn messages(&self) -> i64 {
        self.number("SELECT count(*) FROM messages").await
    }

    /// What the ledger says was spent, and by how many messages.
    async fn spent(&self) -> (i64, i64) {
        let spent = "SELECT CAST(COALESCE(SUM(-amount), 0) AS SIGNED) FROM ledger WHERE amount < 0";
        let spent = if self.store.backend() == sea_orm::DbBackend::MySql {
            spent.to_owned()
        } else {
            spent.replace("SIGNED", "BIGINT")
        };
        let entries = "SELECT count(DISTINCT message_id) FROM ledger WHERE amount < 0";
        (self.number(&spent).await, self.number(entries).await)
    }

    async fn smile(&self, price: i64) -> SmileId {
        let picture = Arrived {
            file: FileId::random(),
            size: 4,
            mime: Some("image/png".into()),
            filename: "cat".into(),
            extension: ".png".into(),
        };
        let made = self.store.add_smile(&self.permit().await, picture, price).await;
        made.expect("a smile").smile.id
    }

    async fn permit(&self) -> MayAdminister {
        let name = format!("root{}", self.number("SELECT count(*) FROM users").await);
        policy::may_administer(&person(&self.store, &name, true).await).expect("a superuser")
    }

    async fn smiling(&self, id: SmileId) -> Draft {
        let found = self.store.find_smile(id).await.expect("an answer");
        let smile = found.map_or(Smile { id, file: FileId::random() }, |found| found.smile);
        let attached = Attached {
            file: FileId::random(),
            name: "cat.png".into(),
            filename: "cat".into(),
            extension: ".png".into(),
            mime: Some("image/png".into()),
            size: 4,
        };
        Draft { smile: Some(smile), attached: Some(Box::new(attached)), ..self.words("") }
    }
}

fn poor(price: i64, balance: i64) -> RefusalKind {
    RefusalKind::TooPoor { price, balance }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sends_at_once_with_coins_for_one_give_one_message() {
    for database in databases::each().await {
        let shop = Shop::on(&database, 9).await;
        let both = tokio::join!(shop.send(shop.words("a")), shop.send(shop.words("b")));
        let (mut sold, mut refused) = (0, Vec::new());
        for outcome in [both.0, both.1] {
            match outcome {
                Ok((_, charge)) => {
                    assert_eq!(charge, Some(Charge { price: 5, balance: 4 }), "{}", database.name);
                    sold += 1;
                }
                Err(refusal) => refused.push(refusal.kind()),
            }
        }
        assert_eq!((sold, refused), (1, vec![poor(5, 4)]), "{}", database.name);
        assert_eq!((shop.messages().await, shop.balance().await), (1, 4));
        assert_eq!(shop.spent().await, (5, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sends_at_once_never_take_more_than_there_is() {
    for database in databases::each().await {
        let shop = Shop::on(&database, 38).await;
        let sends = (0..20).map(|number| shop.send(shop.words(&number.to_string())));
        let outcomes = futures_util::future::join_all(sends).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 7);
        assert_eq!((shop.messages().await, shop.balance().await), (7, 3), "{}", database.name);
        assert_eq!(shop.spent().await, (35, 7));
        let seqs = "SELECT max(seq) FROM messages";
        assert_eq!(shop.number(seqs).await, 7);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_reference_is_stored_and_paid_for_once() {
    for database in databases::each().await {
        let shop = Shop::on(&database, 6).await;
        let reference = ClientRef::new("one".into());
        let draft = Draft { reference, ..shop.words("once") };
        let (first, charge) = shop.send(draft.clone()).await.expect("sold");
        assert!(charge.is_some() && !first.duplicate);
        let (again, charge) = shop.send(draft).await.expect("known, whatever it costs");
        assert_eq!((again.message, again.duplicate, charge), (first.message, true, None));
        assert_eq!((shop.messages().await, shop.balance().await), (1, 1), "{}", database.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_smile_costs_its_present_price_until_it_is_retired() {
    for database in databases::each().await {
        let shop = Shop::on(&database, 20).await;
        let permit = shop.permit().await;
        let cat = shop.smile(7).await;
        let (posted, charge) = shop.send(shop.smiling(cat).await).await.expect("sold");
        assert_eq!(charge, Some(Charge { price: 7, balance: 13 }));
        let stored = shop.store.find_message(posted.message).await.expect("read").expect("there");
        assert_eq!(stored.kind, MessageKind::Smile);
        assert_eq!((stored.medias.len(), stored.medias[0].size), (1, Some(4)));
        let file = shop.store.find_smile(cat).await.expect("read").expect("there").smile.file;
        assert_eq!(stored.smile, Some(Smile { id: cat, file }), "{}", database.name);
        assert_ne!(stored.medias[0].file, file);

        shop.store.price_smile(&permit, cat, 30).await.expect("stored").expect("there");
        let refused = shop.send(shop.smiling(cat).await).await.expect_err("too dear");
        assert_eq!(refused.kind(), poor(30, 13));
        shop.store.price_smile(&permit, cat, 0).await.expect("stored").expect("there");
        let (_, charge) = shop.send(shop.smiling(cat).await).await.expect("free");
        assert_eq!(charge, None);
        let draft = shop.smiling(cat).await;
        assert!(shop.store.retire_smile(&permit, cat).await.expect("stored"));
        assert!(!shop.store.retire_smile(&permit, cat).await.expect("stored"));
        assert!(shop.store.list_smiles().await.expect("read").is_empty());
        let refused = shop.send(draft).await.expect_err("it is retired");
        assert_eq!(refused.kind(), RefusalKind::NotFound);
        let stored = shop.store.find_message(posted.message).await.expect("read").expect("there");
        assert_eq!(stored.smile.map(|smile| smile.id), Some(cat), "old messages keep it");
        assert_eq!(shop.balance().await, 13);
    }
}

#[tokio::test]
async fn who_pays_nothing_and_other_dialects_leave_no_trace_in_the_ledger() {
    let database = databases::sqlite();
    let shop = Shop::on(&database, 5).await;
    let soon = Timestamp::from_secs(4_000_000_000);
    for change in [
        UserChange { superuser: Some(true), ..UserChange::default() },
        UserChange { superuser: Some(false), employee: Some(true), ..UserChange::default() },
        UserChange {
            employee: Some(false),
            premium_until: Some(Some(soon)),
            ..UserChange::default()
        },
    ] {
        shop.change(change).await;
        assert_eq!(shop.send(shop.words("free")).await.expect("free").1, None);
    }
    let past = Some(Some(Timestamp::from_secs(1)));
    shop.change(UserChange { premium_until: past, ..UserChange::default() }).await;
    let elsewhere = Draft { dialect: Dialect::Neo, ..shop.words("not billed") };
    assert_eq!(shop.send(elsewhere).await.expect("free").1, None);
    assert_eq!((shop.spent().await, shop.balance().await), ((0, 0), 5));
    let charge = shop.send(shop.words("paid")).await.expect("paid").1;
    assert_eq!(charge, Some(Charge { price: 5, balance: 0 }));
}

#[tokio::test]
async fn a_file_that_comes_with_its_message_is_there_at_once() {
    use klatsch::hub::{Delivery, Listener};
    use std::sync::Arc;

    #[derive(Default)]
    struct Ear(parking_lot::Mutex<Vec<klatsch::domain::Message>>);

    impl Listener for Ear {
        fn offer(&self, delivery: &Arc<Delivery>) {
            if let Event::MessagePosted { message, .. } = delivery.event() {
                self.0.lock().push(message.as_ref().clone());
            }
        }
    }

    for billed in [vec![], vec![Dialect::MembersChat]] {
        let database = databases::sqlite();
        let shop = Shop::on(&database, 5).await;
        let log = shop.log.clone().charging(Tariff { default_price: 5, billed });
        let shop = Shop { log, ..shop };
        let ear = Arc::new(Ear::default());
        let hub = shop.store.hub();
        let connection = hub.attach(Arc::clone(&ear) as Arc<dyn Listener>);
        hub.subscribe(connection, klatsch::domain::Topic::Conversation(shop.chat.id));
        let draft = Draft { smile: None, ..shop.smiling(SmileId::new(1)).await };
        let (posted, _) = shop.send(draft).await.expect("sold");
        let stored = shop.store.find_message(posted.message).await.expect("read").expect("there");
        assert_eq!((stored.kind, stored.place.is_some()), (MessageKind::File, true));
        assert_eq!(*ear.0.lock(), [stored]);
    }
}
