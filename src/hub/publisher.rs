//! A few tasks that publish what the log has committed, in the order it was handed over.
//!
//! Everything about one conversation goes through one task, so the next batch commits
//! while a large room is being walked, and order within a conversation holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{Delivery, Hub};
use crate::domain::{
    CircleId, ConversationChange, ConversationId, Event, Principal, Topic, UserId,
};

/// How many publishers there are; more than cores helps nobody.
const PUBLISHERS: usize = 4;

/// How many events a listener is offered before its writer gets a turn: one commit may have
/// a thousand of them, and a sink that is not written from overflows.
const TOGETHER: usize = 8;

/// One event, who hears it, and who hears nothing further.
#[derive(Debug)]
pub struct Notice {
    /// Who hears it; a listener to several of them hears it once.
    pub topics: Vec<Topic>,
    /// What happened.
    pub event: Event,
    /// The two ends of the direct conversation that it is about.
    pub pair: Option<(UserId, UserId)>,
    /// Whether it is about a room, as far as it is told as mail.
    pub in_room: bool,
    /// Who is made deaf to what, right behind the event.
    pub evicted: Vec<(Principal, Topic)>,
}

impl Notice {
    /// An event for those who listen to `topics`.
    pub fn new(topics: impl Into<Vec<Topic>>, event: Event) -> Self {
        Self { topics: topics.into(), event, pair: None, in_room: false, evicted: Vec::new() }
    }

    /// Nothing that anybody hears, and these are put out of a conversation.
    pub fn putting_out(
        principals: impl IntoIterator<Item = Principal>,
        conversation: ConversationId,
    ) -> Self {
        let change = ConversationChange::Updated;
        let event = Event::ConversationChanged { conversation, change };
        let topic = Topic::Conversation(conversation);
        let evicted = principals.into_iter().map(|principal| (principal, topic)).collect();
        Self { evicted, ..Self::new([], event) }
    }

    /// The same, and `principal` hears nothing of `topic` afterwards.
    #[must_use]
    pub fn evicting(mut self, principal: Principal, topic: Topic) -> Self {
        self.evicted.push((principal, topic));
        self
    }
}

/// What one commit has to tell: the lane decides the order.
#[derive(Debug, Default)]
pub struct News {
    parts: Vec<(Lane, Vec<Notice>)>,
    /// Who belongs to something from now on.
    brought: Vec<Principal>,
}

/// By which number a publisher is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Conversation(ConversationId),
    Circle(CircleId),
    Personal,
}

impl Lane {
    fn index(self) -> usize {
        let number = match self {
            Self::Conversation(id) => id.get(),
            Self::Circle(id) => id.get() + 1,
            Self::Personal => 0,
        };
        number.unsigned_abs() as usize % PUBLISHERS
    }
}

impl News {
    /// Nothing to tell.
    pub fn none() -> Self {
        Self::default()
    }

    /// One thing about a conversation.
    #[must_use]
    pub fn conversation(mut self, id: ConversationId, notice: Notice) -> Self {
        self.push(Lane::Conversation(id), notice);
        self
    }

    /// One thing about a circle; told before what the same commit says of conversations.
    #[must_use]
    pub fn circle(mut self, id: CircleId, notice: Notice) -> Self {
        self.push(Lane::Circle(id), notice);
        self
    }

    /// One thing that has no order with anything else.
    #[must_use]
    pub fn personal(mut self, notice: Notice) -> Self {
        self.push(Lane::Personal, notice);
        self
    }

    /// These belong to something from now on to which they did not belong, which no event says.
    #[must_use]
    pub fn bringing(mut self, principals: impl IntoIterator<Item = Principal>) -> Self {
        self.brought.extend(principals);
        self
    }

    /// Who belongs to something from now on, as far as no event says so.
    pub fn brought(&self) -> &[Principal] {
        &self.brought
    }

    /// Everything there is to tell, to be addressed further.
    pub fn notices_mut(&mut self) -> impl Iterator<Item = &mut Notice> {
        self.parts.iter_mut().flat_map(|(_, notices)| notices)
    }

    /// What there is to tell.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.parts.iter().flat_map(|(_, notices)| notices).map(|notice| &notice.event)
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Everything of `other` behind what is here.
    pub fn append(&mut self, mut other: Self) {
        self.parts.append(&mut other.parts);
        self.brought.append(&mut other.brought);
    }

