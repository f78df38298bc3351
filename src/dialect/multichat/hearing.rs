//! What a connection is told of events: those of rooms it has joined, and news of rooms.

use super::encode::{self, Packet};
use super::session::{Awaited, DOUBT, MultichatSession};
use super::style::Feature;
use crate::domain::{
    Conversation, ConversationId, Dialect, Event, Kind, Listing, Message, Party, Place, Receipt,
};
use crate::session::{Delivery, Step};
use crate::settings::NotifyPer;
use crate::transport::websocket::Utf8Bytes;

type Told = Step<MultichatSession>;

/// Something has happened.
pub(super) fn on_event(session: &mut MultichatSession, delivery: &Delivery) -> Told {
    match delivery.event() {
        Event::MessagePosted { message, sender, .. }
        | Event::MessageCompleted { message, sender } => {
            appears(session, Some(delivery), message, sender)
        }
        Event::MessageEdited { message, .. } => {
            changed(session, delivery, message, Awaited::Edit(message.id))
        }
        Event::MessageRemoved { message, .. } => {
            changed(session, delivery, message, Awaited::Removal(message.id))
        }
        Event::AttendanceChanged { conversation, who, connection, present, alone } => {
            let own = session.me.is_some_and(|me| me.connection == *connection);
            match (own, *present) {
                (true, true) => Step::idle(),
                (true, false) if session.joined.contains_key(conversation) => {
                    put_out(session, *conversation)
                }
                (true, false) if !session.left.remove(conversation) => Step::idle(),
                (false, _) if !session.joined.contains_key(conversation) => Step::idle(),
                _ => moved(session, delivery, *conversation, who, (*present, *alone)),
            }
        }
        Event::RoomListed { room, change } => listed(session, delivery, room, *change),
        Event::TypingChanged { conversation, who, typing, dialect, changed, computed } => {
            // Of its own dialect what was said, of others what is news (RULINGS 46).
            let news = *changed || (*dialect == Dialect::Multichat && !computed);
            let own = is_own_typing(session, *conversation, who, *typing);
            let told = news && !own && hears(session, *conversation, Feature::Typing);
            if !told {
                return Step::idle();
            }
            let frames = rendered(session, delivery, false, |session| {
                vec![encode::typing(*conversation, who, *typing, &session.style)]
            });
            frames.iter().cloned().fold(Step::idle(), Step::and_send_ephemeral)
        }
        Event::ReceiptAdvanced { conversation, reader, to, messages, .. } => {
            let (Receipt::Seen, Some(newest)) = (to, messages.last()) else { return Step::idle() };
            if !hears(session, *conversation, Feature::Read) {
                return Step::idle();
            }
            show(session, delivery, false, |session| {
                vec![encode::read(*conversation, reader, newest.message, &session.style)]
            })
        }
        Event::LoginEnded { .. } => {
            session.me = None;
            session.typing.clear();
            let rooms = std::mem::take(&mut session.joined);
            let left = rooms.into_keys().map(|room| encode::left(room).frame());
            Step::send_all(left).and_unbind()
        }
        Event::LoginDoubted { by, .. } => {
            let mine = session.me.is_some_and(|me| me.connection == *by);
            if mine { Step::idle() } else { Step::idle().and_doubt(DOUBT) }
        }
        Event::RoomsParked { .. } if session.is_settling() => {
            session.resume(false).map_or(Step::idle(), Step::ask)
        }
        Event::RoomsParked { .. }
        | Event::FileArrived { .. }
        | Event::ConversationChanged { .. }
        | Event::CircleChanged { .. }
        | Event::PresenceChanged { .. }
        | Event::PresenceAnnounced { .. }
        | Event::ActiveUsersChanged { .. }
        | Event::DialogBegun { .. }
        | Event::SignalSent(_)
        | Event::Calling(_) => Step::idle(),
    }
}

fn hears(session: &MultichatSession, room: ConversationId, feature: Feature) -> bool {
    session.style.has(feature) && session.joined.contains_key(&room)
}

/// What an event says to all connections of this style, rendered once for them.
fn rendered(
    session: &MultichatSession,
    delivery: &Delivery,
    own: bool,
    make: impl FnOnce(&MultichatSession) -> Vec<Packet>,
) -> std::sync::Arc<Vec<Utf8Bytes>> {
    let rendition = (Dialect::Multichat, session.style.rendition(own));
    delivery.render(rendition, |_| make(session).into_iter().map(Packet::frame).collect())
}

fn show(
    session: &MultichatSession,
    delivery: &Delivery,
    own: bool,
    make: impl FnOnce(&MultichatSession) -> Vec<Packet>,
) -> Told {
    Step::send_all(rendered(session, delivery, own, make).iter().cloned())
}

