//! The manners of letters: a greeting, then what waits, then what happens.
//!
//! What happens while the waiting messages are read is not held back: it is stored, so it is
//! read with them, and only its place is remembered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::codec::{self, About, Called, Meaning};
use super::encode::{self, Keys};
use super::{CourierManners, Visit, greeting};
use crate::domain::{
    Addressee, Collecting, Command, ConversationId, Dialect, Event, Kind, LetterCommand,
    LetterReply, Message, MessageId, Outcome, Party, Place, Principal, Refusal, RefusalKind, Reply,
    Shown, UserId,
};
use crate::session::{Charge, Delivery, Hearing, Intent, Request, Session, Step};
use crate::settings::{DeliveryConfirm, ReceiptsPolicy};
use crate::transport::Close;
use crate::transport::websocket::{Frame, Utf8Bytes};

/// Names of conversations that one connection may have given.
const NAMES: usize = 4096;

/// One connection.
#[derive(Debug)]
pub(super) struct CourierSession {
    manners: Arc<CourierManners>,
    visit: Visit,
    extras: bool,
    phase: Phase,
    names: Names,
    /// Its last own message, which it is not told of.
    own: Option<MessageId>,
    /// How far each conversation has been read among the waiting messages.
    shown: HashMap<ConversationId, Place>,
}

#[derive(Debug)]
enum Phase {
    /// The client has not said who it is.
    Unknown,
    /// Waiting messages are being written.
    Waiting { user: UserId, count: u64, missed: Option<Place> },
    /// They are out.
    Live { user: UserId },
}

/// What the client called the conversations it began, the latest under each name.
#[derive(Debug, Default)]
struct Names {
    known: HashMap<(u64, bool), ConversationId>,
    order: VecDeque<(u64, bool)>,
}

impl Names {
    fn insert(&mut self, mark: u64, kind: Kind, conversation: ConversationId) {
        let key = (mark, kind == Kind::Group);
        if self.known.insert(key, conversation).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > NAMES
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn find(&self, mark: u64, kind: Option<Kind>) -> Option<ConversationId> {
        let of = |group| self.known.get(&(mark, group)).copied();
        match kind {
            Some(kind) => of(kind == Kind::Group),
            None => of(false).or_else(|| of(true)),
        }
    }
}

/// What an outcome belongs to.
#[derive(Debug)]
pub(super) enum Tag {
    /// The first message; whether it was a bare number.
    Greeting { bare: bool },
    /// A page of what waits.
    Waiting,
    /// Something that nobody waits for.
    Quiet,
    /// A frame.
    Asked(About),
}

impl CourierSession {
    /// A connection that has not said who it is.
    pub(super) fn new(manners: Arc<CourierManners>, visit: Visit) -> Self {
        let extras = visit.extras;
        Self {
            manners,
            visit,
            extras,
            phase: Phase::Unknown,
            names: Names::default(),
            own: None,
            shown: HashMap::new(),
        }
    }

    fn user(&self) -> Option<UserId> {
        match self.phase {
            Phase::Unknown => None,
            Phase::Waiting { user, .. } | Phase::Live { user } => Some(user),
        }
    }

    fn is_me(&self, who: &Party) -> bool {
        self.user().is_some_and(|user| who.principal() == Principal::User(user))
    }

    /// The first message.
    fn greet(&mut self, text: &str) -> Step<Self> {
        let refuse = |reason| Step::idle().and_close(Close::Refused(reason));
        let Some(said) = greeting::read(text) else { return refuse("authorization required") };
        self.extras |= said.extras;
        let bare = said.token.is_none() && self.visit.identity.is_none();
        let credentials = match greeting::claim(&self.visit, said) {
            Ok(credentials) => credentials,
            Err(reason) => return refuse(reason),
        };
        let tag = Tag::Greeting { bare };
        Step::ask(Request { intent: Intent::Identify(credentials), tag })
    }

    fn greeted(&mut self, bare: bool, outcome: Outcome) -> Step<Self> {
        match outcome {
            Ok(Reply::Identified(identified)) => match identified.who.principal() {
                Principal::User(user) => {
                    self.phase = Phase::Waiting { user, count: 0, missed: None };
                    Step::reply(encode::greeting(user)).and_ask(collect(Collecting::all()))
                }
                Principal::Device(_) => {
                    Step::idle().and_unbind().and_close(Close::Refused("invalid token"))
                }
            },
            Ok(_) => Step::idle().and_close(Close::Fault),
            Err(refusal) => Step::idle().and_close(turned_away(&refusal, bare)),
        }
    }

