//! The event bus: who listens to what.
//!
//! Publishing never waits for a listener: an offer goes to the listener's bounded sink,
//! and who is too slow is let go by its own connection. Only publishers call `publish`,
//! so that order within a conversation is the order of its log.

mod attendance;
mod delivery;
mod publisher;
mod roster;
mod untold;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;

pub use crate::domain::ConnectionId;
use crate::domain::{ConversationId, Event, Principal, Topic};

pub use attendance::{Attendance, Attendee, Kept, Movement};
pub use delivery::{Delivery, Rendition};
pub use publisher::{News, Notice, Published, Publishers};
pub use roster::{Roster, TooManyConnections};
pub use untold::Turn;

/// How many listeners are offered an event before other tasks get a turn.
const STRIDE: usize = 64;

/// Something that listens: a connection with its session and its sink.
pub trait Listener: Send + Sync {
    /// Takes an event, without waiting.
    fn offer(&self, delivery: &Arc<Delivery>);
}

type Listeners = BTreeMap<ConnectionId, Arc<dyn Listener>>;

/// The event bus of this process. Cheap to clone; all clones are the same hub.
#[derive(Clone, Default)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    next: AtomicU64,
    /// Who listens to a topic, in the order of their connections, so that a publisher can
    /// walk in strides while others come and go.
    topics: RwLock<HashMap<Topic, Arc<RwLock<Listeners>>>>,
    /// What each attached connection is, and listens to.
    attached: Mutex<HashMap<ConnectionId, Attached>>,
    roster: Roster,
    attendance: Attendance,
    /// How many topics of mail are listened to.
    mailboxes: AtomicUsize,
    /// Who is told of evictions.
    watchers: Mutex<Vec<mpsc::UnboundedSender<(Principal, Topic)>>>,
}

struct Attached {
    listener: Arc<dyn Listener>,
    topics: HashSet<Topic>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    /// Takes a connection in; it hears nothing until it subscribes.
    pub fn attach(&self, listener: Arc<dyn Listener>) -> ConnectionId {
        let id = self.number();
        self.shared.attached.lock().insert(id, Attached { listener, topics: HashSet::new() });
        id
    }

