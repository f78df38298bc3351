//! What a connection is told of what happens.

use super::backlog::shows;
use super::encode::{self, Keys};
use super::extras;
use super::session::{CourierSession, Phase};
use crate::domain::{Dialect, Event, Kind, Message, Party, Principal};
use crate::session::{Delivery, Step};
use crate::settings::ReceiptsPolicy;
use crate::transport::Close;

type Told = Step<CourierSession>;

/// Something has happened.
pub(super) fn on_event(session: &mut CourierSession, delivery: &Delivery) -> Told {
    match delivery.event() {
        Event::MessagePosted { message, sender, .. }
        | Event::MessageCompleted { message, sender } => {
            appeared(session, delivery, message, sender)
        }
        event @ Event::ReceiptAdvanced { .. } => advanced(session, event),
        Event::LoginEnded { deactivated, .. } => {
            let reason = if *deactivated { "user inactive" } else { "login ended" };
            Step::idle().and_unbind().and_close(Close::Refused(reason))
        }
        // In this dialect as it was said, from others what is news (RULINGS 46).
        Event::TypingChanged { conversation, who, typing, dialect, changed, computed, .. }
            if session.extras
                && !is_me(session, who)
                && (*changed || (*dialect == Dialect::Courier && !computed)) =>
        {
            Step::idle().and_send_ephemeral(extras::typing(*conversation, who, *typing))
        }
        Event::PresenceChanged { who, online, .. } if session.extras && !is_me(session, who) => {
            let frame = extras::presence(who, *online);
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

fn is_me(session: &CourierSession, who: &Party) -> bool {
    session.user().is_some_and(|user| who.principal() == Principal::User(user))
}

/// A message has appeared.
fn appeared(
    session: &mut CourierSession,
    delivery: &Delivery,
    message: &Message,
    sender: &Party,
) -> Told {
    let Some(place) = message.place else { return Step::idle() };
    let own = is_me(session, sender);
    // Neither of them ever waits for somebody who is away.
    let passing = own || delivery.is_in_room();
    if let Phase::Waiting { backlog, .. } = &mut session.phase
        && !passing
    {
        backlog.miss(place);
        return Step::idle();
    }
    let read = session.shown.get(&message.conversation).is_some_and(|read| place <= *read);
    let unasked = own && (!session.extras || session.own == Some(message.id));
    if unasked || (read && !passing) {
        return Step::idle();
    }
    let kind = if delivery.pair().is_some() { Kind::Direct } else { Kind::Group };
    let keys = Keys { aliases: false, sender: session.extras };
    let rendition = (Dialect::Courier, u8::from(session.extras));
    let url = &session.manners.public_url;
    let frame = delivery.render(rendition, |_| encode::message(message, sender, kind, url, keys));
    let Some(frame) = frame.as_ref().clone() else { return Step::idle() };
    match &mut session.phase {
        Phase::Unknown => Step::idle(),
        Phase::Waiting { backlog, .. } => {
            backlog.hold(place, frame, &session.manners);
            Step::idle()
        }
        Phase::Live { .. } if passing => Step::send(frame),
        Phase::Live { .. } => {
            shows(Step::send(frame), &session.manners, message.conversation, place)
        }
    }
}

/// A reader has taken a step.
fn advanced(session: &CourierSession, event: &Event) -> Told {
    let told = match session.manners.receipts {
        ReceiptsPolicy::Never => false,
        ReceiptsPolicy::OptIn => session.extras,
        ReceiptsPolicy::Always => true,
    };
    let (true, Some(user)) = (told, session.user()) else { return Step::idle() };
    let Event::ReceiptAdvanced { conversation, reader, to, messages, at, .. } = event else {
        return Step::idle();
    };
    let me = Principal::User(user);
    let own: Vec<_> =
        messages.iter().filter(|one| one.author == me).map(|one| one.message).collect();
    if own.is_empty() || reader.principal() == me {
        return Step::idle();
    }
    Step::send(extras::receipt(*conversation, reader, *to, &own, *at))
}
