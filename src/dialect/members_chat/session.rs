//! The manners of members-chat: the token first, then the past, then one answer per frame.
//!
//! The answer to what was sent is its echo, which comes as the event that everybody in the
//! chat hears; what only the sender is told is remembered until then.

use std::sync::Arc;
use std::time::Duration;

use super::codec::{self, Chat, Tag, Wrong};
use super::{Address, ChatManners, encode};
use crate::domain::{
    Charge, ChatCommand, ChatReply, ClientRef, Command, ConversationChange, Credentials, Dialect,
    Event, Identified, Message, MessageId, Opened, Outcome, Place, Principal, ReadingTurn, Refusal,
    RefusalKind, Reply, Sent, UserId, last_place,
};
use crate::session::{Delivery, Intent, Request, Session, Step};
use crate::transport::Close;
use crate::transport::websocket::{Frame, Utf8Bytes};

/// One connection of one member to the chat with another.
#[derive(Debug)]
pub(super) struct ChatSession {
    manners: Arc<ChatManners>,
    address: Address,
    me: Option<UserId>,
    phase: Phase,
    /// What this connection has sent, until it comes back.
    own: Option<Own>,
    /// Kept until the history is written.
    turn: Option<ReadingTurn>,
}

#[derive(Debug)]
enum Phase {
    /// Nothing has been said.
    New,
    /// The token is looked at, or the past is read.
    Opening,
    /// Everything goes.
    Open { chat: Chat, read_to: Place, confirms: bool },
    /// The connection is about to end.
    Over,
}

#[derive(Debug)]
struct Own {
    message: MessageId,
    reference: Option<ClientRef>,
    charge: Option<Charge>,
}

impl ChatSession {
    /// A connection that has not said who it is.
    pub(super) fn new(manners: Arc<ChatManners>, address: Address) -> Self {
        Self { manners, address, me: None, phase: Phase::New, own: None, turn: None }
    }

    fn end(&mut self, close: Close) -> Step<Self> {
        self.phase = Phase::Over;
        Step::idle().and_close(close)
    }

    fn greet(&mut self, frame: &Frame) -> Step<Self> {
        let token = match frame {
            Frame::Text(text) => codec::bearer(text),
            Frame::Binary(_) => None,
        };
        let Some(token) = token else {
            return self.end(Close::Refused("authorization required"));
        };
        self.phase = Phase::Opening;
        let intent = Intent::Identify(Credentials::Token(token));
        Step::ask(Request { intent, tag: Tag::Bearer })
    }

    fn identified(&mut self, identified: &Identified) -> Step<Self> {
        // A device is nobody's member.
        let Principal::User(me) = identified.who.principal() else {
            return self.end(Close::Refused("invalid token"));
        };
        self.me = Some(me);
        let Address { other, limit, before, extras } = self.address;
        let open = ChatCommand::Open { other, limit, before, presence: extras };
        Step::ask(Request::run(Command::Chats(open), Tag::Open))
    }

    fn opened(&mut self, opened: Opened) -> Step<Self> {
        let Opened { conversation, history, whole, online, seen, turn } = opened;
        let extras = self.address.extras;
        let (frame, all) = encode::history(&history, extras, &self.manners);
        let (read_to, confirms) = (last_place(&history), whole && all);
        self.turn = Some(turn);
        self.phase = Phase::Open { chat: Chat { conversation, extras }, read_to, confirms };
        // Woken once the history is written, to let others have theirs.
        let mut step = Step::reply(frame).and_wake(Duration::ZERO);
        if confirms && !history.is_empty() {
            step = step.and_shows(conversation, read_to);
        }
        if extras {
            step = step.and_send(encode::presence(self.address.other, online)).and_seen(seen);
        }
        step
    }

    /// Messages that were missed while the history was written.
    fn continued(&mut self, messages: &[Arc<Message>], more: bool) -> Step<Self> {
        let idle = Step::idle();
        let step = messages.iter().fold(idle, |step, one| step.and_then(self.appears(one, None)));
        let step = step.in_reply();
        if more { step.and_then(self.read_on(last_place(messages))) } else { step }
    }

    fn read_on(&self, after: Place) -> Step<Self> {
        let Phase::Open { chat, read_to, .. } = &self.phase else { return Step::idle() };
        let after = after.max(*read_to);
        let read = ChatCommand::ReadOn { conversation: chat.conversation, after };
        Step::ask(Request::run(Command::Chats(read), Tag::Missed))
    }