    fn push(&mut self, lane: Lane, notice: Notice) {
        match self.parts.last_mut() {
            Some((last, notices)) if *last == lane => notices.push(notice),
            _ => self.parts.push((lane, vec![notice])),
        }
    }
}

struct Item {
    notices: Vec<Notice>,
    /// Another publisher's part of the same commit, which must be told first.
    after: Option<oneshot::Receiver<()>>,
    done: oneshot::Sender<()>,
}

/// The hand-over to the publishing tasks.
#[derive(Clone, Debug)]
pub struct Publishers {
    lanes: Vec<mpsc::UnboundedSender<Item>>,
}

impl Publishers {
    /// Starts the tasks; they end when the last hand-over is dropped.
    pub fn start(hub: &Hub) -> Self {
        let lanes = (0..PUBLISHERS)
            .map(|_| {
                let (sender, receiver) = mpsc::unbounded_channel();
                tokio::spawn(run(hub.clone(), receiver));
                sender
            })
            .collect();
        Self { lanes }
    }

    /// Hands over what one commit has to tell, without waiting. The caller holds the
    /// write turn, so hand-overs are in the order of commits. The answer comes when
    /// every listener has had its offer.
    pub fn hand_over(&self, news: News) -> Published {
        let mut last = None;
        for (lane, notices) in news.parts {
            let (done, published) = oneshot::channel();
            // A part waits only for one that was handed over before it, so no circle of
            // waiting can form. The queue is unbounded because whoever caused an entry
            // waits for it: there are never more entries than commands under way.
            let item = Item { notices, after: last.take(), done };
            let _ = self.lanes[lane.index()].send(item);
            last = Some(published);
        }
        Published(last)
    }
}

/// Resolves when everything that was handed over has been offered to its listeners.
#[must_use]
#[derive(Debug)]
pub struct Published(Option<oneshot::Receiver<()>>);

impl Published {
    /// Nobody needs to wait.
    pub const fn at_once() -> Self {
        Self(None)
    }

    /// Waits for the last offer.
    pub async fn wait(self) {
        if let Some(published) = self.0 {
            let _ = published.await;
        }
    }
}

async fn run(hub: Hub, mut items: mpsc::UnboundedReceiver<Item>) {
    let mut waiting = Vec::with_capacity(TOGETHER);
    while items.recv_many(&mut waiting, TOGETHER).await > 0 {
        let mut round = Round::default();
        for item in waiting.drain(..) {
            if let Some(after) = item.after {
                round.finish(&hub).await;
                let _ = after.await;
            }
            for notice in item.notices {
                round.take(&hub, notice).await;
            }
            round.done.push(item.done);
        }
        round.finish(&hub).await;
    }
}

/// Events for the same listeners, who are walked once for all of them: each then has several
/// frames to write at once, which is what large rooms live from.
#[derive(Default)]
struct Round {
    topics: Vec<Topic>,
    deliveries: Vec<Arc<Delivery>>,
    /// Whom to tell that everything up to here has been offered.
    done: Vec<oneshot::Sender<()>>,
}

impl Round {
    /// Takes an event in, after those before it.
    async fn take(&mut self, hub: &Hub, notice: Notice) {
        if notice.topics != self.topics || self.deliveries.len() == TOGETHER {
            self.finish(hub).await;
            self.topics = notice.topics;
        }
        let ended = match notice.event {
            Event::ConversationChanged { conversation, change: ConversationChange::Deleted } => {
                Some(conversation)
            }
            _ => None,
        };
        let delivery = Delivery::new(notice.event).between(notice.pair);
        self.deliveries.push(Arc::new(delivery.in_room(notice.in_room)));
        if ended.is_none() && notice.evicted.is_empty() {
            return;
        }
        self.finish(hub).await;
        if let Some(conversation) = ended {
            hub.empty(conversation);
        }
        let mut put_out: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (principal, topic) in notice.evicted {
            match topic {
                Topic::Conversation(conversation) => {
                    put_out.entry(conversation).or_default().push(principal);
                }
                _ => hub.evict(principal, topic),
            }
        }
        for (conversation, principals) in put_out {
            hub.put_out(&principals, conversation).await;
        }
    }

    /// Offers what there is.
    async fn finish(&mut self, hub: &Hub) {
        if !self.deliveries.is_empty() {
            hub.deliver(&self.topics, &self.deliveries).await;
            self.deliveries.clear();
        }
        for done in self.done.drain(..) {
            let _ = done.send(());
        }
    }
}
