//! Tables and scripts of rooms.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::codec::{self, Unreadable, What};
use super::session::MultichatSession;
use super::style::Style;
use super::{Manners, Origins, encode};
use crate::domain::{
    Access, Command, ConnectionId, Conversation, ConversationId, Dialect, Draft, Event, Identified,
    Kind, Listing, LoginId, Marked, Message, MessageId, MessageKind, Missed, Party, Past, Place,
    Posted, Principal, Receipt, Refusal, RefusalKind, Replay, Reply, Revision, RoomCommand,
    RoomReply, Seq, Shown, Text, Timestamp, UserId,
};
use crate::session::script::Script;
use crate::session::{Intent, Session};
use crate::settings::MultichatSettings;
use crate::transport::websocket::{Frame, Utf8Bytes};
use crate::transport::{Close, Farewell};
use crate::wire::neo::samples;

const ROOM: ConversationId = ConversationId::new(1);
const HERE: ConnectionId = ConnectionId::new(7);
const KEEP: Duration = Duration::from_secs(30);

fn manners(change: impl FnOnce(&mut MultichatSettings)) -> Arc<Manners> {
    let mut settings = MultichatSettings::default();
    change(&mut settings);
    Arc::new(Manners {
        settings,
        max_text_chars: 8,
        public_url: String::new(),
        frames_per_second: NonZeroU32::MAX,
        frames_burst: NonZeroU32::MAX,
        origins: Origins::default(),
    })
}

fn ann() -> Party {
    Party::User(samples::ann().into())
}

fn ann_id() -> Principal {
    ann().principal()
}

fn bob() -> Party {
    let mut bob = samples::ann();
    bob.id = UserId::new(99);
    bob.username = "b<b>".to_owned();
    Party::User(bob.into())
}

fn room() -> Conversation {
    Conversation {
        id: ROOM,
        kind: Kind::Room,
        access: Access::Open,
        title: "Tea & cake".to_owned(),
        description: String::new(),
        circle: None,
        device_access: false,
        shown: true,
        pair: None,
        creator: None,
        created: Timestamp::default(),
        updated: Timestamp::default(),
    }
}

fn message(id: i64, author: &Party, text: &str) -> Arc<Message> {
    Arc::new(Message {
        id: MessageId::new(id),
        conversation: ROOM,
        seq: Seq::new(id),
        revision: Revision::new(id),
        place: Some(Place::new(id)),
        author: author.principal(),
        link: None,
        kind: MessageKind::Text,
        text: text.to_owned(),
        smile: None,
        sent: Timestamp::from_micros(1_542_759_506_123_456),
        edited: None,
        deleted: None,
        read: None,
        media_count: 0,
        medias: Vec::new(),
    })
}

fn posted(id: i64, author: Party, text: &str) -> Event {
    Event::MessagePosted { message: message(id, &author, text), sender: author, aside: None }
}

fn frame(value: &Value) -> Utf8Bytes {
    value.to_string().into()
}

fn say(value: &Value) -> Frame {
    Frame::Text(frame(value))
}

fn error(code: &str) -> Utf8Bytes {
    frame(&json!({ "error": code }))
}

fn rooms(command: RoomCommand) -> Intent {
    Intent::Run(Command::Rooms(command))
}

fn join_command(keep: Option<Duration>) -> Intent {
    rooms(RoomCommand::Join { room: ROOM, past: Past::Newest(50), groups: true, keep })
}

fn joined(messages: Vec<Shown>) -> RoomReply {
    let replay = Some(Replay { messages, more: false });
    RoomReply::Joined { room: room().into(), replay, present: vec!["ann".to_owned()] }
}

fn admitted(manners: Arc<Manners>, style: Style, keep: Option<Duration>) -> MultichatSession {
    let mut session = MultichatSession::new(manners, style, keep);
    let identified = Identified { who: ann(), connection: HERE, since: None };
    drop(session.on_admitted(Ok(identified)));
    session
}

/// A program that has joined the room, in which one message had been said.
fn inside() -> Script<MultichatSession> {
    inside_with(Style::default())
}