    fn sent(&mut self, sent: Sent, tag: Tag) -> Step<Self> {
        let reference = match tag {
            Tag::Send { reference, .. } => reference,
            Tag::Bearer | Tag::Open | Tag::Missed | Tag::Quiet => None,
        };
        let Sent { message, charge, before } = sent;
        if let Some(before) = before {
            let object = encode::again(&before, self.address.extras, &self.manners);
            return Step::send(encode::echo(object, reference.as_ref(), None));
        }
        self.own = Some(Own { message, reference, charge });
        Step::idle()
    }

    fn refused(&mut self, tag: Tag, refusal: &Refusal) -> Step<Self> {
        let kind = refusal.kind();
        // Whether it was stored is not known: the client has to come back and look.
        if kind == RefusalKind::Unknown {
            return self.end(Close::Fault);
        }
        match tag {
            Tag::Send { .. } => Step::send(encode::error(encode::refusal(tag, refusal))),
            Tag::Quiet => Step::idle(),
            // It comes back for what it has missed.
            Tag::Missed => self.end(Close::Fault),
            Tag::Bearer | Tag::Open if kind == RefusalKind::Unavailable => self.end(Close::Fault),
            Tag::Bearer if kind == RefusalKind::TooManyConnections => self.end(Close::TooMany),
            Tag::Bearer if kind == RefusalKind::Expired => {
                self.end(Close::Refused("token expired"))
            }
            Tag::Bearer if kind == RefusalKind::Inactive => {
                self.end(Close::Refused("member inactive"))
            }
            Tag::Bearer => self.end(Close::Refused("invalid token")),
            Tag::Open => self.end(Close::Absent("other member not found")),
        }
    }

    /// A message that appears now, rendered for all who hear of it, or read on in the log.
    fn appears(&mut self, message: &Message, delivery: Option<&Delivery>) -> Step<Self> {
        let Phase::Open { chat, read_to, confirms } = &mut self.phase else { return Step::idle() };
        let Some(place) = message.place else { return Step::idle() };
        if message.conversation != chat.conversation || place <= *read_to {
            return Step::idle();
        }
        *read_to = place;
        let (chat, confirms) = (*chat, *confirms);
        let own = self.own.take_if(|own| own.message == message.id);
        let frame = match own {
            Some(Own { reference, charge, .. }) => {
                let charge = charge.filter(|_| chat.extras);
                let object = encode::message(message, chat.extras, &self.manners);
                object.map(|object| encode::echo(object, reference.as_ref(), charge))
            }
            None => match delivery {
                Some(delivery) => self.shared(message, delivery),
                None => encode::message(message, chat.extras, &self.manners).map(encode::frame),
            },
        };
        let Some(frame) = frame else { return Step::idle() };
        let step = Step::send(frame);
        if confirms { step.and_shows(chat.conversation, place) } else { step }
    }

    /// The frame that all connections with the same extras get.
    fn shared(&self, message: &Message, delivery: &Delivery) -> Option<Utf8Bytes> {
        let extras = self.address.extras;
        let rendition = (Self::DIALECT, u8::from(extras));
        let frame = delivery.render(rendition, |_| {
            encode::message(message, extras, &self.manners).map(encode::frame)
        });
        frame.as_ref().clone()
    }

