//! Commands on their way to the services, and what comes back of them.

use serde_json::Value;
use tokio::time::Instant;

use super::codec::{Asked, Mention, What};
use super::encode::{self, Packet};
use super::hearing;
use super::session::{About, Awaited, MultichatSession, Tag};
use super::style::Feature;
use crate::domain::{
    ClientRef, Command, Conversation, ConversationId, Dialect, Draft, Listing, Missed, Past, Place,
    Refusal, RefusalKind, Replay, Reply, RoomCommand, RoomReply, Shown, Text,
};
use crate::session::{Request, Step};
use crate::transport::Close;

type Answer = Step<MultichatSession>;

/// Messages of a page of older ones, where the client does not care.
const PAGE: usize = 50;
/// Characters of a title.
const TITLE: usize = 255;

/// A command that has been read.
pub(super) fn carry_out(session: &mut MultichatSession, asked: Asked) -> Answer {
    let Asked { mention, what } = asked;
    if what == What::Unknown {
        return match session.style.features {
            Some(_) => session.refuse("UNKNOWN_COMMAND", &mention),
            None => Step::idle(),
        };
    }
    if session.me.is_none() {
        return session.refuse("USER_HAS_TO_LOGIN", &mention);
    }
    if !what.names_room() {
        return without_room(session, mention, what);
    }
    let Some(room) = mention.room else {
        return session.refuse("ROOM_INVALID", &mention);
    };
    if what.needs_joining() && !session.joined.contains_key(&room) {
        return session.refuse("ROOM_ACCESS_DENIED", &mention);
    }
    match in_room(session, room, &mention, what) {
        Ok(Some((about, command))) => Step::ask(Request::run(command, Tag { mention, about })),
        Ok(None) => Step::idle(),
        Err(code) => session.refuse(code, &mention),
    }
}

/// The request for the list of rooms.
pub(super) fn list(session: &MultichatSession, mention: Mention) -> Request<Tag> {
    let groups = session.manners.settings.show_groups;
    let command = Command::Rooms(RoomCommand::List { groups });
    Request::run(command, Tag { mention, about: About::Rooms })
}

fn without_room(session: &mut MultichatSession, mention: Mention, what: What) -> Answer {
    let What::Create { title, staff } = what else {
        return Step::ask(list(session, mention));
    };
    match readable_title(title) {
        Ok(title) => {
            expect(session, Awaited::NewRoom, &mention);
            let command = Command::Rooms(RoomCommand::Create { title, staff });
            Step::ask(Request::run(command, Tag { mention, about: About::Keep }))
        }
        Err(code) => session.refuse(code, &mention),
    }
}

type Wanted = Result<Option<(About, Command)>, &'static str>;

fn in_room(
    session: &mut MultichatSession,
    room: ConversationId,
    mention: &Mention,
    what: What,
) -> Wanted {
    let settings = &session.manners.settings;
    let groups = settings.show_groups;
    let within = session.manners.edit_window();
    let rooms = |about, command| Ok(Some((about, Command::Rooms(command))));
    match what {
        What::Join { history, after } => {
            let is_full = session.joined.len() >= settings.rooms_per_connection.get();
            if is_full && !session.joined.contains_key(&room) {
                return Err("RATE_LIMITED");
            }
            let most = settings.history_max;
            let past = match after {
                Some(after) => Past::After(after, history.unwrap_or(most).min(most)),
                None => Past::Newest(history.map_or(settings.replay_on_join, |n| n.min(most))),
            };
            let keep = session.keep;
            rooms(About::Join, RoomCommand::Join { room, past, groups, keep })
        }
        What::Leave => rooms(About::Leave, RoomCommand::Leave { room, groups }),
        What::Send { text } => send(session, room, mention, text),
        What::History { before, limit } => {
            let limit = limit.unwrap_or(PAGE).min(settings.history_max);
            let past = match before {
                Some(before) => Past::Before(before, limit),
                None => Past::Newest(limit),
            };
            rooms(About::History, RoomCommand::Read { room, past })
        }
        What::Update { title, staff } => {
            let title = title.map(|title| readable_title(title.ok()));
            let title = title.transpose()?;
            expect(session, Awaited::Room(room), mention);
            rooms(About::Keep, RoomCommand::Update { room, title, staff })
        }
        What::Remove => {
            expect(session, Awaited::Room(room), mention);
            rooms(About::Keep, RoomCommand::Remove(room))
        }
        What::Edit { text } => {
            let text = readable(session, text)?;
            if text.as_str().is_empty() {
                return Err("MESSAGE_INVALID");
            }
            let message = mention.id.ok_or("MESSAGE_NOT_FOUND")?;
            expect(session, Awaited::Edit(message), mention);
            let command = Command::EditMessage { conversation: room, message, text, within };
            Ok(Some((About::Edit, command)))
        }
        What::Delete => {
            let message = mention.id.ok_or("MESSAGE_NOT_FOUND")?;
            expect(session, Awaited::Removal(message), mention);
            let command = Command::RemoveMessage { conversation: room, message, within };
            Ok(Some((About::Delete, command)))
        }
        What::Typing { typing } => Ok(type_in(session, room, typing)),
        What::Read => {
            let message = mention.id.ok_or("MESSAGE_NOT_FOUND")?;
            rooms(About::Quiet, RoomCommand::MarkRead { room, message })
        }
        What::Members => rooms(About::Members, RoomCommand::ListPresent(room)),
        What::Rooms | What::Create { .. } | What::Unknown => Ok(None),
    }
}

