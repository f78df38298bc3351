//! The manners of rooms: which of them this connection has joined, what is acknowledged by
//! what, and what waits until it is known which lost connection has left what.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::codec::{self, Asked, Mention, What};
use super::encode::{self, Packet, Showing};
use super::style::{Feature, Style};
use super::{Manners, commands, hearing};
use crate::domain::{
    Command, ConnectionId, ConversationId, Dialect, Identified, MessageId, Outcome, Place,
    Principal, Refusal, RefusalKind, RoomCommand,
};
use crate::session::{Charge, Delivery, Hearing, Request, Session, Step};
use crate::transport::websocket::{Frame, Utf8Bytes};
use crate::transport::{Close, Farewell};

/// At most one complaint about speed in so long: a page shows each in a box of its own.
const COMPLAINT: Duration = Duration::from_secs(10);
/// How long other connections of a login have to prove that they are there.
pub(super) const DOUBT: Duration = Duration::from_secs(3);
/// When it is settled which of them were lost.
const SETTLED: Duration = Duration::from_millis(4_500);
/// Commands and bytes that may wait for that.
const WAITING: usize = 256;
const WAITING_BYTES: usize = 1 << 20;

/// One connection.
#[derive(Debug)]
pub(super) struct MultichatSession {
    pub(super) manners: Arc<Manners>,
    pub(super) style: Style,
    /// How long its rooms are kept when it is lost; not at all for programs.
    pub(super) keep: Option<Duration>,
    pub(super) me: Option<Me>,
    /// The rooms it has joined, and up to which place it was shown what is said there.
    pub(super) joined: BTreeMap<ConversationId, Place>,
    /// Rooms it has just left, whose last packet is about itself.
    pub(super) left: BTreeSet<ConversationId>,
    /// What a packet will answer, when it comes.
    pub(super) awaited: HashMap<Awaited, Value>,
    /// Where it has said that its user types, and when it may say so again.
    pub(super) typing: HashMap<ConversationId, Option<Instant>>,
    complained: Option<Instant>,
    /// Whether rooms may still be taken over.
    settling: bool,
    waiting: VecDeque<Asked>,
    waiting_bytes: usize,
}

/// For whom a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Me {
    pub(super) principal: Principal,
    pub(super) connection: ConnectionId,
}

/// A packet that everybody gets and that answers somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Awaited {
    Message(MessageId),
    Edit(MessageId),
    Removal(MessageId),
    Room(ConversationId),
    /// A room that is made has no number yet.
    NewRoom,
}

/// What the answer to a request has to know.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tag {
    pub(super) mention: Mention,
    pub(super) about: About,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Join,
    Leave,
    Send,
    Again,
    History,
    Rooms,
    Keep,
    Edit,
    Delete,
    /// Nothing is answered unless it is refused.
    Quiet,
    Members,
    Resume,
    /// What was missed while a reply was written.
    ReadOn,
}

