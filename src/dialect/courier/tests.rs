//! Scripts of letters.

use std::sync::Arc;
use std::time::Duration;

use super::session::CourierSession;
use super::{CourierManners, Visit};
use crate::domain::{
    Addressee, Collecting, Command, ConnectionId, ConversationId, Credentials, Event, Identified,
    Kind, LetterCommand, LetterReply, LoginId, Message, MessageId, Party, Place, Principal,
    Refusal, RefusalKind, Reply, Shown, Text, User, UserId,
};
use crate::session::Intent;
use crate::session::script::Script;
use crate::settings::{DeliveryConfirm, ReceiptsPolicy};
use crate::transport::Close;
use crate::transport::websocket::{Frame, Utf8Bytes};
use crate::wire::neo::samples;

const HERE: ConversationId = ConversationId::new(2);
const ANN: UserId = UserId::new(1);

fn manners(delivery_confirm: DeliveryConfirm) -> Arc<CourierManners> {
    Arc::new(CourierManners {
        max_text_chars: 100,
        public_url: String::new(),
        backlog_aliases: false,
        delivery_confirm,
        receipts: ReceiptsPolicy::OptIn,
        auth_timeout: Duration::from_mins(2),
        held_frames: 3,
        held_bytes: 1 << 20,
    })
}

fn session(visit: Visit) -> CourierSession {
    CourierSession::new(manners(DeliveryConfirm::Pong), visit)
}

fn person(id: i64, first_name: &str) -> Party {
    let names = (first_name.to_owned(), String::new());
    let user =
        User { id: UserId::new(id), first_name: names.0, last_name: names.1, ..samples::ann() };
    Party::User(user.into())
}

fn identify(credentials: Credentials) -> Intent {
    Intent::Identify(credentials)
}

fn run(command: LetterCommand) -> Intent {
    Intent::Run(Command::Letters(command))
}

fn collect(after: i64) -> Intent {
    run(LetterCommand::Collect(Collecting { from: None, after: Place::new(after) }))
}

fn as_ann() -> Reply {
    let connection = ConnectionId::new(1);
    Reply::Identified(Identified { who: person(1, "Ann"), connection, since: None })
}

fn waiting(messages: Vec<Message>) -> Reply {
    let shown = messages
        .into_iter()
        .map(|message| (Kind::Group, Shown { message: message.into(), sender: person(2, "Bob") }))
        .collect();
    Reply::Letters(LetterReply::Waiting { messages: shown, next: None })
}

fn said(id: i64, words: &str, by: i64) -> Message {
    Message {
        id: MessageId::new(id),
        conversation: HERE,
        place: Some(Place::new(id)),
        author: Principal::User(UserId::new(by)),
        text: words.to_owned(),
        sent: crate::domain::Timestamp::from_micros(1_000_000_000_000_120),
        medias: Vec::new(),
        media_count: 0,
        ..samples::hello()
    }
}

fn posted(id: i64, words: &str, by: i64) -> Event {
    let sender = if by == 1 { person(1, "Ann") } else { person(by, "Bob") };
    Event::MessagePosted { message: said(id, words, by).into(), sender, aside: None }
}

fn shown(id: i64, words: &str) -> Utf8Bytes {
    format!(
        "{{\"conv_id\":2,\"message_id\":{id},\"msg\":\"{words}\",\"sender\":\"Bob\",\
         \"timestamp\":\"2001-09-09 01:46:40.000120\",\"type\":\"group\"}}"
    )
    .into()
}

fn number(local: bool) -> Credentials {
    Credentials::Number { user: ANN, local }
}

fn greeted(session: CourierSession) -> Script<CourierSession> {
    Script::open(session)
        .client(Frame::from("1"))
        .asks(&identify(number(false)), Ok(as_ann()))
        .asks(&collect(0), Ok(waiting(Vec::new())))
        .client_reads(["user id 1 received".into()])
}