fn readable_title(title: Option<String>) -> Result<String, &'static str> {
    let title = title.ok_or("MESSAGE_INVALID")?.replace('\0', "");
    match title.chars().count() {
        0 => Err("MESSAGE_INVALID"),
        1..=TITLE => Ok(title),
        _ => Err("MESSAGE_TOO_LONG"),
    }
}

fn readable(session: &MultichatSession, text: Option<String>) -> Result<Text, &'static str> {
    let text = text.ok_or("MESSAGE_INVALID")?;
    Text::new(text, session.manners.max_text_chars).map_err(|_| "MESSAGE_TOO_LONG")
}

fn send(
    session: &mut MultichatSession,
    room: ConversationId,
    mention: &Mention,
    text: Option<String>,
) -> Wanted {
    let text = readable(session, text)?;
    if text.as_str().is_empty() {
        return Ok(None);
    }
    let named = mention.reference.as_ref().and_then(Value::as_str);
    let reference = named.and_then(|name| ClientRef::new(name.to_owned()));
    let draft = Draft { reference, ..Draft::words(room, text, Dialect::Multichat) };
    session.typing.entry(room).and_modify(|said| *said = None);
    Ok(Some((About::Send, Command::PostMessage(draft))))
}

fn type_in(
    session: &mut MultichatSession,
    room: ConversationId,
    typing: bool,
) -> Option<(About, Command)> {
    let now = Instant::now();
    let last = session.typing.get(&room).copied().flatten();
    if typing && last.is_some_and(|last| now < last + super::TYPING_PACE) {
        return None;
    }
    session.typing.insert(room, typing.then_some(now));
    let dialect = Dialect::Multichat;
    Some((About::Quiet, Command::SetTyping { conversation: room, typing, dialect }))
}

/// The packet that everybody will get answers this command, if it has named itself.
fn expect(session: &mut MultichatSession, awaited: Awaited, mention: &Mention) {
    if let Some(reference) = &mention.reference {
        session.awaited.insert(awaited, reference.clone());
    }
}

/// A command was carried out.
pub(super) fn carried_out(session: &mut MultichatSession, tag: Tag, reply: Reply) -> Answer {
    match reply {
        Reply::Posted(posted) if posted.duplicate => {
            let command = Command::Rooms(RoomCommand::Show(posted.message));
            Step::ask(Request::run(command, Tag { about: About::Again, ..tag }))
        }
        Reply::Posted(posted) => {
            expect(session, Awaited::Message(posted.message), &tag.mention);
            Step::idle()
        }
        Reply::Edited { message, changed: false } => {
            session.awaited.remove(&Awaited::Edit(message.message.id));
            let packet = session.showing().edited(&message.message, &message.sender);
            let reference = tag.mention.reference.as_ref();
            packet.map_or(Step::idle(), |packet| Step::send(packet.answering(reference).frame()))
        }
        Reply::Rooms(reply) => in_rooms(session, &tag, reply),
        Reply::Edited { .. }
        | Reply::Identified(_)
        | Reply::Forgotten
        | Reply::Done
        | Reply::Attending(_)
        | Reply::ReadUpTo(_)
        | Reply::Page(_)
        | Reply::Dialogs(_)
        | Reply::Chats(_)
        | Reply::Letters(_)
        | Reply::TurnCredentials { .. }
        | Reply::Servers(_)
        | Reply::Calls(_) => Step::idle(),
    }
}

fn in_rooms(session: &mut MultichatSession, tag: &Tag, reply: RoomReply) -> Answer {
    let reference = tag.mention.reference.as_ref();
    let answer = |packet: Packet| Step::reply(packet.answering(reference).frame());
    match reply {
        RoomReply::Joined { room, replay, present } => {
            joined(session, tag, &room, replay, &present)
        }
        RoomReply::Left(room) => {
            if session.joined.remove(&room.id).is_some() {
                session.left.insert(room.id);
            }
            session.typing.remove(&room.id);
            answer(encode::left(room.id))
        }
        RoomReply::Replay(past) => {
            let room = tag.mention.room.unwrap_or(ConversationId::new(0));
            answer(session.showing().history(room, &past))
        }
        RoomReply::Shown(Shown { message, sender }) => {
            let packet = session.showing().message(&message, &sender, false);
            packet.map_or(Step::idle(), answer)
        }
        RoomReply::Rooms(rooms) => {
            let rooms = rooms.iter().map(AsRef::as_ref);
            let is_joined = |room| session.joined.contains_key(&room);
            answer(encode::room_list(rooms, is_joined, &session.style))
        }
        RoomReply::Present(names) => {
            let room = tag.mention.room.unwrap_or(ConversationId::new(0));
            answer(encode::members(room, &names, &session.style))
        }
        RoomReply::Kept { room, told } => {
            if let Some(reference) = session.awaited.remove(&Awaited::NewRoom) {
                session.awaited.insert(Awaited::Room(room.id), reference);
            }
            if told {
                return Step::idle();
            }
            session.awaited.remove(&Awaited::Room(room.id));
            answer(encode::listed(&room, Listing::Changed, &session.style))
        }
        RoomReply::Continued { rooms, more } => continued(session, rooms, more),
        RoomReply::Resumed { rooms, doubted } => resumed(session, rooms, doubted),
        RoomReply::Done => Step::idle(),
    }
}