impl MultichatSession {
    pub(super) fn new(manners: Arc<Manners>, style: Style, keep: Option<Duration>) -> Self {
        let keep = keep.filter(|_| style.features.is_none());
        Self {
            manners,
            style,
            keep,
            me: None,
            joined: BTreeMap::new(),
            left: BTreeSet::new(),
            awaited: HashMap::new(),
            typing: HashMap::new(),
            complained: None,
            settling: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    pub(super) fn showing(&self) -> Showing<'_> {
        Showing {
            style: &self.style,
            public_url: &self.manners.public_url,
            who: self.me.map(|me| me.principal),
        }
    }

    pub(super) fn refuse(&mut self, code: &'static str, mention: &Mention) -> Step<Self> {
        if code == "RATE_LIMITED" {
            let now = Instant::now();
            if self.complained.is_some_and(|last| now < last + COMPLAINT) {
                return Step::idle();
            }
            self.complained = Some(now);
        }
        Step::send(encode::error(code, mention).frame())
    }

    /// Whether it is not known yet that this cannot be carried out.
    fn must_wait(&self, asked: &Asked) -> bool {
        let needs = asked.what.needs_joining() || asked.what == What::Leave;
        self.settling
            && needs
            && asked.mention.room.is_some_and(|room| !self.joined.contains_key(&room))
    }

    fn take(&mut self, asked: Asked, bytes: usize) -> Step<Self> {
        if !self.waiting.is_empty() || self.must_wait(&asked) {
            self.waiting_bytes += bytes;
            self.waiting.push_back(asked);
            if self.waiting.len() <= WAITING && self.waiting_bytes <= WAITING_BYTES {
                return Step::idle();
            }
            self.settling = false;
            return self.go_on(Step::idle());
        }
        commands::carry_out(self, asked)
    }

    /// Carries out what has waited, one after the other.
    pub(super) fn go_on(&mut self, mut step: Step<Self>) -> Step<Self> {
        while !step.is_asking() {
            let Some(asked) = self.waiting.pop_front() else {
                self.waiting_bytes = 0;
                break;
            };
            if self.must_wait(&asked) {
                self.waiting.push_front(asked);
                break;
            }
            step = step.and_then(commands::carry_out(self, asked));
        }
        step
    }

    /// Rooms may be taken over for a while, if connections are in doubt.
    pub(super) fn settle(&mut self, doubted: bool) -> Option<Duration> {
        self.settling = doubted;
        doubted.then_some(SETTLED)
    }

    pub(super) const fn is_settling(&self) -> bool {
        self.settling
    }

    pub(super) fn resume(&self, doubt: bool) -> Option<Request<Tag>> {
        let keep = self.keep?;
        let command = Command::Rooms(RoomCommand::Resume { doubt, keep });
        Some(Request::run(command, Tag { mention: Mention::default(), about: About::Resume }))
    }

    /// The frames, each of which may also be a command's own reply.
    pub(super) fn replies(packets: impl IntoIterator<Item = Packet>) -> Step<Self> {
        packets.into_iter().fold(Step::idle(), |step, packet| step.and_reply(packet.frame()))
    }
}

impl Session for MultichatSession {
    const DIALECT: Dialect = Dialect::Multichat;
    const HEARING: Hearing = Hearing { mail: false, rooms: true };
    const READS_ON: bool = true;
    type Incoming = Frame;
    type Outgoing = Utf8Bytes;
    type Tag = Tag;

    fn on_admitted(&mut self, outcome: Result<Identified, Refusal>) -> Step<Self> {
        let identified = match outcome {
            Ok(identified) => identified,
            Err(refusal) if refusal.is_our_fault() => return Step::idle().and_close(Close::Fault),
            // A login that has just ended is like one that ends a moment later.
            Err(_) => return Step::idle(),
        };
        let who = &identified.who;
        self.me = Some(Me { principal: who.principal(), connection: identified.connection });
        let mut step = Step::idle();
        if let Some(features) = &self.style.features {
            let staff = who.user().is_some_and(|user| user.is_staff());
            let longest = self.manners.max_text_chars;
            let welcome = encode::welcome(features, who.handle(), staff, longest);
            step = step.and_send(welcome.frame());
        }
        if self.style.has(Feature::Rooms) {
            step = step.and_ask(commands::list(self, Mention::default()));
        }
        match self.resume(true) {
            Some(request) => step.and_ask(request),
            None => step,
        }
    }

    fn charge(&self, frame: &Frame) -> Charge {
        if codec::is_light(frame) { Charge::Light } else { Charge::Command }
    }

    fn on_hurry(&mut self, frame: Frame, _retry_after: Duration) -> Step<Self> {
        let mention = codec::decode(&frame).map(|asked| asked.mention).unwrap_or_default();
        self.refuse("RATE_LIMITED", &mention)
    }

    fn on_frame(&mut self, frame: Frame) -> Step<Self> {
        match codec::decode(&frame) {
            Ok(asked) => self.take(asked, frame.len()),
            Err(codec::Unreadable) => self.refuse("BAD_REQUEST", &Mention::default()),
        }
    }

    fn on_outcome(&mut self, tag: Tag, outcome: Outcome) -> Step<Self> {
        let step = match outcome {
            Ok(reply) => commands::carried_out(self, tag, reply),
            // Whether it was stored is not known: the client has to come back and find out.
            Err(refusal) if refusal.kind() == RefusalKind::Unknown => {
                Step::idle().and_close(Close::Fault)
            }
            Err(refusal) => commands::refused(self, &tag, &refusal),
        };
        self.go_on(step)
    }

    fn on_missed(&mut self, first: Place) -> Step<Self> {
        commands::read_on(self, first)
    }

    fn on_event(&mut self, delivery: &Delivery) -> Step<Self> {
        hearing::on_event(self, delivery)
    }

    fn on_wake(&mut self) -> Step<Self> {
        self.settling = false;
        self.go_on(Step::idle())
    }

    fn on_end(&mut self, farewell: Farewell) -> Vec<Command> {
        match (farewell, self.keep) {
            (Farewell::Lost | Farewell::Ours, Some(keep)) if self.me.is_some() => {
                vec![Command::Rooms(RoomCommand::Park { keep })]
            }
            _ => Vec::new(),
        }
    }
}
