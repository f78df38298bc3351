//! The manners of a socket that is bound to one opponent: what its packets are followed by,
//! and what it remembers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::Instant;

use super::codec::{self, Key, Packet, Post};
use super::encode::{self, Mistake, Style};
use super::sockets::Seat;
use super::{Manners, Visit};
use crate::domain::{
    Command, ConnectionId, ConversationId, Credentials, Dialect, DialogCommand, DialogReply, Event,
    MessageId, Outcome, Receipt, Reply, User, UserId,
};
use crate::session::{Charge, Delivery, Hearing, Intent, Request, Session, Step};
use crate::transport::websocket::{Frame, Utf8Bytes};
use crate::transport::{Close, Farewell};

/// One socket.
#[derive(Debug)]
pub(super) struct PrivateChatSession {
    pub(super) manners: Arc<Manners>,
    pub(super) key: String,
    /// Whom the address names.
    pub(super) named: String,
    pub(super) style: Style,
    pub(super) owner: Option<Arc<User>>,
    pub(super) connection: Option<ConnectionId>,
    pub(super) opponent: Option<Opponent>,
    /// Own messages whose copy comes here although they are to somebody else, or with a
    /// reference.
    pub(super) copies: VecDeque<(MessageId, Arc<str>, Option<Arc<RawValue>>)>,
    /// Messages that were seen and are not marked yet.
    pub(super) seen: Vec<MessageId>,
    /// When typing was last passed on, and to whom.
    pub(super) typed: Option<(Instant, Option<String>)>,
    /// When typing was last shown.
    pub(super) shown_typing: Option<Instant>,
    /// When something is due that nobody sends a packet for.
    pub(super) due: Due,
    /// When the list of active users was last sent, once it was asked for.
    pub(super) listed: Option<Instant>,
}

/// The user at the other end.
#[derive(Debug)]
pub(super) struct Opponent {
    pub(super) user: Arc<User>,
    /// Whether they are online as far as this socket knows: it may be too early to tell it more.
    pub(super) online: bool,
    pub(super) conversation: Option<ConversationId>,
    pub(super) _seat: Seat,
}

#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) list: Option<Instant>,
    pub(super) marks: Option<Instant>,
    /// Whether the client itself has asked for the list.
    pub(super) asked: bool,
}

/// What an answer has to mention.
#[derive(Clone, Debug)]
pub(super) enum Tag {
    Identify,
    Meet,
    /// The key of this packet is being proven.
    Vouch(Box<Packet>),
    Post {
        packet: Box<Packet>,
        post: Box<Post>,
    },
    /// Of something that is answered by a packet of its own.
    Ask(Box<Packet>),
    ListActive,
    /// Nobody waits for the outcome.
    Quiet,
}

impl PrivateChatSession {
    pub(super) fn new(manners: Arc<Manners>, visit: Visit) -> Self {
        let Visit { key, opponent: named, style } = visit;
        Self {
            manners,
            key,
            named,
            style,
            owner: None,
            connection: None,
            opponent: None,
            copies: VecDeque::new(),
            seen: Vec::new(),
            typed: None,
            shown_typing: None,
            due: Due::default(),
            listed: None,
        }
    }

    pub(super) const fn has_extras(&self) -> bool {
        matches!(self.style, Style::Extras)
    }

    pub(super) fn owner_id(&self) -> Option<UserId> {
        self.owner.as_ref().map(|owner| owner.id)
    }

    pub(super) fn opponent_id(&self) -> Option<UserId> {
        self.opponent.as_ref().map(|opponent| opponent.user.id)
    }

    pub(super) fn opponent_name(&self) -> &str {
        self.opponent.as_ref().map_or(&self.named, |opponent| &opponent.user.username)
    }

    pub(super) fn mistake(&self, mistake: &Mistake) -> Step<Self> {
        if self.manners.errors { Step::send(mistake.encode()) } else { Step::idle() }
    }

    /// Calls itself when the first of what is due is due.
    pub(super) fn waking(&self, step: Step<Self>) -> Step<Self> {
        let Due { list, marks, .. } = self.due;
        match [list, marks].into_iter().flatten().min() {
            Some(at) => step.and_wake(at.saturating_duration_since(Instant::now())),
            None => step,
        }
    }

    /// Marks what was seen, before whatever else is asked.
    pub(super) fn flush_marks(&mut self, step: Step<Self>) -> Step<Self> {
        self.due.marks = None;
        if self.seen.is_empty() {
            return step;
        }
        let messages = std::mem::take(&mut self.seen);
        let mark = Command::MarkSeen { messages, dialect: Dialect::PrivateChat };
        step.and_ask(Request::run(mark, Tag::Quiet))
    }
}

pub(super) fn dialogs(command: DialogCommand, tag: Tag) -> Request<Tag> {
    Request::run(Command::Dialogs(command), tag)
}

impl Session for PrivateChatSession {
    const DIALECT: Dialect = Dialect::PrivateChat;
    const HEARING: Hearing = Hearing { mail: true, rooms: false };
    type Incoming = Frame;
    type Outgoing = Utf8Bytes;
    type Tag = Tag;

