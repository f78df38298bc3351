//! The manners of the named channels: who is told what, and in which order.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::codec::{self, Asked, Meaning, Tag};
use super::familiar::Familiar;
use super::{NeoManners, encode};
use crate::domain::{
    CallReply, CircleChange, ConversationChange, ConversationId, Dialect, Event, Outcome, Place,
    Principal, Refusal, RefusalKind, Reply, Seq,
};
use crate::session::{Delivery, Session, Step};
use crate::transport::Close;
use crate::transport::socketio::{Frame, Packet};

/// One Socket.IO connection.
#[derive(Debug)]
pub(super) struct NeoSession {
    manners: Arc<NeoManners>,
    /// What the client called us in its handshake.
    host: Option<String>,
    who: Option<Principal>,
    /// Has used an additive event that was answered, and is told of additive ones.
    extras: bool,
    /// The transport's groups it is in.
    groups: BTreeSet<String>,
    /// What it listens to.
    attending: Familiar,
    /// Its own last read mark, which it is not told of.
    marked: Option<(ConversationId, Seq)>,
}

impl NeoSession {
    /// A connection that has not said who it is.
    pub(super) fn new(manners: Arc<NeoManners>, host: Option<String>) -> Self {
        Self {
            manners,
            host,
            who: None,
            extras: false,
            groups: BTreeSet::new(),
            attending: Familiar::default(),
            marked: None,
        }
    }

    fn join(&mut self, step: Step<Self>, group: String) -> Step<Self> {
        self.groups.insert(group.clone());
        step.and_join(group)
    }

    fn leave(&mut self, step: Step<Self>, group: String) -> Step<Self> {
        self.groups.remove(&group);
        step.and_leave(group)
    }

    fn leave_all(&mut self, step: Step<Self>) -> Step<Self> {
        self.attending = Familiar::default();
        std::mem::take(&mut self.groups).into_iter().fold(step, Step::and_leave)
    }

    fn refuse(tag: Option<Tag>, ack: Option<Frame>, refusal: &Refusal) -> Step<Self> {
        let extra = tag.is_some_and(|tag| tag.asked.is_extra());
        let step = Step::idle();
        // Additive events answer by acknowledgement alone, if there is one.
        let step =
            if extra && ack.is_some() { step } else { step.and_send(encode::error(refusal)) };
        let step = match ack {
            Some(ack) => step.and_send(ack),
            None => step,
        };
        // Whether it was stored is not known: the client has to come back and find out.
        if refusal.kind() == RefusalKind::Unknown { step.and_close(Close::Fault) } else { step }
    }

    fn carried_out(&mut self, tag: Tag, reply: &Reply) -> Step<Self> {
        let step = Step::send_all(encode::reply(tag, reply));
        match tag.asked {
            Asked::Authenticate => {
                let Reply::Identified(identified) = reply else { return step };
                let who = Some(identified.who.principal());
                let step = if self.who == who { step } else { self.leave_all(step) };
                self.who = who;
                step
            }
            Asked::Disconnect => {
                self.who = None;
                self.leave_all(step).and_close(Close::Done)
            }
            Asked::JoinConversation(id) => {
                if let Reply::Attending(attending) = reply {
                    self.attending.join(id, attending);
                }
                self.join(step, format!("conversation_{id}"))
            }
            Asked::LeaveConversation(id) => {
                self.attending.leave(id);
                self.leave(step, format!("conversation_{id}"))
            }
            Asked::JoinCircle(id) => self.join(step, format!("circle_{id}")),
            Asked::LeaveCircle(id) => self.leave(step, format!("circle_{id}")),
            Asked::Read(conversation) => {
                self.extras = true;
                if let Reply::ReadUpTo(Some(seq)) = reply {
                    self.marked = Some((conversation, *seq));
                }
                step
            }
            Asked::Sync | Asked::History => {
                self.extras = true;
                step
            }
            Asked::IceServers
            | Asked::Call
            | Asked::JoinRoom
            | Asked::LeaveRoom
            | Asked::RoomForward => {
                self.extras |= !matches!(reply, Reply::Calls(CallReply::Silence));
                step
            }
            Asked::Message { .. }
            | Asked::Writing
            | Asked::Credentials
            | Asked::Servers
            | Asked::Forward => step,
        }
    }