    /// What those with extras hear beside messages.
    fn beside(&self, event: &Event) -> Option<Utf8Bytes> {
        let Phase::Open { chat, .. } = &self.phase else { return None };
        let other = self.address.other;
        match event {
            Event::MessageEdited { message, .. } if message.conversation == chat.conversation => {
                message.place?;
                let object = encode::message(message, true, &self.manners);
                Some(object.map_or_else(|| encode::deleted(message), encode::edited))
            }
            Event::MessageRemoved { message, .. } if message.conversation == chat.conversation => {
                message.place.map(|_| encode::deleted(message))
            }
            Event::ReceiptAdvanced { conversation, reader, to, messages, at, .. } => {
                let concerns_me = *conversation == chat.conversation
                    && reader.principal() == Principal::User(other)
                    && !messages.is_empty();
                concerns_me.then(|| encode::receipt(*to, messages, other, *conversation, *at))
            }
            Event::TypingChanged { conversation, who, typing, dialect, changed, .. } => {
                let concerns_me = *conversation == chat.conversation
                    && who.principal() == Principal::User(other)
                    && (*changed || *dialect == Self::DIALECT);
                concerns_me.then(|| encode::typing(other, *conversation, *typing))
            }
            Event::PresenceChanged { who, online, .. } => {
                let concerns_me = who.principal() == Principal::User(other);
                concerns_me.then(|| encode::presence(other, *online))
            }
            Event::MessagePosted { .. }
            | Event::FileArrived { .. }
            | Event::MessageCompleted { .. }
            | Event::MessageEdited { .. }
            | Event::MessageRemoved { .. }
            | Event::ConversationChanged { .. }
            | Event::CircleChanged { .. }
            | Event::PresenceAnnounced { .. }
            | Event::AttendanceChanged { .. }
            | Event::ActiveUsersChanged { .. }
            | Event::DialogBegun { .. }
            | Event::RoomListed { .. }
            | Event::SignalSent(_)
            | Event::Calling(_)
            | Event::LoginDoubted { .. }
            | Event::RoomsParked { .. }
            | Event::LoginEnded { .. } => None,
        }
    }

    fn is_gone(&self, event: &Event) -> bool {
        let (Phase::Open { chat, .. }, Event::ConversationChanged { conversation, change }) =
            (&self.phase, event)
        else {
            return false;
        };
        *conversation == chat.conversation && matches!(change, ConversationChange::Deleted)
    }
}

impl Session for ChatSession {
    const DIALECT: Dialect = Dialect::MembersChat;
    const READS_ON: bool = true;
    type Incoming = Frame;
    type Outgoing = Utf8Bytes;
    type Tag = Tag;

    fn greeting(&self) -> Option<(Duration, Close)> {
        Some((self.manners.auth_timeout, Close::Refused("authorization timeout")))
    }

    fn on_frame(&mut self, frame: Frame) -> Step<Self> {
        match &self.phase {
            Phase::New => self.greet(&frame),
            Phase::Open { chat, .. } => match codec::decode(&frame, *chat, &self.manners) {
                Ok(request) => Step::ask(request),
                Err(wrong) => Step::send(encode::error(wrong)),
            },
            Phase::Opening | Phase::Over => Step::idle(),
        }
    }

    fn on_hurry(&mut self, frame: Frame, retry_after: Duration) -> Step<Self> {
        if !matches!(self.phase, Phase::Open { .. }) {
            return Step::idle();
        }
        let millis = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX).max(1);
        let wrong = Wrong::new("rate_limited", "Too many frames; this one was dropped.")
            .with("retry_after_ms", millis)
            .to(codec::reference_of(&frame, &self.manners));
        Step::send(encode::error(wrong))
    }

    fn on_wake(&mut self) -> Step<Self> {
        self.turn = None;
        Step::idle()
    }

    fn on_outcome(&mut self, tag: Tag, outcome: Outcome) -> Step<Self> {
        match outcome {
            Ok(Reply::Identified(identified)) => self.identified(&identified),
            Ok(Reply::Chats(ChatReply::Opened(opened))) => self.opened(opened),
            Ok(Reply::Chats(ChatReply::Continued { messages, more })) => {
                self.continued(&messages, more)
            }
            Ok(Reply::Chats(ChatReply::Sent(sent))) => self.sent(sent, tag),
            Ok(_) => Step::idle(),
            Err(refusal) => self.refused(tag, &refusal),
        }
    }

    fn on_missed(&mut self, first: Place) -> Step<Self> {
        self.read_on(Place::new(first.get() - 1))
    }

    fn on_event(&mut self, delivery: &Delivery) -> Step<Self> {
        let event = delivery.event();
        if let Event::MessagePosted { message, .. } | Event::MessageCompleted { message, .. } =
            event
        {
            return self.appears(message, Some(delivery));
        }
        if let Event::LoginEnded { deactivated, .. } = event {
            let reason = if *deactivated { "member inactive" } else { "login ended" };
            return self.end(Close::Refused(reason));
        }
        if self.is_gone(event) {
            return self.end(Close::Fault);
        }
        let frame = self.address.extras.then(|| self.beside(event)).flatten();
        let Some(frame) = frame else { return Step::idle() };
        if matches!(event, Event::TypingChanged { .. } | Event::PresenceChanged { .. }) {
            return Step::idle().and_send_ephemeral(frame);
        }
        Step::send(frame)
    }
}