    /// A page of what waits.
    fn waiting(&mut self, outcome: Outcome) -> Step<Self> {
        let Ok(Reply::Letters(LetterReply::Waiting { messages, next })) = outcome else {
            return Step::idle().and_close(Close::Fault);
        };
        let keys = Keys { aliases: self.manners.backlog_aliases, sender: self.extras };
        let mut step = Step::idle();
        let mut sent = 0;
        let mut reached: HashMap<ConversationId, Place> = HashMap::new();
        for (kind, Shown { message, sender }) in &messages {
            let Some(place) = message.place else { continue };
            let known = self.shown.entry(message.conversation).or_insert(Place::new(0));
            if place <= *known {
                continue;
            }
            *known = place;
            reached.insert(message.conversation, place);
            let url = &self.manners.public_url;
            if let Some(frame) = encode::message(message, sender, *kind, url, keys) {
                step = step.and_reply(frame);
                sent += 1;
            }
        }
        for (conversation, place) in reached {
            step = self.confirmed(step, conversation, place);
        }
        let Phase::Waiting { user, count, missed } = &mut self.phase else { return step };
        *count += sent;
        if let Some(next) = next {
            return step.and_ask(collect(next));
        }
        if let Some(missed) = missed.take() {
            let after = Place::new(missed.get() - 1);
            return step.and_ask(collect(Collecting { from: None, after }));
        }
        let (user, count) = (*user, *count);
        self.phase = Phase::Live { user };
        if self.extras { step.and_reply(encode::backlog_done(count)) } else { step }
    }

    /// The step shows everything of a conversation up to a place.
    fn confirmed(
        &self,
        step: Step<Self>,
        conversation: ConversationId,
        place: Place,
    ) -> Step<Self> {
        match self.manners.delivery_confirm {
            DeliveryConfirm::Pong => step.and_shows(conversation, place),
            DeliveryConfirm::Write => {
                let arrived = LetterCommand::Arrived { conversation, place };
                step.and_ask(Request::run(Command::Letters(arrived), Tag::Quiet))
            }
        }
    }

    fn asked(&self, about: About, meaning: Meaning) -> Step<Self> {
        let to = |kind| about.called.as_ref().map(|called| self.addressee(called, kind));
        let to_any = || to(None).unwrap_or(Addressee { numbered: None, named: None });
        let command = match meaning {
            Meaning::Seen(messages) => Command::MarkSeen { messages, dialect: Dialect::Courier },
            Meaning::OpenPersonal { members } => {
                let Some(user) = self.user() else { return Step::idle() };
                let others: Vec<_> = members.iter().filter(|id| **id != user).collect();
                match (others.as_slice(), members.len()) {
                    ([other], 1 | 2) => Command::Letters(LetterCommand::OpenPersonal(**other)),
                    _ => return Step::reply(encode::bad_members(&about)),
                }
            }
            Meaning::OpenGroup { members, title, description } => {
                let reference = about.reference.clone();
                Command::Letters(LetterCommand::OpenGroup {
                    members,
                    title,
                    description,
                    reference,
                })
            }
            Meaning::Post { kind, text } => Command::Letters(LetterCommand::Post {
                to: to(Some(kind)).unwrap_or_else(to_any),
                kind,
                text,
                reference: about.reference.clone(),
            }),
            Meaning::Status(messages) => Command::Letters(LetterCommand::Status(messages)),
            Meaning::Describe => Command::Letters(LetterCommand::Describe(to_any())),
            Meaning::DescribeAll => Command::Letters(LetterCommand::DescribeAll),
            Meaning::History { before, limit } => {
                Command::Letters(LetterCommand::ReadBefore { of: to_any(), before, limit })
            }
            Meaning::Typing(typing) => {
                Command::Letters(LetterCommand::SetTyping { to: to_any(), typing })
            }
        };
        Step::ask(Request::run(command, Tag::Asked(about)))
    }

    fn addressee(&self, called: &Called, kind: Option<Kind>) -> Addressee {
        Addressee { numbered: called.numbered, named: self.names.find(called.mark, kind) }
    }