fn is_mine(session: &MultichatSession, message: &Message) -> bool {
    session.me.is_some_and(|me| me.principal == message.author)
}

/// A message is shown for the first time, rendered for all who hear of it, or read on in the log.
pub(super) fn appears(
    session: &mut MultichatSession,
    delivery: Option<&Delivery>,
    message: &Message,
    sender: &Party,
) -> Told {
    let room = message.conversation;
    let (Some(shown), Some(place)) = (session.joined.get_mut(&room), message.place) else {
        return Step::idle();
    };
    if place <= *shown {
        return Step::idle();
    }
    *shown = place;
    let reference = session.awaited.remove(&Awaited::Message(message.id));
    let packet = |session: &MultichatSession| session.showing().message(message, sender, false);
    let step = if let Some(reference) = reference {
        // A copy of its own, which nobody else is sent.
        let packets = packet(session).into_iter();
        let plain = session.style.plain;
        let answers = packets.map(|one| if plain { one } else { one.answering(Some(&reference)) });
        Step::send_all(answers.map(Packet::frame))
    } else if let Some(delivery) = delivery {
        let own = is_mine(session, message);
        show(session, delivery, own, |session| packet(session).into_iter().collect())
    } else {
        Step::send_all(packet(session).map(Packet::frame))
    };
    step.and_shows(room, place)
}

/// A shown message is another one now, or gone.
fn changed(
    session: &mut MultichatSession,
    delivery: &Delivery,
    message: &Message,
    awaited: Awaited,
) -> Told {
    let was_shown = message.place.is_some_and(|place| place > Place::new(0));
    let reference = session.awaited.remove(&awaited);
    if !session.joined.contains_key(&message.conversation) || !was_shown {
        return Step::idle();
    }
    let packets = |session: &MultichatSession| {
        let showing = session.showing();
        let event = delivery.event();
        let packet = if let Event::MessageRemoved { sender, by, .. } = event {
            Some(showing.deleted(message, sender, by))
        } else if let Event::MessageEdited { sender, .. } = event {
            let gone = || showing.deleted(message, sender, sender);
            Some(showing.edited(message, sender).unwrap_or_else(gone))
        } else {
            None
        };
        let notices = session.manners.settings.page_edit_notice && session.style.features.is_none();
        let notice = packet.as_ref().filter(|_| notices).and_then(encode::edit_notice);
        packet.into_iter().chain(notice).collect::<Vec<_>>()
    };
    match reference {
        Some(reference) => {
            let mut all = packets(session);
            if !all.is_empty() {
                let first = all.remove(0).answering(Some(&reference));
                all.insert(0, first);
            }
            Step::send_all(all.into_iter().map(Packet::frame))
        }
        None => show(session, delivery, is_mine(session, message), packets),
    }
}

/// This connection is in a room no longer, and has not asked for it.
fn put_out(session: &mut MultichatSession, room: ConversationId) -> Told {
    session.joined.remove(&room);
    session.typing.remove(&room);
    Step::send(encode::left(room).frame())
}

fn moved(
    session: &MultichatSession,
    delivery: &Delivery,
    room: ConversationId,
    who: &Party,
    (present, alone): (bool, bool),
) -> Told {
    let settings = &session.manners.settings;
    let counts = match settings.notify_per {
        NotifyPer::Connection => true,
        NotifyPer::User => alone,
    };
    if !settings.notify_enter_leave || !counts {
        return Step::idle();
    }
    show(session, delivery, false, |session| {
        vec![encode::moved(room, who, present, &session.style)]
    })
}

fn listed(
    session: &mut MultichatSession,
    delivery: &Delivery,
    room: &Conversation,
    change: Listing,
) -> Told {
    let is_room = match room.kind {
        Kind::Room => true,
        Kind::Group => session.manners.settings.show_groups,
        Kind::Direct => false,
    };
    if !is_room {
        return Step::idle();
    }
    if let Some(reference) = session.awaited.remove(&Awaited::Room(room.id)) {
        let packet = encode::listed(room, change, &session.style);
        return Step::send(packet.answering(Some(&reference)).frame());
    }
    show(session, delivery, false, |session| vec![encode::listed(room, change, &session.style)])
}

/// Whether this connection has said so itself.
fn is_own_typing(
    session: &mut MultichatSession,
    room: ConversationId,
    who: &Party,
    typing: bool,
) -> bool {
    let mine = session.me.is_some_and(|me| me.principal == who.principal());
    if !mine || !session.typing.contains_key(&room) {
        return false;
    }
    if !typing {
        session.typing.remove(&room);
    }
    true
}