fn inside_with(style: Style) -> Script<MultichatSession> {
    let said = Shown { message: message(5, &bob(), "past"), sender: bob() };
    let mut script = Script::open(admitted(manners(|_| {}), style, None))
        .client(say(&json!({ "command": "join", "room": 1 })))
        .asks(&join_command(None), Ok(Reply::Rooms(joined(vec![said]))));
    script.forget_what_was_read();
    script
}

const SENT: &str = "2018-11-21T00:18:26.123456Z";

#[test]
fn frames_mean_commands() {
    let room = |value: Value| {
        let asked = codec::decode(&say(&json!({ "command": "join", "room": value }))).unwrap();
        asked.mention.room.map(ConversationId::get)
    };
    for (value, id) in [
        (json!(1), Some(1)),
        (json!("1"), Some(1)),
        (json!("0001"), Some(1)),
        (json!(9_007_199_254_740_991_i64), Some(9_007_199_254_740_991)),
        (json!(9_007_199_254_740_992_i64), None),
        (json!(0), None),
        (json!(-1), None),
        (json!(1.0), Some(1)),
        (json!(1.5), None),
        (json!("1.0"), None),
        (json!("１"), None),
        (json!(""), None),
        (json!(null), None),
        (json!([1]), None),
        (json!(true), None),
    ] {
        assert_eq!(room(value.clone()), id, "{value}");
    }
    let what = |value: Value| codec::decode(&say(&value)).map(|asked| asked.what);
    assert_eq!(what(json!({})), Ok(What::Unknown));
    assert_eq!(what(json!({ "command": 1 })), Ok(What::Unknown));
    assert_eq!(what(json!({ "command": "send", "message": 1 })), Ok(What::Send { text: None }));
    let after = Some(MessageId::new(7));
    let join = json!({ "command": "join", "history": 3, "after": "7" });
    assert_eq!(what(join), Ok(What::Join { history: Some(3), after }));
    assert_eq!(
        what(json!({ "command": "room_update", "title": 1 })),
        Ok(What::Update { title: Some(Err(Unreadable)), staff: None })
    );
    for unreadable in ["", "[]", "1", "null", "{", "{\"a\":1e999}"] {
        assert!(codec::decode(&Frame::from(unreadable)).is_err(), "{unreadable}");
    }
    assert!(codec::decode(&Frame::Binary(b"{}".to_vec().into())).is_err());
    assert!(codec::is_light(&say(&json!({ "command": "typing" }))));
    assert!(!codec::is_light(&say(&json!({ "command": "send", "message": "typing" }))));
}

proptest::proptest! {
    #[test]
    fn no_frame_makes_it_panic(text in ".*", command in "join|leave|send|edit|typing|read|rooms") {
        let mut session = admitted(manners(|_| {}), Style::default(), None);
        drop(session.on_frame(Frame::from(text.as_str())));
        let value = json!({ "command": command, "room": text, "message": text, "ref": text });
        drop(session.on_frame(say(&value)));
    }
}

#[test]
fn a_join_is_acknowledged_and_then_the_past_is_shown() {
    let said = Shown { message: message(5, &bob(), "past"), sender: bob() };
    Script::open(admitted(manners(|_| {}), Style::default(), None))
        .client(say(&json!({ "command": "join", "room": "1", "ref": 1 })))
        .asks(&join_command(None), Ok(Reply::Rooms(joined(vec![said]))))
        .client_reads([
            frame(&json!({ "join": "1", "title": "Tea & cake", "ref": 1 })),
            frame(&json!({
                "msg_type": 0, "room": "1", "username": "b<b>", "message": "past", "id": 5,
                "sent": SENT, "own": false, "replay": true,
            })),
        ])
        // What was read before does not come again; what is new does.
        .event(posted(5, bob(), "past"))
        .event(posted(6, ann(), "new"))
        .client_reads([frame(&json!({
            "msg_type": 0, "room": "1", "username": ann().handle(), "message": "new", "id": 6,
            "sent": SENT, "own": true,
        }))]);
}