    fn answer(&mut self, about: &About, outcome: Outcome) -> Step<Self> {
        let reply = match outcome {
            Ok(Reply::Letters(reply)) => reply,
            Ok(_) => return Step::idle(),
            // What was asked may be stored, and may not: the client asks again when it is back.
            Err(refusal) if refusal.kind() == RefusalKind::Unknown => {
                return Step::idle().and_close(Close::Fault);
            }
            Err(refusal) => return Step::reply(encode::refused(about, &refusal)),
        };
        Step::reply(match reply {
            LetterReply::Opened(conversation) => {
                let group = about.request.as_deref() == Some("init_group");
                let kind = if group { Kind::Group } else { Kind::Direct };
                if let Some(called) = &about.called {
                    self.names.insert(called.mark, kind, conversation);
                }
                encode::opened(about, conversation, kind)
            }
            LetterReply::UnknownUsers(users) => encode::unknown_users(about, &users),
            LetterReply::TooManyMembers { limit } => encode::group_too_large(about, limit),
            LetterReply::Posted(message) => {
                self.own = Some(message);
                encode::posted(about, message)
            }
            LetterReply::Statuses(found) => encode::statuses(&found),
            LetterReply::Described(found) => encode::described(&found),
            LetterReply::AllDescribed(found) => encode::all_described(&found),
            LetterReply::Read { conversation, kind, page } => {
                encode::history(conversation, kind, &page, &self.manners.public_url)
            }
            LetterReply::Waiting { .. } | LetterReply::Done => return Step::idle(),
        })
    }

    /// A message has appeared.
    fn appeared(&mut self, delivery: &Delivery, message: &Message, sender: &Party) -> Step<Self> {
        let Some(place) = message.place else { return Step::idle() };
        let own = self.is_me(sender);
        match &mut self.phase {
            Phase::Unknown => return Step::idle(),
            Phase::Waiting { missed, .. } => {
                if !own {
                    *missed = Some(missed.map_or(place, |missed| missed.min(place)));
                }
                return Step::idle();
            }
            Phase::Live { .. } => {}
        }
        let read = self.shown.get(&message.conversation).is_some_and(|read| place <= *read);
        if read || (own && (!self.extras || self.own == Some(message.id))) {
            return Step::idle();
        }
        let kind = if delivery.pair().is_some() { Kind::Direct } else { Kind::Group };
        let keys = Keys { aliases: false, sender: self.extras };
        let rendition = (Dialect::Courier, u8::from(self.extras));
        let url = &self.manners.public_url;
        let frame =
            delivery.render(rendition, |_| encode::message(message, sender, kind, url, keys));
        let Some(frame) = frame.as_ref().clone() else { return Step::idle() };
        let step = Step::send(frame);
        if own { step } else { self.confirmed(step, message.conversation, place) }
    }

    /// A reader has taken a step.
    fn advanced(&self, event: &Event) -> Step<Self> {
        let told = match self.manners.receipts {
            ReceiptsPolicy::Never => false,
            ReceiptsPolicy::OptIn => self.extras,
            ReceiptsPolicy::Always => true,
        };
        let (true, Some(user)) = (told, self.user()) else { return Step::idle() };
        let Event::ReceiptAdvanced { conversation, reader, to, messages, at, .. } = event else {
            return Step::idle();
        };
        let me = Principal::User(user);
        let own: Vec<_> =
            messages.iter().filter(|one| one.author == me).map(|one| one.message).collect();
        if own.is_empty() || reader.principal() == me {
            return Step::idle();
        }
        Step::send(encode::receipt(*conversation, reader, *to, &own, *at))
    }
}

fn collect(collecting: Collecting) -> Request<Tag> {
    Request::run(Command::Letters(LetterCommand::Collect(collecting)), Tag::Waiting)
}

/// How the connection of somebody ends who may not come in.
pub(super) fn turned_away(refusal: &Refusal, bare: bool) -> Close {
    match refusal.kind() {
        RefusalKind::Expired => Close::Refused("token expired"),
        RefusalKind::Inactive => Close::Refused("user inactive"),
        RefusalKind::Conflict => Close::Refused("user mismatch"),
        RefusalKind::NotFound if bare => Close::Refused("unknown user id"),
        RefusalKind::Forbidden => Close::Refused("bare user id refused"),
        RefusalKind::TooManyConnections => Close::TooMany,
        RefusalKind::Unavailable | RefusalKind::Unknown => Close::Fault,
        RefusalKind::Unidentified
        | RefusalKind::NotFound
        | RefusalKind::WrongPassword
        | RefusalKind::Malformed
        | RefusalKind::TooLarge
        | RefusalKind::RoomFull
        | RefusalKind::TooOften { .. }
        | RefusalKind::TooPoor { .. }
        | RefusalKind::Offline => Close::Refused("invalid token"),
    }
}

/// A frame as text, in whatever form it came.
fn text(frame: &Frame) -> Option<&str> {
    match frame {
        Frame::Text(text) => Some(text.as_str()),
        Frame::Binary(bytes) => std::str::from_utf8(bytes).ok(),
    }
}

impl Session for CourierSession {
    const DIALECT: Dialect = Dialect::Courier;
    const HEARING: Hearing = Hearing { mail: true, ..Hearing::PERSONAL };
    type Incoming = Frame;
    type Outgoing = Utf8Bytes;
    type Tag = Tag;

