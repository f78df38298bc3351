//! The gate and the connections in it: a transport without a network, and real services.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::connection::Connection;
use super::{Delivery, Gate, GateLimits, Intent, Output, Pace, Request, Session, Step};
use crate::domain::{
    Command, ConversationChange, ConversationId, Credentials, Dialect, Draft, Event, Outcome,
    Principal, Reply, Text, Topic,
};
use crate::hub::{Hub, Listener};
use crate::service::Services;
use crate::service::fixture::{HERE, Home};
use crate::transport::memory::{self, MemoryClient, MemoryTransport};
use crate::transport::{Close, Transport};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// A dialect of the fewest words; it panics when it hears its own.
struct Talker(&'static str);

/// What its clients say; the word comes back in the answer.
enum Said {
    Identify(String),
    Forget,
    Run(&'static str, Command),
    /// The answer to this one panics.
    Stumble,
    /// This one panics right away.
    Fall,
    Leave,
}

type Stage = MemoryClient<Said, String>;

impl Session for Talker {
    const DIALECT: Dialect = Dialect::Neo;
    type Incoming = Said;
    type Outgoing = String;
    type Tag = &'static str;

    fn on_frame(&mut self, said: Said) -> Step<Self> {
        let (tag, intent) = match said {
            Said::Identify(token) => ("identify", Intent::Identify(Credentials::Token(token))),
            Said::Forget => ("forget", Intent::Forget),
            Said::Run(word, command) => (word, Intent::Run(command)),
            Said::Stumble => ("stumble", Intent::Run(quick())),
            Said::Fall => panic!("as the test wants it"),
            Said::Leave => return Step::send("bye".to_owned()).and_close(Close::Done),
        };
        Step::ask(Request { intent, tag })
    }

    fn on_outcome(&mut self, tag: &'static str, outcome: Outcome) -> Step<Self> {
        assert_ne!(tag, "stumble", "as the test wants it");
        let what = match outcome {
            Ok(Reply::Posted(posted)) => posted.seq.to_string(),
            Ok(_) => "ok".to_owned(),
            Err(refusal) => refusal.code().to_owned(),
        };
        Step::send(format!("{tag}: {what}"))
    }

    fn on_event(&mut self, delivery: &Delivery) -> Step<Self> {
        match delivery.event() {
            Event::MessagePosted { message, .. } if message.text == self.0 => {
                panic!("as the test wants it")
            }
            Event::MessagePosted { message, .. } => Step::send(format!("heard {}", message.text)),
            Event::ConversationChanged { .. } => Step::send("updated".to_owned()),
            Event::LoginEnded { .. } => Step::send("login ended".to_owned()).and_unbind(),
            _ => Step::put(vec![Output::Ephemeral("something".to_owned())]),
        }
    }
}

/// A command that asks nothing of the database.
fn quick() -> Command {
    Command::StunServers { host: None }
}

fn post(word: &'static str, room: ConversationId) -> Said {
    let text = Text::new(word.to_owned(), 100).unwrap();
    Said::Run(word, Command::PostMessage(Draft::words(room, text, Dialect::Neo)))
}

fn fast() -> Pace {
    let most = NonZeroU32::new(1_000_000).unwrap();
    Pace::new(most, most)
}

/// A gate, a room, and Ann with her token.
struct House {
    home: Home,
    gate: Gate,
    room: ConversationId,
    ann: Principal,
    token: String,
}

impl House {
    async fn open() -> Self {
        Self::with(GateLimits { held: 512, drain: Duration::ZERO }).await
    }

    async fn with(limits: GateLimits) -> Self {
        let home = Home::open().await;
        let room = home.room().await;
        let (ann, token) = home.person("ann").await;
        let gate = Gate::new(home.services.clone(), limits);
        Self { home, gate, room, ann, token }
    }

    fn services(&self) -> &Services {
        &self.home.services
    }

    fn hub(&self) -> &Hub {
        self.services().hub()
    }

    /// Somebody comes to the gate, with room for so many frames.
    fn come(&self, room: usize) -> (Stage, JoinHandle<()>) {
        self.come_with(room, fast())
    }

    fn come_with(&self, room: usize, pace: Pace) -> (Stage, JoinHandle<()>) {
        let (transport, client): (MemoryTransport<Said, String>, _) = memory::connection(room);
        let gate = self.gate.clone();
        let running =
            tokio::spawn(async move { gate.admit(Talker("ouch"), transport, HERE, pace).await });
        (client, running)
    }

    /// Ann comes, and listens to the room.
    async fn ann(&self, room: usize) -> (Stage, JoinHandle<()>) {
        let (mut client, running) = self.come(room);
        client.send(Said::Identify(self.token.clone()));
        assert_eq!(read(&mut client).await, "identify: ok");
        client.send(Said::Run("join", Command::JoinConversation(self.room)));
        assert_eq!(read(&mut client).await, "join: ok");
        (client, running)
    }

    async fn update(&self) {
        let event = Event::ConversationChanged {
            conversation: self.room,
            change: ConversationChange::Updated,
        };
        self.hub().publish(&[Topic::Conversation(self.room)], event).await;
    }

    /// Waits until a command of this client is under way: what happens now is held back.
    async fn until_held(&self, client: &mut Stage) {
        let waiting = async {
            loop {
                self.update().await;
                if client.read_now().is_none() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, waiting).await.expect("the command begins");
    }

    fn is_ann_online(&self) -> bool {
        self.hub().roster().is_online(self.ann)
    }

    async fn until_ann_is_offline(&self) {
        let waiting = async {
            while self.is_ann_online() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, waiting).await.expect("the account is counted out");
    }
}

async fn read(client: &mut Stage) -> String {
    let frame = timeout(DEADLINE, client.read()).await.expect("a frame comes");
    frame.expect("the connection lives")
}

/// Everything up to the end of the connection.
async fn read_all(client: &mut Stage) -> Vec<String> {
    let mut frames = Vec::new();
    while let Some(frame) = timeout(DEADLINE, client.read()).await.expect("a frame, or the end") {
        frames.push(frame);
    }
    frames
}

async fn ended(running: JoinHandle<()>) -> Result<(), tokio::task::JoinError> {
    timeout(DEADLINE, running).await.expect("the connection ends")
}

#[tokio::test]
async fn the_reply_comes_before_the_events_its_command_caused() {
    let house = House::open().await;
    let (mut client, _running) = house.ann(64).await;
    for _ in 0..20 {
        client.send(post("hello", house.room));
    }
    for seq in 1..=20 {
        assert_eq!(read(&mut client).await, format!("hello: {seq}"));
        assert_eq!(read(&mut client).await, "heard hello");
    }
}

#[tokio::test]
async fn what_happens_during_a_command_is_told_after_its_reply() {
    let house = House::open().await;
    let (mut client, _running) = house.ann(64).await;
    let turn = house.services().store().turn().await;
    client.send(post("hello", house.room));
    house.until_held(&mut client).await;
    house.update().await;
    assert_eq!(client.read_now(), None);
    drop(turn);
    assert_eq!(read(&mut client).await, "hello: 1");
    assert_eq!(read(&mut client).await, "updated");
    assert_eq!(read(&mut client).await, "updated");
    assert_eq!(read(&mut client).await, "heard hello");
}

#[tokio::test]
async fn what_was_held_back_is_let_go_when_a_command_panics() {
    let home = Home::open().await;
    let (transport, mut client): (MemoryTransport<Said, String>, Stage) = memory::connection(8);
    let connection = Connection::attach(Talker("ouch"), transport.sink(), home.services.clone(), 8);
    let event = Event::ConversationChanged {
        conversation: ConversationId::new(1),
        change: ConversationChange::Updated,
    };
    let delivery = Arc::new(Delivery::new(event));
    let fallen = catch_unwind(AssertUnwindSafe(|| {
        let _hold = connection.hold();
        connection.offer(&delivery);
        assert_eq!(client.read_now(), None);
        panic!("as the test wants it");
    }));
    assert!(fallen.is_err());
    assert_eq!(client.read_now().as_deref(), Some("updated"));
    connection.offer(&delivery);
    assert_eq!(client.read_now().as_deref(), Some("updated"), "nothing is held back any more");
}

#[tokio::test]
async fn commands_are_carried_out_one_after_another() {
    let house = House::open().await;
    let (mut client, _running) = house.ann(512).await;
    let turn = house.services().store().turn().await;
    client.send(post("slow", house.room));
    for word in ["a", "b", "c"] {
        client.send(Said::Run(word, quick()));
    }
    client.send(post("last", house.room));
    house.until_held(&mut client).await;
    drop(turn);
    let mut replies = Vec::new();
    while replies.len() < 5 {
        let frame = read(&mut client).await;
        if frame.contains(':') {
            replies.push(frame);
        }
    }
    assert_eq!(replies, ["slow: 1", "a: ok", "b: ok", "c: ok", "last: 2"]);
}

#[tokio::test]
async fn a_session_that_panics_over_an_event_is_let_go_alone() {
    let house = House::open().await;
    let (mut weak, leaving) = house.ann(8).await;
    let (transport, mut strong): (MemoryTransport<Said, String>, Stage) = memory::connection(8);
    let services = house.services().clone();
    let connection = Connection::attach(Talker("nothing"), transport.sink(), services, 8);
    house.hub().subscribe(connection.id(), Topic::Conversation(house.room));
    let caller = identify(&house, &house.token).await;
    for text in ["ouch", "and on"] {
        let Said::Run(_, Command::PostMessage(draft)) = post(text, house.room) else {
            unreachable!("a post is a post")
        };
        house.services().post(&caller, draft).await.unwrap();
    }
    assert_eq!(read(&mut strong).await, "heard ouch");
    assert_eq!(read(&mut strong).await, "heard and on");
    ended(leaving).await.unwrap();
    assert_eq!(read_all(&mut weak).await, Vec::<String>::new());
    assert_eq!(weak.closed(), Some(Close::Fault));
}

#[tokio::test]
async fn a_slow_reader_is_let_go_and_others_are_undisturbed() {
    let house = House::open().await;
    let (slow, leaving) = house.ann(3).await;
    let (mut quick, _running) = house.ann(64).await;
    for _ in 0..10 {
        house.update().await;
    }
    ended(leaving).await.unwrap();
    assert_eq!(slow.closed(), Some(Close::TooSlow));
    for _ in 0..10 {
        assert_eq!(read(&mut quick).await, "updated");
    }
    assert_eq!(quick.closed(), None);
    assert!(house.is_ann_online());
}

#[tokio::test]
async fn who_is_told_too_much_during_a_command_is_let_go_and_the_command_finishes() {
    let house = House::with(GateLimits { held: 4, drain: Duration::ZERO }).await;
    let (mut client, running) = house.ann(64).await;
    let turn = house.services().store().turn().await;
    client.send(post("hello", house.room));
    house.until_held(&mut client).await;
    for _ in 0..4 {
        house.update().await;
    }
    assert_eq!(client.closed(), Some(Close::TooSlow));
    drop(turn);
    ended(running).await.unwrap();
    let (mut other, _running) = house.ann(64).await;
    other.send(post("again", house.room));
    assert_eq!(read(&mut other).await, "again: 2");
}

#[tokio::test]
async fn shutdown_lets_a_command_that_has_begun_finish() {
    let house = House::open().await;
    let (mut client, running) = house.ann(64).await;
    let turn = house.services().store().turn().await;
    client.send(post("hello", house.room));
    house.until_held(&mut client).await;
    client.send(post("too late", house.room));
    let gate = house.gate.clone();
    let mut draining = tokio::spawn(async move { gate.drain().await });
    assert!(timeout(Duration::from_millis(100), &mut draining).await.is_err());
    assert_eq!(client.closed(), None);
    drop(turn);
    timeout(DEADLINE, draining).await.expect("the drain ends").unwrap();
    ended(running).await.unwrap();
    assert_eq!(read_all(&mut client).await, ["hello: 1", "updated", "heard hello"]);
    assert_eq!(client.closed(), Some(Close::Shutdown));
}

#[tokio::test]
async fn shutdown_spreads_the_ends_of_connections_over_the_drain_time() {
    const DRAIN: Duration = Duration::from_secs(1);
    let house = House::with(GateLimits { held: 8, drain: DRAIN }).await;
    let mut ends = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for _ in 0..64 {
        let (mut client, running) = house.come(8);
        client.send(Said::Run("here", quick()));
        assert_eq!(read(&mut client).await, "here: ok");
        ends.spawn(async move {
            assert_eq!(read_all(&mut client).await, Vec::<String>::new());
            assert_eq!(client.closed(), Some(Close::Shutdown));
            ended(running).await.unwrap();
            Instant::now()
        });
    }
    let drained = Instant::now();
    house.gate.drain().await;
    let took = drained.elapsed();
    let ends = ends.join_all().await;
    let (first, last) = (ends.iter().min().unwrap(), ends.iter().max().unwrap());
    assert!(*last - *first > DRAIN / 3, "{:?} after {:?}", *last - *first, begun.elapsed());
    assert!(took < DRAIN * 3, "{took:?}");
}

#[tokio::test]
async fn pace_delays_and_refuses_nothing() {
    let house = House::open().await;
    let pace = Pace::new(NonZeroU32::new(50).unwrap(), NonZeroU32::new(5).unwrap());
    let (mut client, _running) = house.come_with(64, pace);
    let begun = Instant::now();
    let words = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o"];
    for word in words {
        client.send(Said::Run(word, quick()));
    }
    for word in words {
        assert_eq!(read(&mut client).await, format!("{word}: ok"));
    }
    // Five at once, and ten at fifty a second.
    assert!(begun.elapsed() >= Duration::from_millis(190), "{:?}", begun.elapsed());
    assert_eq!(client.closed(), None);
}

#[tokio::test]
async fn an_account_is_counted_out_on_every_way_out() {
    let house = House::open().await;
    for way in ["hang up", "leave", "forget", "stumble", "fall", "too slow"] {
        let (mut client, running) = house.ann(8).await;
        assert!(house.is_ann_online(), "{way}");
        match way {
            "hang up" => client.hang_up(),
            "leave" => client.send(Said::Leave),
            "forget" => client.send(Said::Forget),
            "stumble" => client.send(Said::Stumble),
            "fall" => client.send(Said::Fall),
            _ => {
                for _ in 0..9 {
                    house.update().await;
                }
            }
        }
        house.until_ann_is_offline().await;
        if way == "forget" {
            assert_eq!(read(&mut client).await, "forget: ok");
            client.send(post("nobody", house.room));
            assert_eq!(read(&mut client).await, "nobody: unidentified");
            client.hang_up();
        }
        let has_panicked = ended(running).await.is_err_and(|error| error.is_panic());
        assert_eq!(has_panicked, way == "stumble" || way == "fall", "{way}");
    }
}

async fn identify(house: &House, token: &str) -> crate::service::Caller {
    let credentials = Credentials::Token(token.to_owned());
    house.services().identify(&credentials, HERE).await.unwrap()
}

#[tokio::test]
async fn a_login_that_ends_puts_its_connection_out_and_no_other() {
    let house = House::open().await;
    let (mut one, _one) = house.ann(64).await;
    let caller = identify(&house, &house.token).await;
    let (mut other, _other) = house.come(64);
    other.send(Said::Identify(house.home.token(house.ann).await));
    assert_eq!(read(&mut other).await, "identify: ok");
    house.services().log_out(&caller).await.unwrap();
    assert_eq!(read(&mut one).await, "login ended");
    one.send(post("who", house.room));
    assert_eq!(read(&mut one).await, "who: unidentified");
    other.send(post("me", house.room));
    assert_eq!(read(&mut other).await, "me: 1");
    assert_eq!(one.read_now(), None, "it hears nothing any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_ends_while_it_is_shown_leaves_the_connection_unbound() {
    let house = House::open().await;
    let mut refused = 0;
    for round in 0..40_u64 {
        let token = house.home.token(house.ann).await;
        let caller = identify(&house, &token).await;
        let (mut client, _running) = house.come(64);
        let services = house.services().clone();
        let hub = house.hub().clone();
        let ann = house.ann;
        let ending = tokio::spawn(async move {
            if round % 2 == 0 {
                // Right after it was counted in, while its login is looked at again.
                while !hub.roster().is_online(ann) {
                    tokio::task::yield_now().await;
                }
            }
            services.log_out(&caller).await
        });
        client.send(Said::Identify(token));
        match read(&mut client).await.as_str() {
            "identify: ok" => assert_eq!(read(&mut client).await, "login ended"),
            answer => {
                assert_eq!(answer, "identify: unidentified");
                refused += 1;
            }
        }
        ending.await.unwrap().unwrap();
        house.until_ann_is_offline().await;
        client.send(post("still here", house.room));
        assert_eq!(read(&mut client).await, "still here: unidentified");
        client.hang_up();
    }
    assert!(refused < 40, "the race was never as close as it should be");
}