    /// The group this event puts the connection out of.
    fn put_out_of(&self, event: &Event) -> Option<String> {
        match event {
            Event::ConversationChanged { conversation, change } => {
                let out = match change {
                    ConversationChange::Kicked { user, .. } | ConversationChange::Quit(user) => {
                        self.who == Some(user.principal())
                    }
                    ConversationChange::DeviceRemoved(device) => {
                        device.is_some_and(|id| self.who == Some(Principal::Device(id)))
                    }
                    ConversationChange::Deleted => true,
                    ConversationChange::Updated
                    | ConversationChange::Invited(_)
                    | ConversationChange::Promoted(_)
                    | ConversationChange::DeviceAdded => false,
                };
                out.then(|| format!("conversation_{conversation}"))
            }
            Event::CircleChanged { circle, change } => {
                let out = match change {
                    CircleChange::Kicked { user, .. } | CircleChange::Quit(user) => {
                        self.who == Some(user.principal())
                    }
                    CircleChange::Deleted => true,
                    CircleChange::Updated
                    | CircleChange::Invited(_)
                    | CircleChange::Joined(_)
                    | CircleChange::Connected(_)
                    | CircleChange::Disconnected(_)
                    | CircleChange::DeviceCreated(_)
                    | CircleChange::DeviceUpdated(_)
                    | CircleChange::DeviceConnected(_)
                    | CircleChange::DeviceDisconnected(_) => false,
                };
                out.then(|| format!("circle_{circle}"))
            }
            Event::MessagePosted { .. }
            | Event::FileArrived { .. }
            | Event::MessageCompleted { .. }
            | Event::MessageEdited { .. }
            | Event::MessageRemoved { .. }
            | Event::ReceiptAdvanced { .. }
            | Event::TypingChanged { .. }
            | Event::PresenceChanged { .. }
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

    fn is_own_mark(&self, event: &Event) -> bool {
        let Event::ReceiptAdvanced { conversation, reader, up_to, .. } = event else {
            return false;
        };
        self.who == Some(reader.principal()) && self.marked == Some((*conversation, *up_to))
    }
}

impl Session for NeoSession {
    const DIALECT: Dialect = Dialect::Neo;
    type Incoming = Packet;
    type Outgoing = Frame;
    type Tag = Tag;

    fn on_frame(&mut self, packet: Packet) -> Step<Self> {
        match codec::decode(&packet, &self.manners, self.host.as_deref()) {
            Meaning::Ask(request) => Step::ask(request),
            Meaning::Nothing => Step::idle(),
            Meaning::Wrong(refusal) => {
                Self::refuse(None, packet.ack.map(|ack| encode::refused(ack, &refusal)), &refusal)
            }
        }
    }

    fn on_outcome(&mut self, tag: Tag, outcome: Outcome) -> Step<Self> {
        match outcome {
            Ok(reply) => self.carried_out(tag, &reply),
            Err(refusal) => {
                let refusal = folded(tag.asked, refusal);
                Self::refuse(Some(tag), tag.ack.map(|ack| encode::refused(ack, &refusal)), &refusal)
            }
        }
    }

    fn on_event(&mut self, delivery: &Delivery) -> Step<Self> {
        let event = delivery.event();
        let extras = self.extras && !self.is_own_mark(event);
        self.attending.hear(event);
        let strangers = self.attending.strangers(self.who, event);
        let frames = encode::event(delivery, extras, strangers, &self.manners);
        let mut step = Step::put(frames);
        if let Some((conversation, place)) = shown_by(event) {
            step = step.and_shows(conversation, place);
        }
        if let Some(group) = self.put_out_of(event) {
            step = self.leave(step, group);
        }
        if matches!(event, Event::LoginEnded { .. }) {
            self.who = None;
            step = self.leave_all(step).and_unbind();
        }
        step
    }
}

/// The message that an event shows in full, and its place.
fn shown_by(event: &Event) -> Option<(ConversationId, Place)> {
    match event {
        Event::MessagePosted { message, .. } | Event::FileArrived { message, .. } => {
            message.place.map(|place| (message.conversation, place))
        }
        Event::MessageCompleted { .. }
        | Event::MessageEdited { .. }
        | Event::MessageRemoved { .. }
        | Event::ReceiptAdvanced { .. }
        | Event::TypingChanged { .. }
        | Event::ConversationChanged { .. }
        | Event::CircleChanged { .. }
        | Event::PresenceChanged { .. }
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

/// Where the page has one answer for what is unknown and what is not the client's, nobody can
/// tell them apart.
fn folded(asked: Asked, refusal: Refusal) -> Refusal {
    if !matches!(refusal.kind(), RefusalKind::NotFound | RefusalKind::Forbidden) {
        return refusal;
    }
    match asked {
        Asked::JoinConversation(_) | Asked::Writing => {
            Refusal::forbidden("you do not take part in this conversation")
        }
        Asked::JoinCircle(_) => Refusal::forbidden("you do not belong to this circle"),
        Asked::Authenticate
        | Asked::Disconnect
        | Asked::LeaveConversation(_)
        | Asked::LeaveCircle(_)
        | Asked::Message { .. }
        | Asked::Credentials
        | Asked::Servers
        | Asked::Forward
        | Asked::IceServers
        | Asked::Call
        | Asked::JoinRoom
        | Asked::LeaveRoom
        | Asked::RoomForward
        | Asked::Sync
        | Asked::History
        | Asked::Read(_) => refusal,
    }
}
