//! Tables and scripts of private-chat.

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::codec::{self, Meaning};
use super::encode::{self, Copy, Style};
use super::{Manners, PrivateChatSession, Visit, address, style};
use crate::domain::{
    Aside, Command, ConnectionId, ConversationId, Credentials, Dialect, DialogCommand, DialogReply,
    Draft, Event, Identified, Listed, LoginId, Marked, Message, MessageId, Party, Posted,
    PresenceChanges, Principal, Receipt, Refusal, RefusalKind, Reply, Revision, Seq, Text,
    Timestamp, User, UserId,
};
use crate::session::Intent;
use crate::session::script::Script;
use crate::settings::Html;
use crate::transport::Close;
use crate::transport::websocket::{Frame, Utf8Bytes};
use crate::wire::neo::samples;

const TALK: ConversationId = ConversationId::new(12);

fn manners() -> Manners {
    Manners {
        dates: super::DateFormat::new("d.m.Y H:i:s", "UTC"),
        public_url: "https://chat.example".to_owned(),
        auto_dialog: true,
        announce_bound: false,
        user_list: Listed::All,
        errors: true,
        max_text_chars: 8,
        sockets: super::Sockets::default(),
    }
}

fn user(id: i64, name: &str) -> Arc<User> {
    let mut user = samples::ann();
    (user.id, user.username, user.online) = (UserId::new(id), name.to_owned(), false);
    Arc::new(user)
}

fn face(id: i64, name: &str) -> Party {
    Party::User(user(id, name))
}

fn message(id: i64, author: i64, text: &str) -> Arc<Message> {
    Arc::new(Message {
        id: MessageId::new(id),
        conversation: TALK,
        author: Principal::User(UserId::new(author)),
        place: Some(crate::domain::Place::new(id)),
        text: text.to_owned(),
        sent: Timestamp::from_secs(1_795_220_306),
        medias: Vec::new(),
        media_count: 0,
        ..samples::hello()
    })
}

/// A socket of ann's (1) that is bound to bob (2), who is online.
fn open(style: Style) -> Script<PrivateChatSession> {
    let visit = Visit { key: "k".to_owned(), opponent: "bob".to_owned(), style };
    let session = PrivateChatSession::new(Arc::new(manners()), visit);
    let mut bob = User::clone(&user(2, "bob"));
    bob.online = true;
    let met = DialogReply::Met { user: Arc::new(bob), conversation: Some(TALK) };
    let identified =
        Identified { who: face(1, "ann"), connection: ConnectionId::new(1), since: None };
    Script::open(session)
        .asks(
            &Intent::Identify(Credentials::SessionKey("k".to_owned())),
            Ok(Reply::Identified(identified)),
        )
        .asks(&dialogs(DialogCommand::Meet("bob".to_owned())), Ok(Reply::Dialogs(met)))
        .client_reads([])
}

fn dialogs(command: DialogCommand) -> Intent {
    Intent::Run(Command::Dialogs(command))
}

fn json(value: &Value) -> Utf8Bytes {
    value.to_string().into()
}

const DONE: Reply = Reply::Dialogs(DialogReply::Done);