    fn on_open(&mut self) -> Step<Self> {
        match self.visit.refused {
            Some(close) => Step::idle().and_close(close),
            None => Step::idle(),
        }
    }

    fn greeting(&self) -> Option<(Duration, Close)> {
        Some((self.manners.auth_timeout, Close::Refused("authorization timeout")))
    }

    fn charge(&self, frame: &Frame) -> Charge {
        let light = self.extras && text(frame).is_some_and(codec::is_typing);
        if light { Charge::Light } else { Charge::Command }
    }

    fn on_hurry(&mut self, frame: Frame, retry_after: Duration) -> Step<Self> {
        if self.user().is_none() {
            return Step::idle();
        }
        let (about, _) = codec::read(text(&frame).unwrap_or_default(), &self.manners, self.extras);
        let millis = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
        Step::reply(encode::hurry(&about, millis.max(1)))
    }

    fn on_frame(&mut self, frame: Frame) -> Step<Self> {
        let Some(text) = text(&frame) else { return Step::idle().and_close(Close::Invalid) };
        if self.user().is_none() {
            return self.greet(text);
        }
        let (about, meaning) = codec::read(text, &self.manners, self.extras);
        match meaning {
            Ok(meaning) => self.asked(about, meaning),
            Err(fault) => Step::reply(encode::fault(&about, &fault)),
        }
    }

    fn on_outcome(&mut self, tag: Tag, outcome: Outcome) -> Step<Self> {
        match tag {
            Tag::Greeting { bare } => self.greeted(bare, outcome),
            Tag::Waiting => self.waiting(outcome),
            Tag::Quiet => Step::idle(),
            Tag::Asked(about) => self.answer(&about, outcome),
        }
    }

    fn on_event(&mut self, delivery: &Delivery) -> Step<Self> {
        match delivery.event() {
            Event::MessagePosted { message, sender, .. }
            | Event::MessageCompleted { message, sender } => {
                self.appeared(delivery, message, sender)
            }
            event @ Event::ReceiptAdvanced { .. } => self.advanced(event),
            Event::LoginEnded { deactivated, .. } => {
                let reason = if *deactivated { "user inactive" } else { "login ended" };
                Step::idle().and_unbind().and_close(Close::Refused(reason))
            }
            // In this dialect as it was said, from others what is news (RULINGS 46).
            Event::TypingChanged {
                conversation, who, typing, dialect, changed, computed, ..
            } if self.extras
                && !self.is_me(who)
                && (*changed || (*dialect == Dialect::Courier && !computed)) =>
            {
                Step::idle().and_send_ephemeral(encode::typing(*conversation, who, *typing))
            }
            Event::PresenceChanged { who, online, .. } if self.extras && !self.is_me(who) => {
                let frame = encode::presence(who, *online);
                frame.into_iter().fold(Step::idle(), Step::and_send_ephemeral)
            }
            // What changes after a message was delivered is not shown here.
            Event::MessageEdited { .. }
            | Event::MessageRemoved { .. }
            | Event::FileArrived { .. }
            | Event::TypingChanged { .. }
            | Event::PresenceChanged { .. }
            | Event::PresenceAnnounced { .. }
            | Event::ActiveUsersChanged { .. }
            | Event::AttendanceChanged { .. }
            | Event::ConversationChanged { .. }
            | Event::CircleChanged { .. }
            | Event::DialogBegun { .. }
            | Event::RoomListed { .. }
            | Event::RoomsParked { .. }
            | Event::LoginDoubted { .. }
            | Event::SignalSent(_)
            | Event::Calling(_) => Step::idle(),
        }
    }
}