    /// A number that no connection has.
    pub fn number(&self) -> ConnectionId {
        ConnectionId::new(self.shared.next.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Lets a connection go, with all its subscriptions.
    pub fn detach(&self, connection: ConnectionId) {
        self.unsubscribe_all(connection);
        self.shared.attached.lock().remove(&connection);
    }

    /// Makes a connection hear a topic; says whether it is new to it.
    pub fn subscribe(&self, connection: ConnectionId, topic: Topic) -> bool {
        let mut attached = self.shared.attached.lock();
        let Some(entry) = attached.get_mut(&connection) else { return false };
        if !entry.topics.insert(topic) {
            return false;
        }
        // Both under the lock of `topics`: a topic that has just become empty may be on
        // its way out.
        let mut topics = self.shared.topics.write();
        let listeners = topics.entry(topic).or_insert_with(|| {
            if let Topic::Mail(_) = topic {
                self.shared.mailboxes.fetch_add(1, Ordering::SeqCst);
            }
            Arc::default()
        });
        listeners.write().insert(connection, Arc::clone(&entry.listener));
        true
    }

    /// Makes a connection deaf to a topic; says whether it had heard it.
    pub fn unsubscribe(&self, connection: ConnectionId, topic: Topic) -> bool {
        let mut attached = self.shared.attached.lock();
        let Some(entry) = attached.get_mut(&connection) else { return false };
        let heard = entry.topics.remove(&topic);
        if heard {
            self.forget(connection, topic);
        }
        heard
    }

    /// Makes a connection deaf to everything.
    pub fn unsubscribe_all(&self, connection: ConnectionId) {
        self.retain(connection, &[]);
    }

    /// Makes a connection deaf to everything but `kept`.
    pub fn retain(&self, connection: ConnectionId, kept: &[Topic]) {
        let mut attached = self.shared.attached.lock();
        let Some(entry) = attached.get_mut(&connection) else { return };
        for topic in entry.topics.extract_if(|topic| !kept.contains(topic)) {
            self.forget(connection, topic);
        }
    }

    /// Makes all connections of a principal deaf to a topic.
    pub fn evict(&self, principal: Principal, topic: Topic) {
        for connection in self.shared.roster.connections(principal) {
            self.unsubscribe(connection, topic);
        }
        self.shared.watchers.lock().retain(|watcher| watcher.send((principal, topic)).is_ok());
    }

    /// Who is evicted from what from now on; as many as are evicted may wait, for each is
    /// caused by a change that somebody asked for.
    pub fn evictions(&self) -> mpsc::UnboundedReceiver<(Principal, Topic)> {
        let (watcher, evictions) = mpsc::unbounded_channel();
        self.shared.watchers.lock().push(watcher);
        evictions
    }

    /// The same with several and a conversation: those who attended it are told so, and the
    /// rest of it, unless it is at its end.
    pub(super) async fn put_out(&self, principals: &[Principal], conversation: ConversationId) {
        let mut gone = Vec::new();
        // All of them first: who is out hears nothing of the others.
        for principal in principals {
            self.evict(*principal, Topic::Conversation(conversation));
            gone.extend(self.shared.attendance.evict(conversation, *principal));
        }
        for movement in &gone {
            self.unsubscribe(movement.connection, Topic::Attendance(conversation));
            self.offer_to(movement.connection, movement.event());
        }
        for movement in gone {
            self.publish(&[Topic::Attendance(conversation)], movement.event()).await;
        }
    }

    /// A conversation is at its end: everybody who attended it is told so.
    pub(super) fn empty(&self, conversation: ConversationId) {
        for movement in self.shared.attendance.clear(conversation) {
            for topic in [Topic::Conversation(conversation), Topic::Attendance(conversation)] {
                self.unsubscribe(movement.connection, topic);
            }
            self.offer_to(movement.connection, movement.event());
        }
    }

    /// How many connections listen to a topic.
    pub fn count(&self, topic: Topic) -> usize {
        self.shared.topics.read().get(&topic).map_or(0, |listeners| listeners.read().len())
    }

    /// Whether anybody listens to a topic.
    pub fn is_heard(&self, topic: Topic) -> bool {
        self.shared.topics.read().contains_key(&topic)
    }

    fn forget(&self, connection: ConnectionId, topic: Topic) {
        let mut topics = self.shared.topics.write();
        if let Some(listeners) = topics.get(&topic) {
            let mut listeners = listeners.write();
            listeners.remove(&connection);
            let empty = listeners.is_empty();
            drop(listeners);
            if empty {
                topics.remove(&topic);
                if let Topic::Mail(_) = topic {
                    self.shared.mailboxes.fetch_sub(1, Ordering::SeqCst);
                }
            }
        }
    }

    /// Offers an event to all who listen to any of the topics, each once, in strides.
    pub async fn publish(&self, topics: &[Topic], event: Event) {
        self.deliver(topics, &[Arc::new(Delivery::new(event))]).await;
    }

    /// The same with several events, one after the other.
    async fn deliver(&self, topics: &[Topic], deliveries: &[Arc<Delivery>]) {
        let mut served = HashSet::new();
        for topic in topics {
            let Some(listeners) = self.shared.topics.read().get(topic).map(Arc::clone) else {
                continue;
            };
            let mut from = Bound::Unbounded;
            loop {
                let stride: Vec<_> = listeners
                    .read()
                    .range((from, Bound::Unbounded))
                    .take(STRIDE)
                    .map(|(id, listener)| (*id, Arc::clone(listener)))
                    .collect();
                let Some((last, _)) = stride.last() else { break };
                from = Bound::Excluded(*last);
                for (id, listener) in stride {
                    if topics.len() == 1 || served.insert(id) {
                        for delivery in deliveries {
                            listener.offer(delivery);
                        }
                    }
                }
                // A healthy reader's buffer overflows if nobody lets its writer run.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Whether anybody listens to mail at all.
    pub fn hears_mail(&self) -> bool {
        self.shared.mailboxes.load(Ordering::SeqCst) > 0
    }

    /// Those of the topics that somebody listens to.
    pub fn heard(&self, topics: impl Iterator<Item = Topic>) -> Vec<Topic> {
        let known = self.shared.topics.read();
        topics.filter(|topic| known.contains_key(topic)).collect()
    }

    /// Offers an event to one connection alone.
    pub fn offer_to(&self, connection: ConnectionId, event: Event) {
        let listener =
            self.shared.attached.lock().get(&connection).map(|entry| Arc::clone(&entry.listener));
        if let Some(listener) = listener {
            listener.offer(&Arc::new(Delivery::new(event)));
        }
    }

    /// Who is connected.
    pub fn roster(&self) -> &Roster {
        &self.shared.roster
    }

    /// Who attends what.
    pub fn attendance(&self) -> &Attendance {
        &self.shared.attendance
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CircleId, LoginId, UserId};

    #[derive(Default)]
    struct Ear(Mutex<Vec<i64>>);

    impl Listener for Ear {
        fn offer(&self, delivery: &Arc<Delivery>) {
            if let Event::LoginEnded { login, .. } = delivery.event() {
                self.0.lock().push(login.get());
            }
        }
    }

    fn said(number: i64) -> Event {
        Event::LoginEnded { login: LoginId::new(number), deactivated: false }
    }

    const CIRCLE: Topic = Topic::Circle(CircleId::new(1));
    const INBOX: Topic = Topic::Inbox(Principal::User(UserId::new(1)));

    #[tokio::test]
    async fn who_listens_to_two_topics_hears_an_event_once() {
        let hub = Hub::default();
        let ear = Arc::new(Ear::default());
        let id = hub.attach(Arc::clone(&ear) as Arc<dyn Listener>);
        assert!(hub.subscribe(id, CIRCLE));
        assert!(hub.subscribe(id, INBOX));
        assert!(!hub.subscribe(id, INBOX));
        hub.publish(&[CIRCLE, INBOX], said(1)).await;
        hub.unsubscribe(id, CIRCLE);
        hub.publish(&[CIRCLE], said(2)).await;
        hub.publish(&[INBOX], said(3)).await;
        hub.detach(id);
        hub.publish(&[INBOX], said(4)).await;
        assert_eq!(*ear.0.lock(), [1, 3]);
        assert!(hub.shared.topics.read().is_empty());
    }

    #[tokio::test]
    async fn everybody_in_a_full_house_hears_everything_in_order() {
        let hub = Hub::default();
        let ears: Vec<_> = (0..=STRIDE * 3).map(|_| Arc::new(Ear::default())).collect();
        for ear in &ears {
            let id = hub.attach(Arc::clone(ear) as Arc<dyn Listener>);
            hub.subscribe(id, CIRCLE);
        }
        hub.publish(&[CIRCLE], said(1)).await;
        hub.publish(&[CIRCLE], said(2)).await;
        assert!(ears.iter().all(|ear| *ear.0.lock() == [1, 2]));
    }
}
