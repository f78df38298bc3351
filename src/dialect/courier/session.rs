//! The manners of letters: a greeting, then what waits, then what happens.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::backlog::{self, Backlog, collect};
use super::codec::{self, About};
use super::requests::{self, Names};
use super::{CourierManners, Visit, complaint, encode, greeting, hearing};
use crate::domain::{
    Collecting, ConversationId, Dialect, MessageId, Outcome, Place, Principal, Refusal,
    RefusalKind, Reply, UserId,
};
use crate::session::{Charge, Delivery, Hearing, Intent, Request, Session, Step};
use crate::transport::Close;
use crate::transport::websocket::{Frame, Utf8Bytes};

/// One connection.
#[derive(Debug)]
pub(super) struct CourierSession {
    pub(super) manners: Arc<CourierManners>,
    visit: Visit,
    pub(super) extras: bool,
    pub(super) phase: Phase,
    pub(super) names: Names,
    /// Its last own message, which it is not told of.
    pub(super) own: Option<MessageId>,
    /// How far each conversation has been read among the waiting messages.
    pub(super) shown: HashMap<ConversationId, Place>,
}

/// How far a connection is.
#[derive(Debug)]
pub(super) enum Phase {
    /// The client has not said who it is.
    Unknown,
    /// Waiting messages are being written.
    Waiting { user: UserId, backlog: Backlog },
    /// They are out.
    Live { user: UserId },
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

    /// For whom it speaks.
    pub(super) fn user(&self) -> Option<UserId> {
        match self.phase {
            Phase::Unknown => None,
            Phase::Waiting { user, .. } | Phase::Live { user } => Some(user),
        }
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
                    self.phase = Phase::Waiting { user, backlog: Backlog::default() };
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
    const READS_ON: bool = true;
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
        Step::reply(complaint::hurry(&about, millis.max(1)))
    }

    fn on_frame(&mut self, frame: Frame) -> Step<Self> {
        let Some(text) = text(&frame) else { return Step::idle().and_close(Close::Invalid) };
        if self.user().is_none() {
            return self.greet(text);
        }
        let (about, meaning) = codec::read(text, &self.manners, self.extras);
        match meaning {
            Ok(meaning) => requests::asked(self, about, meaning),
            Err(fault) => Step::reply(complaint::fault(&about, &fault)),
        }
    }

    fn on_outcome(&mut self, tag: Tag, outcome: Outcome) -> Step<Self> {
        match tag {
            Tag::Greeting { bare } => self.greeted(bare, outcome),
            Tag::Waiting => backlog::collected(self, outcome),
            Tag::Quiet => Step::idle(),
            Tag::Asked(about) => requests::answer(self, &about, outcome),
        }
    }

    fn on_missed(&mut self, first: Place) -> Step<Self> {
        backlog::missed(self, first)
    }

    fn on_event(&mut self, delivery: &Delivery) -> Step<Self> {
        hearing::on_event(self, delivery)
    }
}