    fn on_open(&mut self) -> Step<Self> {
        let credentials = Credentials::SessionKey(self.key.clone());
        Step::ask(Request { intent: Intent::Identify(credentials), tag: Tag::Identify })
    }

    fn charge(&self, frame: &Frame) -> Charge {
        if codec::is_light(frame, self.has_extras()) { Charge::Light } else { Charge::Command }
    }

    fn on_hurry(&mut self, frame: Frame, retry_after: Duration) -> Step<Self> {
        let mistake = Mistake::too_fast(retry_after);
        match codec::read(&frame, self.has_extras()) {
            Ok(Some(packet)) => self.mistake(&packet.blame(mistake)),
            Ok(None) => Step::idle(),
            Err(_) => self.mistake(&mistake),
        }
    }

    fn on_frame(&mut self, frame: Frame) -> Step<Self> {
        let packet = match codec::read(&frame, self.has_extras()) {
            Ok(Some(packet)) => packet,
            Ok(None) => return Step::idle(),
            Err(mistake) => return self.mistake(&mistake),
        };
        match &packet.key {
            Some(Key::Text(key)) if *key != self.key => {
                let vouch = DialogCommand::Vouch(Credentials::SessionKey(key.clone()));
                Step::ask(dialogs(vouch, Tag::Vouch(Box::new(packet))))
            }
            Some(Key::Other) => self.mistake(&packet.blame(Mistake::bad_session())),
            Some(Key::Text(_)) | None => self.take(packet),
        }
    }

    fn on_outcome(&mut self, tag: Tag, outcome: Outcome) -> Step<Self> {
        match tag {
            Tag::Identify => self.identified(outcome),
            Tag::Meet => self.met(outcome),
            Tag::Vouch(packet) => self.vouched(*packet, outcome),
            Tag::Post { packet, post } => self.posted(*packet, *post, outcome),
            Tag::Ask(packet) => self.answered(&packet, outcome),
            Tag::ListActive => match outcome {
                Ok(Reply::Dialogs(DialogReply::Active(users))) => {
                    Step::send(encode::users_changed(&users))
                }
                Ok(_) | Err(_) => Step::idle(),
            },
            Tag::Quiet => Step::idle(),
        }
    }

    fn on_wake(&mut self) -> Step<Self> {
        let now = Instant::now();
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let mut step = Step::idle();
        if is_due(self.due.marks) {
            step = self.flush_marks(step);
        }
        if is_due(self.due.list) {
            let next = self.list_active(false);
            step = step.and_then(next);
        }
        self.waking(step)
    }

    fn on_end(&mut self, _farewell: Farewell) -> Vec<Command> {
        self.opponent = None;
        let messages = std::mem::take(&mut self.seen);
        let mark = Command::MarkSeen { messages, dialect: Dialect::PrivateChat };
        let Command::MarkSeen { messages, .. } = &mark else { return Vec::new() };
        if messages.is_empty() { Vec::new() } else { vec![mark] }
    }

    fn on_event(&mut self, delivery: &Delivery) -> Step<Self> {
        match delivery.event() {
            Event::MessagePosted { message, sender, aside } => {
                self.show_message(delivery, message, sender, aside.as_ref())
            }
            Event::MessageCompleted { message, sender } => {
                self.show_message(delivery, message, sender, None)
            }
            Event::MessageEdited { message, sender } => {
                self.show_change(delivery, message, sender, |copy| {
                    encode::edited(copy, &self.manners)
                })
            }
            Event::MessageRemoved { message, sender, .. } => {
                self.show_change(delivery, message, sender, |copy| {
                    encode::deleted(copy.message.id, copy.author, copy.receiver)
                })
            }
            Event::ReceiptAdvanced { reader, to: Receipt::Seen, messages, .. } => {
                self.show_read(delivery, reader, messages.iter().map(|marked| marked.message))
            }
            Event::TypingChanged { who, typing, changed, dialect, .. } => {
                self.show_typing(delivery, who, (*typing, *changed, *dialect))
            }
            Event::PresenceAnnounced { who, online, .. } => self.show_presence(who, *online),
            Event::ActiveUsersChanged { asked_by } if *asked_by == self.connection => Step::idle(),
            Event::ActiveUsersChanged { .. } => self.list_active(false),
            Event::DialogBegun { by, .. } => match by.user() {
                Some(by) => Step::send(encode::new_dialog(&by.username)),
                None => Step::idle(),
            },
            Event::LoginEnded { deactivated, .. } => {
                let reason = if *deactivated { "user inactive" } else { "login ended" };
                Step::idle().and_unbind().and_close(Close::Refused(reason))
            }
            // Groups, circles and calls are not of this dialect; `MessageCompleted` tells of files.
            Event::FileArrived { .. }
            | Event::PresenceChanged { .. }
            | Event::ReceiptAdvanced { .. }
            | Event::AttendanceChanged { .. }
            | Event::ConversationChanged { .. }
            | Event::CircleChanged { .. }
            | Event::RoomListed { .. }
            | Event::RoomsParked { .. }
            | Event::LoginDoubted { .. }
            | Event::SignalSent(_)
            | Event::Calling(_) => Step::idle(),
        }
    }
}
