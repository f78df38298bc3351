//! Who is typing where: one state per account and conversation, whatever dialect said so.
//!
//! A state ends by a word, by a message, with its connection, or by silence; one task looks
//! for the silent ones, there is no timer per state. What is told of one conversation is told
//! in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::{Instant, sleep};

use crate::domain::{ConnectionId, ConversationId, Dialect, Event, Party, Principal, Topic};
use crate::hub::{News, Notice};
use crate::store::Store;

/// How often silent states are looked for, while there are any.
const SWEEP: Duration = Duration::from_millis(250);
/// Conversations share so many locks.
const STRIPES: usize = 64;

/// After how much silence typing has ended.
const fn silence(dialect: Dialect) -> Duration {
    match dialect {
        Dialect::PrivateChat => Duration::from_secs(3),
        Dialect::Multichat => Duration::from_secs(6),
        Dialect::Neo | Dialect::MembersChat | Dialect::Courier | Dialect::Other(_) => {
            Duration::from_secs(30)
        }
    }
}

/// Within how much time typing that goes on is not passed on again.
const fn pause(dialect: Dialect) -> Duration {
    match dialect {
        Dialect::PrivateChat => Duration::from_secs(1),
        Dialect::Multichat => Duration::from_secs(2),
        Dialect::Neo | Dialect::MembersChat | Dialect::Courier | Dialect::Other(_) => {
            Duration::ZERO
        }
    }
}

/// Somebody says that they type, or no longer.
#[derive(Debug)]
pub(super) struct Saying {
    /// Who.
    pub(super) who: Party,
    /// Over which connection.
    pub(super) connection: Option<ConnectionId>,
    /// Where.
    pub(super) conversation: ConversationId,
    /// Started, or stopped.
    pub(super) typing: bool,
    /// In which language.
    pub(super) dialect: Dialect,
}

/// Somebody who types.
#[derive(Debug)]
struct State {
    who: Party,
    connection: Option<ConnectionId>,
    begun_in: Dialect,
    until: Instant,
    passed: Instant,
}

type States = HashMap<(Principal, ConversationId), State>;

/// Who is typing where. Cheap to clone.
#[derive(Clone)]
pub struct Typing {
    shared: Arc<Shared>,
    /// Connections that have ended. Unbounded: there are never more than connections.
    ended: mpsc::UnboundedSender<ConnectionId>,
}

struct Shared {
    store: Store,
    stripes: Box<[Mutex<States>]>,
    begun: Notify,
}

impl std::fmt::Debug for Typing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Typing(..)")
    }
}

impl Typing {
    /// Starts the task that ends what nobody ends; it ends when the last holder is dropped.
    pub fn start(store: Store) -> Self {
        let stripes = (0..STRIPES).map(|_| Mutex::default()).collect();
        let shared = Arc::new(Shared { store, stripes, begun: Notify::new() });
        let (ended, connections) = mpsc::unbounded_channel();
        tokio::spawn(sweep(Arc::clone(&shared), connections));
        Self { shared, ended }
    }

    /// Takes note, and tells those who listen as far as it is news to them.
    pub(super) async fn say(&self, saying: Saying) {
        let Saying { who, connection, conversation, typing, dialect } = saying;
        let mut states = self.shared.stripe(conversation).lock().await;
        let now = Instant::now();
        let key = (who.principal(), conversation);
        let changed = match states.get_mut(&key) {
            None if typing => {
                let (until, who) = (now + silence(dialect), who.clone());
                let state = State { who, connection, begun_in: dialect, until, passed: now };
                states.insert(key, state);
                self.shared.begun.notify_one();
                true
            }
            None => false,
            Some(state) if typing => {
                state.until = state.until.max(now + silence(dialect));
                state.connection = connection;
                if now < state.passed + pause(dialect) {
                    return;
                }
                state.passed = now;
                false
            }
            Some(_) => states.remove(&key).is_some(),
        };
        let computed = false;
        let event = Event::TypingChanged { conversation, who, typing, dialect, changed, computed };
        self.shared.tell(conversation, event).await;
    }

    /// A message has ended it, if it had begun.
    pub(super) async fn end(&self, principal: Principal, conversation: ConversationId) {
        let mut states = self.shared.stripe(conversation).lock().await;
        if let Some(state) = states.remove(&(principal, conversation)) {
            self.shared.tell_end(conversation, state).await;
        }
    }

    /// The connection that has said so has left the conversation.
    pub(super) async fn left(
        &self,
        principal: Principal,
        conversation: ConversationId,
        connection: ConnectionId,
    ) {
        let mut states = self.shared.stripe(conversation).lock().await;
        let key = (principal, conversation);
        if states.get(&key).is_some_and(|state| state.connection == Some(connection))
            && let Some(state) = states.remove(&key)
        {
            self.shared.tell_end(conversation, state).await;
        }
    }

    /// A connection speaks for nobody any more.
    pub(super) fn gone(&self, connection: ConnectionId) {
        // Without the task the server is on its way down.
        let _ = self.ended.send(connection);
    }
}

impl Shared {
    fn stripe(&self, conversation: ConversationId) -> &Mutex<States> {
        &self.stripes[conversation.get().unsigned_abs() as usize % STRIPES]
    }

    async fn tell(&self, conversation: ConversationId, event: Event) {
        let notice = Notice::new([Topic::Conversation(conversation)], event);
        self.store.tell(News::none().conversation(conversation, notice)).await;
    }