#[test]
fn who_cannot_be_meant_is_let_go_at_once() {
    let mismatch = Close::Refused("user mismatch");
    let shown = Visit { identity: Some(("h.h.h".to_owned(), ANN)), ..Visit::default() };
    Script::open(session(shown)).client(Frame::from("2")).closes(mismatch);
    let required = Close::Refused("authorization required");
    Script::open(session(Visit::default())).client(Frame::from("abc")).closes(required);
    let refused = Visit { refused: Some(Close::Refused("invalid token")), ..Visit::default() };
    Script::open(session(refused)).closes(Close::Refused("invalid token"));
}

#[test]
fn who_is_refused_is_told_why() {
    let table = [
        (RefusalKind::Unidentified, Close::Refused("invalid token")),
        (RefusalKind::NotFound, Close::Refused("unknown user id")),
        (RefusalKind::Inactive, Close::Refused("user inactive")),
        (RefusalKind::Forbidden, Close::Refused("bare user id refused")),
        (RefusalKind::Conflict, Close::Refused("user mismatch")),
        (RefusalKind::TooManyConnections, Close::TooMany),
        (RefusalKind::Unavailable, Close::Fault),
    ];
    for (kind, close) in table {
        Script::open(session(Visit::default()))
            .client(Frame::from("1"))
            .asks(&identify(number(false)), Err(Refusal::new(kind, "no")))
            .closes(close);
    }
    let gone = Refusal::not_found("the account of the token is gone");
    Script::open(session(Visit::default()))
        .client(Frame::from("a.b.c"))
        .asks(&identify(Credentials::Token("a.b.c".to_owned())), Err(gone))
        .closes(Close::Refused("invalid token"));
}

#[test]
fn what_happens_while_waiting_messages_are_read_is_read_once_more() {
    Script::open(session(Visit::default()))
        .client(Frame::from("1"))
        .asks(&identify(number(false)), Ok(as_ann()))
        .event(posted(12, "two", 2))
        .event(posted(13, "three", 2))
        .asks(&collect(0), Ok(waiting(vec![said(11, "one", 2), said(12, "two", 2)])))
        // From before the oldest that was passed over; what was read by then is left out.
        .asks(&collect(11), Ok(waiting(vec![said(12, "two", 2), said(13, "three", 2)])))
        .client_reads([
            "user id 1 received".into(),
            shown(11, "one"),
            shown(12, "two"),
            shown(13, "three"),
        ])
        // It was told late, and read already.
        .event(posted(13, "three", 2))
        .event(posted(14, "four", 2))
        .client_reads([shown(14, "four")]);
}

#[test]
fn what_never_waits_is_told_in_its_place_among_what_waits_and_behind_it() {
    let frame = |id: i64, words: &str, who: &str, number: i64| {
        let plain = shown(id, words).replace("Bob", who);
        Utf8Bytes::from(plain.replace('}', &format!(",\"sender_id\":{number}}}")))
    };
    let begun = |extras| {
        Script::open(session(Visit { extras, ..Visit::default() }))
            .client(Frame::from("1"))
            .asks(&identify(number(false)), Ok(as_ann()))
            // Of another connection of one's own, of somebody else, and of a room.
            .event(posted(12, "mine", 1))
            .event(posted(13, "two", 2))
            .event_in_room(posted(14, "in a room", 3))
            .asks(&collect(0), Ok(waiting(vec![said(11, "one", 2)])))
            .asks(&collect(12), Ok(waiting(vec![said(13, "two", 2)])))
    };
    let greeting = Utf8Bytes::from("user id 1 received");
    begun(false).client_reads([
        greeting.clone(),
        shown(11, "one"),
        shown(13, "two"),
        shown(14, "in a room"),
    ]);
    begun(true).client_reads([
        greeting,
        frame(11, "one", "Bob", 2),
        frame(12, "mine", "Ann", 1),
        frame(13, "two", "Bob", 2),
        "{\"type\":\"backlog_done\",\"count\":2}".into(),
        frame(14, "in a room", "Bob", 3),
    ]);
}