#[test]
fn only_joined_rooms_are_heard_and_spoken_to() {
    let send = say(&json!({ "command": "send", "room": 1, "message": "hi" }));
    Script::open(admitted(manners(|_| {}), Style::default(), None))
        .event(posted(6, bob(), "unheard"))
        .client(send.clone())
        .client_reads([error("ROOM_ACCESS_DENIED")]);
    let draft = Draft::words(ROOM, Text::new("hi".to_owned(), 8).unwrap(), Dialect::Multichat);
    let stored = Posted {
        message: MessageId::new(6),
        seq: Seq::new(6),
        revision: Revision::new(6),
        medias: Vec::new(),
        duplicate: false,
    };
    inside()
        .client(send)
        .asks(&Intent::Run(Command::PostMessage(draft)), Ok(Reply::Posted(stored)))
        .client_reads([])
        .client(say(&json!({ "command": "send", "room": 1, "message": "" })))
        .client(say(&json!({ "command": "send", "room": 1, "message": "\u{0}" })))
        .client_reads([])
        .client(say(&json!({ "command": "send", "room": 1, "message": "123456789" })))
        .client_reads([error("MESSAGE_TOO_LONG")]);
}

#[test]
fn a_refusal_is_a_code() {
    let table = [
        (RefusalKind::NotFound, "ROOM_INVALID"),
        (RefusalKind::Forbidden, "ROOM_ACCESS_DENIED"),
        (RefusalKind::Unidentified, "USER_HAS_TO_LOGIN"),
        (RefusalKind::Unavailable, "SERVER_ERROR"),
    ];
    for (kind, code) in table {
        Script::open(admitted(manners(|_| {}), Style::default(), None))
            .client(say(&json!({ "command": "join", "room": 1 })))
            .asks(&join_command(None), Err(Refusal::new(kind, "no")))
            .client_reads([error(code)]);
    }
    Script::open(admitted(manners(|_| {}), Style::default(), None))
        .client(say(&json!({ "command": "join", "room": 1 })))
        .asks(&join_command(None), Err(Refusal::unknown()))
        .closes(Close::Fault);
}

#[test]
fn who_is_put_out_is_told_and_who_leaves_hears_its_own_leave() {
    let moved = |connection, present| Event::AttendanceChanged {
        conversation: ROOM,
        who: ann(),
        connection,
        present,
        alone: false,
    };
    let leave = frame(&json!({ "leave": "1" }));
    let gone = frame(&json!({ "msg_type": 5, "room": "1", "username": ann().handle() }));
    inside()
        .event(moved(HERE, true))
        .client_reads([])
        .event(moved(ConnectionId::new(8), false))
        .client_reads([gone.clone()])
        .event(moved(HERE, false))
        .client_reads([leave.clone()])
        .event(moved(HERE, false))
        .event(posted(9, bob(), "unheard"))
        .client_reads([]);
    inside()
        .client(say(&json!({ "command": "leave", "room": 1 })))
        .asks(
            &rooms(RoomCommand::Leave { room: ROOM, groups: true }),
            Ok(Reply::Rooms(RoomReply::Left(room().into()))),
        )
        .event(posted(9, bob(), "unheard"))
        .event(moved(HERE, false))
        .client_reads([leave, gone]);
}

#[test]
fn a_login_that_ends_leaves_every_room() {
    inside()
        .event(Event::LoginEnded { login: LoginId::new(1), deactivated: false })
        .client(say(&json!({ "command": "rooms" })))
        .client_reads([frame(&json!({ "leave": "1" })), error("USER_HAS_TO_LOGIN")])
        .ends_unbound();
}

#[test]
fn features_decide_what_is_told() {
    let with = |query: &str| Style::of(query, false, &MultichatSettings::default());
    let typing = |dialect, changed, computed| Event::TypingChanged {
        conversation: ROOM,
        who: bob(),
        typing: true,
        dialect,
        changed,
        computed,
    };
    let told = frame(&json!({ "msg_type": 14, "room": "1", "username": "b<b>", "typing": true }));
    inside().event(typing(Dialect::Neo, true, false)).client_reads([]);
    inside_with(with("features=typing"))
        .event(typing(Dialect::Neo, false, false))
        .client_reads([])
        .event(typing(Dialect::Neo, true, false))
        .event(typing(Dialect::Multichat, false, false))
        .client_reads([told.clone(), told]);
    let seen = |to| Event::ReceiptAdvanced {
        conversation: ROOM,
        reader: bob(),
        to,
        messages: vec![Marked { message: MessageId::new(5), author: ann_id() }],
        up_to: Seq::new(5),
        direct: false,
        at: Timestamp::default(),
    };
    inside_with(with("features=read"))
        .event(seen(Receipt::Delivered))
        .event(seen(Receipt::Seen))
        .client_reads([frame(
            &json!({ "msg_type": 15, "room": "1", "username": "b<b>", "id": 5 }),
        )]);
}