    async fn tell_end(&self, conversation: ConversationId, state: State) {
        let State { who, begun_in: dialect, .. } = state;
        let (typing, changed, computed) = (false, true, true);
        let event = Event::TypingChanged { conversation, who, typing, dialect, changed, computed };
        self.tell(conversation, event).await;
    }

    /// Ends the states that are over; says whether any are left.
    async fn end_all(&self, is_over: impl Fn(&State) -> bool) -> bool {
        let mut left = false;
        for stripe in &self.stripes {
            let mut states = stripe.lock().await;
            let over: Vec<_> = states.extract_if(|_, state| is_over(state)).collect();
            for ((_, conversation), state) in over {
                self.tell_end(conversation, state).await;
            }
            left |= !states.is_empty();
        }
        left
    }
}

async fn sweep(shared: Arc<Shared>, mut ended: mpsc::UnboundedReceiver<ConnectionId>) {
    let mut waiting = false;
    loop {
        tokio::select! {
            connection = ended.recv() => {
                let Some(connection) = connection else { return };
                if waiting {
                    waiting = shared.end_all(|state| state.connection == Some(connection)).await;
                }
            }
            () = shared.begun.notified() => waiting = true,
            () = sleep(SWEEP), if waiting => {
                let now = Instant::now();
                waiting = shared.end_all(|state| state.until <= now).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex as Lock;

    use super::*;
    use crate::clock::Clock;
    use crate::domain::Email;
    use crate::hub::{Delivery, Listener};
    use crate::store::{NewUser, Options};

    const HERE: ConversationId = ConversationId::new(1);

    #[derive(Default)]
    struct Ear(Lock<Vec<String>>);

    impl Listener for Ear {
        fn offer(&self, delivery: &Arc<Delivery>) {
            if let Event::TypingChanged { typing, dialect, changed, computed, .. } =
                delivery.event()
            {
                let word = format!("{typing} {} {changed} {computed}", dialect.as_str());
                self.0.lock().push(word);
            }
        }
    }

    struct Stage {
        typing: Typing,
        ear: Arc<Ear>,
        ann: Party,
        _folder: tempfile::TempDir,
    }

    impl Stage {
        async fn open() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let url = format!("sqlite:{}", folder.path().join("klatsch.db").display());
            let store = Store::open(&Options::at(url), Clock::system()).await.unwrap();
            store.migrate().await.unwrap();
            let email = Email::new("ann@example.org").unwrap();
            let ann =
                Party::User(Arc::new(store.start_user(NewUser::called(email)).await.unwrap()));
            let ear = Arc::new(Ear::default());
            let id = store.hub().attach(Arc::clone(&ear) as Arc<dyn Listener>);
            store.hub().subscribe(id, Topic::Conversation(HERE));
            Self { typing: Typing::start(store), ear, ann, _folder: folder }
        }

        async fn say(&self, dialect: Dialect, typing: bool) {
            let saying = Saying {
                who: self.ann.clone(),
                connection: Some(ConnectionId::new(7)),
                conversation: HERE,
                typing,
                dialect,
            };
            self.typing.say(saying).await;
        }

        fn heard(&self) -> Vec<String> {
            std::mem::take(&mut self.ear.0.lock())
        }

        async fn hears(&self, words: &[&str]) {
            let waiting = async {
                let mut heard = Vec::new();
                while heard.len() < words.len() {
                    heard.extend(self.heard());
                    sleep(Duration::from_millis(10)).await;
                }
                heard
            };
            let heard = tokio::time::timeout(Duration::from_secs(40), waiting).await.unwrap();
            assert_eq!(heard, words);
        }
    }

    #[tokio::test]
    async fn typing_is_one_state_that_is_news_once() {
        let stage = Stage::open().await;
        stage.say(Dialect::PrivateChat, true).await;
        stage.say(Dialect::PrivateChat, true).await;
        stage.say(Dialect::Multichat, true).await;
        stage.say(Dialect::Neo, true).await;
        assert_eq!(stage.heard(), ["true private-chat true false", "true neo false false"]);
        stage.say(Dialect::Neo, false).await;
        stage.say(Dialect::Neo, false).await;
        assert_eq!(stage.heard(), ["false neo true false", "false neo false false"]);
    }

    #[tokio::test]
    async fn silence_ends_it_in_the_time_of_its_dialect() {
        let stage = Stage::open().await;
        stage.say(Dialect::PrivateChat, true).await;
        let begun = Instant::now();
        stage.hears(&["true private-chat true false", "false private-chat true true"]).await;
        assert!(begun.elapsed() >= silence(Dialect::PrivateChat), "{:?}", begun.elapsed());
        let seconds = |dialect| silence(dialect).as_secs();
        assert_eq!((seconds(Dialect::Multichat), seconds(Dialect::Neo)), (6, 30));
    }

    #[tokio::test]
    async fn a_message_and_the_end_of_the_connection_end_it() {
        let stage = Stage::open().await;
        stage.say(Dialect::Neo, true).await;
        stage.typing.end(stage.ann.principal(), HERE).await;
        stage.typing.end(stage.ann.principal(), HERE).await;
        assert_eq!(stage.heard(), ["true neo true false", "false neo true true"]);
        stage.say(Dialect::Neo, true).await;
        stage.typing.gone(ConnectionId::new(8));
        stage.typing.gone(ConnectionId::new(7));
        stage.hears(&["true neo true false", "false neo true true"]).await;
    }
}