fn joined(
    session: &mut MultichatSession,
    tag: &Tag,
    room: &Conversation,
    replay: Option<Replay>,
    present: &[String],
) -> Answer {
    let reference = tag.mention.reference.as_ref();
    let mut step = Step::reply(encode::joined(room, &session.style).answering(reference).frame());
    if session.style.has(Feature::Members) {
        let members = encode::members(room.id, present, &session.style);
        step = step.and_reply(members.answering(reference).frame());
    }
    let Some(replay) = replay else { return step };
    let newest = replay.messages.last().and_then(|shown| shown.message.place);
    session.left.remove(&room.id);
    session.joined.insert(room.id, newest.unwrap_or(Place::new(0)));
    let showing = session.showing();
    let packets = if session.style.has(Feature::History) {
        vec![showing.history(room.id, &replay).answering(reference)]
    } else {
        showing.all(&replay.messages, true)
    };
    step = step.and_then(MultichatSession::replies(packets));
    match newest {
        Some(place) => step.and_shows(room.id, place),
        None => step,
    }
}

/// Rooms were taken over: nothing is acknowledged, and what was missed is shown.
fn resumed(session: &mut MultichatSession, rooms: Vec<Missed>, doubted: bool) -> Answer {
    let mut step = Step::idle();
    for Missed { room, upto, messages } in rooms {
        session.joined.insert(room, upto);
        step = step.and_then(MultichatSession::replies(session.showing().all(&messages, true)));
        step = step.and_shows(room, upto);
    }
    if session.is_settling() {
        return step;
    }
    match session.settle(doubted) {
        Some(time) => step.and_wake(time),
        None => step,
    }
}

/// The request for what was missed in joined rooms, none of it before a place.
pub(super) fn read_on(session: &MultichatSession, first: Place) -> Answer {
    let after = Place::new(first.get() - 1);
    let behind = session.joined.iter().map(|(room, shown)| (*room, after.max(*shown)));
    let command = Command::Rooms(RoomCommand::ReadOn(behind.collect()));
    Step::ask(Request::run(command, Tag { mention: Mention::default(), about: About::ReadOn }))
}

/// What was missed while a reply was written comes as if it came now.
fn continued(session: &mut MultichatSession, rooms: Vec<Missed>, more: bool) -> Answer {
    let mut step = Step::idle();
    let mut reached = None;
    for Missed { room, upto, messages } in rooms {
        for Shown { message, sender } in &messages {
            step = step.and_then(hearing::appears(session, None, message, sender));
        }
        if let Some(shown) = session.joined.get_mut(&room) {
            *shown = upto.max(*shown);
        }
        reached = reached.max(Some(upto));
    }
    let step = step.in_reply();
    match reached {
        Some(_) if more => step.and_then(read_on(session, Place::new(1))),
        _ => step,
    }
}

/// A command was not carried out.
pub(super) fn refused(session: &mut MultichatSession, tag: &Tag, refusal: &Refusal) -> Answer {
    session.awaited.clear();
    // It comes back for what it has missed.
    if matches!(tag.about, About::Resume | About::ReadOn) {
        return Step::idle().and_close(Close::Fault);
    }
    let on_message = matches!(tag.about, About::Edit | About::Delete | About::Again);
    let code = match refusal.kind() {
        RefusalKind::Unidentified | RefusalKind::Expired | RefusalKind::Inactive => {
            "USER_HAS_TO_LOGIN"
        }
        RefusalKind::NotFound | RefusalKind::Offline if on_message => "MESSAGE_NOT_FOUND",
        RefusalKind::NotFound | RefusalKind::Offline if tag.about == About::Quiet => {
            "MESSAGE_NOT_FOUND"
        }
        RefusalKind::NotFound | RefusalKind::Offline => "ROOM_INVALID",
        RefusalKind::Forbidden | RefusalKind::Conflict if on_message => "MESSAGE_ACCESS_DENIED",
        RefusalKind::Forbidden
        | RefusalKind::Conflict
        | RefusalKind::RoomFull
        | RefusalKind::WrongPassword
        | RefusalKind::TooPoor { .. } => "ROOM_ACCESS_DENIED",
        RefusalKind::Malformed => "MESSAGE_INVALID",
        RefusalKind::TooLarge => "MESSAGE_TOO_LONG",
        RefusalKind::TooOften { .. } | RefusalKind::TooManyConnections => "RATE_LIMITED",
        RefusalKind::Unavailable | RefusalKind::Unknown => "SERVER_ERROR",
    };
    session.refuse(code, &tag.mention)
}