#[test]
fn of_what_never_waits_only_so_much_is_held() {
    let mut script = Script::open(session(Visit::default()))
        .client(Frame::from("1"))
        .asks(&identify(number(false)), Ok(as_ann()));
    for id in 20..30 {
        script = script.event_in_room(posted(id, "on", 2));
    }
    script
        .asks(&collect(0), Ok(waiting(Vec::new())))
        .client_reads([
            "user id 1 received".into(),
            shown(20, "on"),
            shown(21, "on"),
            shown(22, "on"),
        ])
        .event_in_room(posted(30, "and on", 2))
        .client_reads([shown(30, "and on")]);
}

#[test]
fn one_s_own_messages_are_told_to_other_connections_that_ask_for_more() {
    let post = |session: CourierSession| {
        let to = Addressee { numbered: Some(HERE), named: None };
        let text = Text::new("mine".to_owned(), 100).unwrap();
        let command = LetterCommand::Post { to, kind: Kind::Group, text, reference: None };
        let frame = "{\"msg\": \"mine\", \"conv_id\": 2, \"type\": \"group\"}";
        Script::open(session)
            .client(Frame::from("1"))
            .asks(&identify(number(false)), Ok(as_ann()))
            .asks(&collect(0), Ok(waiting(Vec::new())))
            .client(Frame::from(frame))
            .asks(&run(command), Ok(Reply::Letters(LetterReply::Posted(MessageId::new(20)))))
            .event(posted(20, "mine", 1))
            .event(posted(21, "too", 1))
    };
    let greeting = Utf8Bytes::from("user id 1 received");
    let stored = Utf8Bytes::from("{\"message_id\":20}");
    post(session(Visit::default())).client_reads([greeting.clone(), stored.clone()]);
    let extras = Visit { extras: true, ..Visit::default() };
    let done = "{\"type\":\"backlog_done\",\"count\":0}";
    let own = "{\"conv_id\":2,\"message_id\":21,\"msg\":\"too\",\"sender\":\"Ann\",\
        \"timestamp\":\"2001-09-09 01:46:40.000120\",\"type\":\"group\",\"sender_id\":1}";
    post(session(extras)).client_reads([greeting, done.into(), stored, own.into()]);
}

#[test]
fn what_was_written_is_confirmed_at_once_where_that_is_enough() {
    let arrived =
        |place| run(LetterCommand::Arrived { conversation: HERE, place: Place::new(place) });
    let done = || Ok(Reply::Letters(LetterReply::Done));
    Script::open(CourierSession::new(manners(DeliveryConfirm::Write), Visit::default()))
        .client(Frame::from("1"))
        .asks(&identify(number(false)), Ok(as_ann()))
        .asks(&collect(0), Ok(waiting(vec![said(11, "one", 2)])))
        .asks(&arrived(11), done())
        .event(posted(12, "two", 2))
        .asks(&arrived(12), done())
        .client_reads(["user id 1 received".into(), shown(11, "one"), shown(12, "two")]);
}

#[test]
fn an_unknown_outcome_and_an_ended_login_end_the_connection() {
    let to = Addressee { numbered: Some(HERE), named: None };
    let text = Text::new("x".to_owned(), 100).unwrap();
    let post = LetterCommand::Post { to, kind: Kind::Direct, text, reference: None };
    greeted(session(Visit::default()))
        .client(Frame::from("{\"msg\": \"x\", \"conv_id\": 2, \"type\": \"personal\"}"))
        .asks(&run(post), Err(Refusal::unknown()))
        .closes(Close::Fault);
    for (deactivated, reason) in [(false, "login ended"), (true, "user inactive")] {
        greeted(session(Visit::default()))
            .event(Event::LoginEnded { login: LoginId::new(1), deactivated })
            .ends_unbound()
            .closes(Close::Refused(reason));
    }
}