#[test]
fn packets_mean_what_the_page_says() {
    let read = |text: &str| {
        let packet = codec::read(&Frame::from(text), true).expect("a packet").expect("not empty");
        packet.meaning(true).map(|meaning| format!("{meaning:?}"))
    };
    let table = [
        (r#"{"type":"new-user"}"#, "ListActive"),
        (r#"{"type":"online"}"#, "Announce"),
        (r#"{"type":"offline","username":"bob"}"#, "Rest"),
        (r#"{"type":"check-online"}"#, "ListOnline"),
        (r#"{"type":"is-typing","typing":true}"#, "Type(None)"),
        (r#"{"type":"is-typing","typing":"no","username":"x"}"#, "Type(Some(\"x\"))"),
        (r#"{"type":"is-typing","typing":false}"#, "Nothing"),
        (r#"{"type":"is-typing","typing":""}"#, "Nothing"),
        (r#"{"type":"read_message","message_id":"007"}"#, "MarkSeen(MessageId(7))"),
        (r#"{"type":"read-message","message_id":7}"#, "MarkSeen(MessageId(7))"),
        (r#"{"type":"dialogs"}"#, "List"),
        (r#"{"type":"history","before":null}"#, "Read { with: None, before: None, limit: 50 }"),
        (r#"{"type":"delete-message","message_id":7}"#, "Remove(MessageId(7))"),
        (r#"{"type":"new-message","message":""}"#, "Nothing"),
    ];
    for (text, meaning) in table {
        assert_eq!(read(text).expect(text), meaning, "{text}");
    }
}

#[test]
fn keys_beyond_the_known_travel_as_they_were_written() {
    let text = r#"{"type":"new-message","message":"x","session_key":"k","n":12345678901234567890123,"f":1.50,"s":"\u003c\u0026\\u003c&\ud800"}"#;
    let packet = codec::read(&Frame::from(text), false).unwrap().unwrap();
    let Meaning::Post(post) = packet.meaning(false).unwrap() else { panic!("{packet:?}") };
    let json = post.aside.expect("further keys");
    assert_eq!(json.get(), r#"{"f":1.50,"n":12345678901234567890123,"s":"\u003c\u0026\\u003c&�"}"#);
    let aside = Aside { dialect: Dialect::PrivateChat, json };
    let message = message(5, 1, "<x>");
    let copy = Copy {
        message: &message,
        author: "ann",
        receiver: "bob",
        aside: Some(&aside),
        reference: None,
    };
    let raw = encode::new_message(copy, Style::Raw, &manners()).unwrap();
    assert_eq!(
        raw.as_str(),
        r#"{"type":"new-message","username":"bob","message":"<x>","created":"21.11.2026 00:18:26","sender_name":"ann","message_id":5,"f":1.50,"n":12345678901234567890123,"s":"\u003c\u0026\\u003c&�"}"#
    );
    let escaped = encode::new_message(copy, Style::Escaped, &manners()).unwrap();
    assert!(escaped.as_str().contains(r#""message":"&lt;x&gt;""#), "{escaped}");
    let rest = r#""f":1.50,"n":12345678901234567890123,"s":"&lt;&amp;\\u003c&amp;�"}"#;
    assert!(escaped.as_str().ends_with(rest), "{escaped}");
}

#[test]
fn the_address_names_key_and_opponent() {
    let table = [
        ("k/bob", Some(("k", "bob"))),
        ("k/bob/", Some(("k", "bob"))),
        ("k/bob/more/of/it", Some(("k", "bob"))),
        ("k/b%C3%A9", Some(("k", "bé"))),
        ("k", None),
        ("k/", None),
        ("/bob", None),
        ("", None),
    ];
    for (path, found) in table {
        let found = found.map(|(key, name)| (key.to_owned(), name.to_owned()));
        assert_eq!(address(path), found, "{path}");
    }
    let uri = |query: &str| format!("/k/bob{query}").parse().unwrap();
    let table = [
        (Html::Auto, true, "", Style::Escaped),
        (Html::Auto, false, "", Style::Raw),
        (Html::Raw, true, "", Style::Raw),
        (Html::Escape, false, "", Style::Escaped),
        (Html::Auto, true, "?html=raw", Style::Raw),
        (Html::Raw, false, "?x=1&html=escape", Style::Escaped),
        (Html::Escape, true, "?extras=1", Style::Extras),
        (Html::Auto, false, "?extras=0", Style::Raw),
    ];
    for (html, from_page, query, expected) in table {
        assert_eq!(style(html, from_page, &uri(query)), expected, "{html:?} {query}");
    }
}

#[test]
fn refused_keys_close_without_a_packet() {
    let visit = || Visit { key: "k".to_owned(), opponent: "bob".to_owned(), style: Style::Raw };
    let identify = Intent::Identify(Credentials::SessionKey("k".to_owned()));
    let table = [
        (RefusalKind::Unidentified, Close::Refused("invalid session")),
        (RefusalKind::Expired, Close::Refused("invalid session")),
        (RefusalKind::Inactive, Close::Refused("invalid session")),
        (RefusalKind::TooManyConnections, Close::TooMany),
        (RefusalKind::Unavailable, Close::Fault),
    ];
    for (kind, close) in table {
        Script::open(PrivateChatSession::new(Arc::new(manners()), visit()))
            .asks(&identify, Err(Refusal::new(kind, "no")))
            .client_reads([])
            .closes(close);
    }
    let device = Reply::Identified(Identified {
        who: Party::Device(Arc::new(samples::device())),
        connection: ConnectionId::new(1),
        since: None,
    });
    Script::open(PrivateChatSession::new(Arc::new(manners()), visit()))
        .asks(&identify, Ok(device))
        .closes(Close::Refused("invalid session"));
}

#[test]
fn a_message_is_posted_and_its_author_reads_it_back() {
    let text = Text::new("hi".to_owned(), 8).unwrap();
    let draft = Draft::words(TALK, text.clone(), Dialect::PrivateChat);
    let posted = Posted {
        message: MessageId::new(57),
        seq: Seq::new(1),
        revision: Revision::new(1),
        medias: Vec::new(),
        duplicate: false,
    };
    let long = json!({
        "type": "error", "code": "text_too_long", "error": "A message may have at most 8 characters.",
        "request": "new-message", "limit": 8,
    });
    open(Style::Raw)
        .client(
            r#"{"type":"new-message","session_key":"k","username":"bob","message":"hi"}"#.into(),
        )
        .asks(&Intent::Run(Command::PostMessage(draft)), Ok(Reply::Posted(posted.clone())))
        .client_reads([])
        .client(r#"{"type":"new-message","message":"much too long"}"#.into())
        .client_reads([json(&long)])
        .client(r#"{"type":"new-message","username":"carol","message":"hi"}"#.into())
        .asks(
            &dialogs(DialogCommand::Post {
                to: "carol".to_owned(),
                text,
                reference: None,
                aside: None,
                open: true,
            }),
            Err(Refusal::not_found("who?")),
        )
        .client_reads([json(&json!({"type": "user-not-found", "username": "carol"}))]);
}

#[test]
fn a_foreign_key_is_proven_before_anything_else_counts() {
    let wrong = json!({
        "type": "error", "code": "bad_session",
        "error": "The session key does not belong to this connection's user.",
        "request": "online", "ref": "r",
    });
    let vouch = || dialogs(DialogCommand::Vouch(Credentials::SessionKey("other".to_owned())));
    open(Style::Raw)
        .client(r#"{"type":"online","session_key":"other","ref":"r"}"#.into())
        .asks(&vouch(), Err(Refusal::unidentified()))
        .client_reads([json(&wrong)])
        .client(r#"{"type":"online","session_key":"other"}"#.into())
        .asks(&vouch(), Ok(DONE))
        .asks(&dialogs(DialogCommand::Announce), Ok(DONE))
        .client_reads([]);
}

#[test]
fn events_are_shown_where_the_page_can_tell_them_apart() {
    let posted = |author: i64, name: &str| Event::MessagePosted {
        message: message(57, author, "hi"),
        sender: face(author, name),
        aside: None,
    };
    let packet = |from: &str, to: &str| {
        vec![json!({
            "type": "new-message", "username": to, "message": "hi",
            "created": "21.11.2026 00:18:26", "sender_name": from, "message_id": 57,
        })]
    };
    let marked = |reader: i64, name: &str| Event::ReceiptAdvanced {
        conversation: TALK,
        reader: face(reader, name),
        to: Receipt::Seen,
        messages: [56, 57]
            .map(|id| Marked {
                message: MessageId::new(id),
                author: Principal::User(UserId::new(1)),
            })
            .to_vec(),
        up_to: Seq::new(2),
        direct: true,
        at: Timestamp::default(),
    };
    let typing = |changed: bool, dialect: Dialect| Event::TypingChanged {
        conversation: TALK,
        who: face(2, "bob"),
        typing: true,
        dialect,
        changed,
        computed: false,
    };
    let read =
        |id: i64| json!({"type": "opponent-read-message", "username": "bob", "message_id": id});
    let is_typing = vec![json!({"type": "opponent-typing", "username": "bob"})];
    let announced = |id: i64, name: &str, online| Event::PresenceAnnounced {
        who: face(id, name),
        online,
        changes: PresenceChanges::default(),
    };
    let table = [
        (Some((1, 2)), posted(2, "bob"), packet("bob", "ann")),
        (Some((1, 2)), posted(1, "ann"), packet("ann", "bob")),
        (Some((1, 3)), posted(1, "ann"), vec![]),
        (Some((1, 3)), posted(3, "carol"), packet("carol", "ann")),
        (None, posted(2, "bob"), vec![]),
        (Some((1, 2)), marked(2, "bob"), vec![read(56), read(57)]),
        (Some((1, 3)), marked(3, "carol"), vec![]),
        (None, marked(2, "bob"), vec![]),
        (Some((1, 2)), typing(true, Dialect::Neo), is_typing.clone()),
        (Some((1, 2)), typing(false, Dialect::Neo), vec![]),
        (Some((1, 2)), typing(false, Dialect::PrivateChat), is_typing),
        (None, typing(true, Dialect::Neo), vec![]),
        (
            None,
            announced(2, "bob", true),
            vec![json!({"type": "gone-online", "usernames": ["bob"]})],
        ),
        (
            None,
            announced(3, "carol", true),
            vec![json!({"type": "gone-online", "usernames": ["carol", "bob"]})],
        ),
        (
            None,
            announced(3, "carol", false),
            vec![json!({"type": "gone-offline", "username": "carol"})],
        ),
        (None, announced(1, "ann", true), vec![]),
        (
            None,
            Event::DialogBegun { conversation: TALK, by: face(3, "carol") },
            vec![json!({"type": "new-dialog", "username": "carol"})],
        ),
        (
            Some((1, 2)),
            Event::MessageEdited { message: message(57, 2, "hi"), sender: face(2, "bob") },
            vec![],
        ),
        (None, Event::LoginEnded { login: LoginId::new(1), deactivated: false }, vec![]),
    ];
    for (pair, event, packets) in table {
        let pair = pair.map(|(low, high)| (UserId::new(low), UserId::new(high)));
        let packets: Vec<_> = packets.iter().map(json).collect();
        open(Style::Raw).event_between(pair, event).client_reads(packets);
    }
}

#[test]
fn names_that_a_page_cannot_select_come_last() {
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let packet = encode::gone_online(names(&["zoe", "a@b", "ann", "bob", "bob"]), "zoe");
    assert_eq!(
        packet,
        json(&json!({"type": "gone-online", "usernames": ["zoe", "ann", "bob", "a@b"]}))
    );
    let packet = encode::gone_online(names(&["zoe", "a@b", "c."]), "c.");
    assert_eq!(packet, json(&json!({"type": "gone-online", "usernames": ["zoe", "c.", "a@b"]})));
    assert_eq!(
        encode::came_online("x@y", Some("bob")),
        json(&json!({"type": "gone-online", "usernames": ["bob", "x@y"]}))
    );
}

#[test]
fn the_list_of_active_users_has_two_keys_each() {
    let packet = encode::users_changed(&[("ann".to_owned(), Uuid::nil())]);
    let entry = json!({"username": "ann", "uuid": "00000000-0000-0000-0000-000000000000"});
    assert_eq!(packet, json(&json!({"type": "users-changed", "value": [entry]})));
}

proptest::proptest! {
    #[test]
    fn no_frame_makes_it_panic(text in ".{0,200}", key in "[a-z_-]{0,12}", value in ".{0,20}", extras: bool) {
        let made = json!({"type": "new-message", "message": value, key: value}).to_string();
        for text in [text, made] {
            let frame = Frame::from(text.as_str());
            let _ = codec::is_light(&frame, extras);
            if let Ok(Some(packet)) = codec::read(&frame, extras) {
                let _ = packet.meaning(extras);
            }
        }
    }
}