#[test]
fn news_of_rooms_are_told_to_everybody_and_of_groups_if_they_count() {
    let listed =
        |kind, change| Event::RoomListed { room: Conversation { kind, ..room() }.into(), change };
    let open = |show_groups| {
        let manners = manners(|settings| settings.show_groups = show_groups);
        let style = Style { escape: true, ..Style::default() };
        Script::open(admitted(manners, style, None))
    };
    let added =
        json!({ "msg_type": 11, "room": "1", "title": "Tea &amp; cake", "staff_only": false });
    let removed = json!({ "msg_type": 13, "room": "1", "title": "Tea &amp; cake" });
    open(false)
        .event(listed(Kind::Room, Listing::Added))
        .event(listed(Kind::Group, Listing::Added))
        .event(listed(Kind::Room, Listing::Removed))
        .client_reads([frame(&added), frame(&removed)]);
    open(true).event(listed(Kind::Group, Listing::Added)).client_reads([frame(&added)]);
}

#[test]
fn what_is_asked_of_a_room_waits_until_it_is_settled_who_was_lost() {
    let mut session = MultichatSession::new(manners(|_| {}), Style::default(), Some(KEEP));
    let identified = Identified { who: ann(), connection: HERE, since: None };
    let step = session.on_admitted(Ok(identified));
    let resume = |doubt| rooms(RoomCommand::Resume { doubt, keep: KEEP });
    let resumed = |rooms| Ok(Reply::Rooms(RoomReply::Resumed { rooms, doubted: true }));
    let missed = vec![Shown { message: message(8, &bob(), "missed"), sender: bob() }];
    let taken = Missed { room: ROOM, upto: Place::new(8), messages: missed };
    let text = Text::new("hi".to_owned(), 8).unwrap();
    let draft = Draft::words(ROOM, text, Dialect::Multichat);
    Script::begun(session, step)
        .asks(&resume(true), resumed(Vec::new()))
        .client(say(&json!({ "command": "send", "room": 1, "message": "hi" })))
        .client(say(&json!({ "command": "send", "room": 2, "message": "hi" })))
        .client_reads([])
        .event(Event::RoomsParked { login: LoginId::new(1) })
        .asks(&resume(false), resumed(vec![taken]))
        .asks(&Intent::Run(Command::PostMessage(draft)), Err(Refusal::unavailable()))
        .client_reads([
            frame(&json!({
                "msg_type": 0, "room": "1", "username": "b<b>", "message": "missed", "id": 8,
                "sent": SENT, "own": false, "replay": true,
            })),
            error("SERVER_ERROR"),
        ])
        .wakes()
        .client_reads([error("ROOM_ACCESS_DENIED")]);
}

#[test]
fn only_lost_pages_are_kept() {
    let park = || vec![Command::Rooms(RoomCommand::Park { keep: KEEP })];
    let features = Style { features: Some(Vec::new()), ..Style::default() };
    let table = [
        (Style::default(), Some(KEEP), Farewell::Lost, park()),
        (Style::default(), Some(KEEP), Farewell::Ours, park()),
        (Style::default(), Some(KEEP), Farewell::Theirs(1001), vec![]),
        (Style::default(), Some(KEEP), Farewell::Theirs(1000), vec![]),
        (Style::default(), None, Farewell::Lost, vec![]),
        (features, Some(KEEP), Farewell::Lost, vec![]),
    ];
    for (style, keep, farewell, expected) in table {
        let mut session = admitted(manners(|_| {}), style, keep);
        let ended = session.on_end(farewell);
        assert_eq!(format!("{ended:?}"), format!("{expected:?}"), "{farewell:?}");
    }
}

#[test]
fn moments_always_have_six_digits() {
    let table = [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_542_759_506_000_120, "2018-11-21T00:18:26.000120Z"),
    ];
    for (micros, text) in table {
        assert_eq!(encode::moment(Timestamp::from_micros(micros)), text);
    }
}
