//! Tables and scripts of members-chat.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::codec::{self, Chat, Tag};
use super::session::ChatSession;
use super::{Address, ChatManners, encode, read_address};
use crate::domain::{
    Charge, ChatCommand, ChatReply, ClientRef, Command, ConnectionId, ConversationId, Credentials,
    Event, FileId, Identified, LoginId, Marked, Media, MediaId, MediaOwner, Message, MessageId,
    MessageKind, Opened, Party, Place, PresenceMark, Principal, ReadingTurn, Receipt, Refusal,
    RefusalKind, Reply, Revision, Sent, Seq, Smile, SmileId, Timestamp, UserId,
};
use crate::session::Intent;
use crate::session::script::Script;
use crate::transport::Close;
use crate::transport::websocket::{Frame, Utf8Bytes};
use crate::wire::neo::samples;

const CHAT: ConversationId = ConversationId::new(2);

fn manners() -> ChatManners {
    ChatManners {
        auth_timeout: Duration::from_secs(1),
        max_text_chars: 8,
        max_text_bytes: 1 << 20,
        max_file_bytes: 5,
        max_head_bytes: 100,
        allowed_types: Vec::new(),
        public_url: "https://chat.example".to_owned(),
    }
}

fn message(id: i64, author: UserId) -> Message {
    Message {
        id: MessageId::new(id),
        conversation: CHAT,
        seq: Seq::new(1),
        revision: Revision::new(1),
        place: Some(Place::new(id)),
        author: Principal::User(author),
        link: None,
        kind: MessageKind::Text,
        text: "hi".to_owned(),
        smile: None,
        sent: Timestamp::from_micros(1_662_132_447_857_355),
        edited: None,
        deleted: None,
        read: None,
        media_count: 0,
        medias: Vec::new(),
    }
}

fn media(number: u128, name: &str) -> Media {
    Media {
        id: MediaId::new(1),
        file: FileId::new(Uuid::from_u128(number)),
        owner: MediaOwner::Message(MessageId::new(1)),
        purpose: "default".to_owned(),
        identifier: name.to_owned(),
        filename: None,
        extension: None,
        directory: String::new(),
        mime: Some("image/png".to_owned()),
        size: Some(3),
        uploaded: None,
        created: Timestamp::default(),
    }
}

fn ann() -> Party {
    Party::User(samples::ann().into())
}

fn me() -> UserId {
    samples::ann().id
}

fn bob() -> UserId {
    UserId::new(me().get() + 1)
}

fn frame(value: &Value) -> Utf8Bytes {
    value.to_string().into()
}

fn text_of(id: i64, author: UserId) -> Value {
    json!({
        "id": id, "member_id": author.get(), "chat_id": 2, "date": "2022-09-02T15:27:27.857355",
        "type": "text", "text": "hi",
    })
}

#[test]
fn messages_are_shown_in_the_forms_of_the_page() {
    let (one, two) = (media(1, "cat.png"), media(2, "dog.txt"));
    let address = "https://chat.example/storage?uuid=00000000-0000-0000-0000-000000000002";
    let smile = Some(Smile { id: SmileId::new(2), file: FileId::new(Uuid::from_u128(3)) });
    let base = || message(1, me());
    let table = [
        (base(), Some(json!({ "type": "text", "text": "hi" }))),
        (Message { text: String::new(), ..base() }, None),
        (Message { place: None, ..base() }, None),
        (Message { deleted: Some(Timestamp::default()), ..base() }, None),
        (
            Message { smile, medias: vec![one.clone()], text: String::new(), ..base() },
            Some(json!({
                "type": "smile", "smile_id": 2,
                "smile_file_uuid": "00000000-0000-0000-0000-000000000003",
            })),
        ),
        (
            Message { medias: vec![one.clone()], text: String::new(), ..base() },
            Some(json!({
                "type": "file", "file_uuid": "00000000-0000-0000-0000-000000000001", "text": "",
            })),
        ),
        (
            Message { medias: vec![one, two], ..base() },
            Some(json!({
                "type": "file", "file_uuid": "00000000-0000-0000-0000-000000000001",
                "text": format!("hi\ndog.txt: {address}"),
            })),
        ),
    ];
    for (message, shown) in table {
        let expected = shown.map(|shown| {
            let mut object = text_of(1, me());
            object.as_object_mut().unwrap().remove("text");
            object.as_object_mut().unwrap().extend(shown.as_object().unwrap().clone());
            object
        });
        let found = encode::message(&message, false, &manners()).map(Value::Object);
        assert_eq!(found, expected, "{message:?}");
    }
}

#[test]
fn addresses_are_read_by_the_page_s_rules() {
    let read = |query: &str| read_address(&format!("/members/chat/?{query}").parse().unwrap(), 10);
    let plain = Address { other: UserId::new(2), limit: None, before: None, extras: false };
    assert_eq!(read("other_member_id=%202%20&x=1"), Ok(plain));
    let all = Address { limit: Some(0), before: Some(MessageId::new(9)), extras: true, ..plain };
    assert_eq!(read("other_member_id=2&history_limit=0&before_id=9&extras=1"), Ok(all));
    assert_eq!(read("other_member_id=2&extras=yes"), Ok(plain));
    for bad in [
        "",
        "other_member_id=%2B2",
        "other_member_id=2&history_limit=11",
        "other_member_id=2&before_id=",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn tokens_are_found_in_first_frames() {
    let table = [
        ("Bearer a.b", Some("a.b")),
        (" bEARER \t a\n", Some("a")),
        ("\"Bearer a\"", Some("a")),
        ("\" Bearer a \"", Some("a")),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearera", None),
        ("Bearer a b", None),
        ("\"Bearer a", None),
        ("Bearer\u{a0}a", None),
        ("Bär", None),
        ("", None),
    ];
    for (raw, token) in table {
        assert_eq!(codec::bearer(raw).as_deref(), token, "{raw:?}");
    }
}

/// A session that is open, with this past.
fn opened(extras: bool, history: Vec<Arc<Message>>) -> Script<ChatSession> {
    let address = Address { other: bob(), limit: None, before: None, extras };
    let session = ChatSession::new(Arc::new(manners()), address);
    let who = Identified { who: ann(), connection: ConnectionId::new(1), since: None };
    let open = ChatCommand::Open { other: bob(), limit: None, before: None, presence: extras };
    let opened = Opened {
        conversation: CHAT,
        history,
        whole: true,
        online: false,
        seen: PresenceMark::default(),
        turn: ReadingTurn::new(()),
    };
    Script::open(session)
        .client("Bearer t".into())
        .asks(&Intent::Identify(Credentials::Token("t".into())), Ok(Reply::Identified(who)))
        .asks(&Intent::Run(Command::Chats(open)), Ok(Reply::Chats(ChatReply::Opened(opened))))
}

fn posted(message: Message) -> Event {
    Event::MessagePosted { message: Arc::new(message), sender: ann(), aside: None }
}

fn sent(id: i64, charge: Option<Charge>, before: Option<Message>) -> Reply {
    let before = before.map(Arc::new);
    Reply::Chats(ChatReply::Sent(Sent { message: MessageId::new(id), charge, before }))
}

fn said(raw: &str) -> Intent {
    let chat = Chat { conversation: CHAT, extras: true };
    codec::decode(&Frame::from(raw), chat, &manners()).expect("it asks for something").intent
}

#[test]
fn the_history_comes_first_and_what_it_shows_comes_once() {
    let past = vec![Arc::new(message(5, me())), Arc::new(message(7, bob()))];
    opened(false, past)
        .client_reads([frame(&json!([text_of(5, me()), text_of(7, bob())]))])
        .event(posted(message(7, bob())))
        .client_reads([])
        .event(posted(Message { conversation: ConversationId::new(3), ..message(8, bob()) }))
        .event(posted(Message { place: None, ..message(8, bob()) }))
        .client_reads([])
        .event(posted(message(9, bob())))
        .client_reads([frame(&text_of(9, bob()))])
        .event(Event::MessageCompleted {
            message: Arc::new(Message { place: Some(Place::new(10)), ..message(8, bob()) }),
            sender: ann(),
        })
        .client_reads([frame(&text_of(8, bob()))]);
}

#[test]
fn the_echo_is_the_answer_and_tells_the_sender_more() {
    let one = r#"{"type":"text","text":"hi","client_ref":"r"}"#;
    let charge = Some(Charge { price: 5, balance: 3 });
    let mut paid = text_of(5, me());
    paid["client_ref"] = "r".into();
    let mut more = paid.clone();
    more["price"] = 5.into();
    more["balance"] = 3.into();
    for (extras, echo) in [(false, paid), (true, more)] {
        let script = opened(extras, Vec::new());
        let presence = json!({ "type": "presence", "member_id": bob().get(), "online": false });
        let first = if extras { vec![json!([]), presence] } else { vec![json!([])] };
        let script = script.client_reads(first.iter().map(frame));
        script
            .client(one.into())
            .asks(&said(one), Ok(sent(5, charge, None)))
            .event(posted(message(5, me())))
            .client_reads([frame(&echo)])
            .event(posted(message(6, me())))
            .client_reads([frame(&text_of(6, me()))]);
    }
}

#[test]
fn a_repeated_reference_gets_the_first_message_again() {
    let one = r#"{"type":"text","text":"hi","client_ref":"r"}"#;
    let mut again = text_of(4, me());
    again["client_ref"] = "r".into();
    opened(false, Vec::new())
        .client_reads([frame(&json!([]))])
        .client(one.into())
        .asks(&said(one), Ok(sent(4, None, Some(message(4, me())))))
        .client_reads([frame(&again)]);
}

#[test]
fn refusals_have_the_codes_of_the_page() {
    let smile = r#"{"type":"smile","smile_id":9}"#;
    let poor = RefusalKind::TooPoor { price: 5, balance: 3 };
    let table = [
        (
            "hi",
            Refusal::new(poor, "no"),
            json!({ "code": "insufficient_balance", "price": 5, "balance": 3 }),
        ),
        ("hi", Refusal::unavailable(), json!({ "code": "internal" })),
        ("hi", Refusal::forbidden("no"), json!({ "code": "internal" })),
        (smile, Refusal::not_found("no"), json!({ "code": "smile_not_found", "smile_id": 9 })),
    ];
    for (raw, refusal, keys) in table {
        let tag = Tag::Send {
            reference: ClientRef::new("r".into()),
            smile: (raw == smile).then_some(SmileId::new(9)),
        };
        let wrong = encode::refusal(tag, &refusal);
        let found: Value = serde_json::from_str(&encode::error(wrong)).unwrap();
        assert_eq!((&found["type"], &found["client_ref"]), (&json!("error"), &json!("r")));
        for (key, value) in keys.as_object().unwrap() {
            assert_eq!(found[key], *value, "{found}");
        }
    }
}

#[test]
fn an_unknown_outcome_and_a_login_that_ends_end_the_connection() {
    opened(false, Vec::new())
        .client("hi".into())
        .asks(&said("hi"), Err(Refusal::unknown()))
        .closes(Close::Fault);
    for (deactivated, reason) in [(true, "member inactive"), (false, "login ended")] {
        opened(false, Vec::new())
            .event(Event::LoginEnded { login: LoginId::new(1), deactivated })
            .closes(Close::Refused(reason));
    }
}

#[test]
fn extras_are_for_those_who_asked() {
    let marked = Marked { message: MessageId::new(5), author: Principal::User(me()) };
    let reader = Party::User(Arc::new(crate::domain::User { id: bob(), ..samples::ann() }));
    let seen = || Event::ReceiptAdvanced {
        conversation: CHAT,
        reader: reader.clone(),
        to: Receipt::Seen,
        messages: vec![marked],
        up_to: Seq::new(1),
        direct: true,
        at: Timestamp::from_micros(0),
    };
    let told = json!({
        "type": "seen", "message_id": [5], "member_id": bob().get(), "chat_id": 2,
        "date": "1970-01-01T00:00:00.000000",
    });
    opened(false, Vec::new()).client_reads([frame(&json!([]))]).event(seen()).client_reads([]);
    let presence = json!({ "type": "presence", "member_id": bob().get(), "online": false });
    opened(true, Vec::new()).event(seen()).client_reads([
        frame(&json!([])),
        frame(&presence),
        frame(&told),
    ]);
}

proptest::proptest! {
    #[test]
    fn no_frame_makes_it_panic(text in ".{0,60}", bytes: Vec<u8>, head in ".{0,30}") {
        let chat = Chat { conversation: CHAT, extras: true };
        let framed = format!("!{{\"text\":\"{head}\"}}#{text}").into_bytes();
        for frame in [
            Frame::from(text.as_str()),
            Frame::from(format!("{{\"type\":\"{text}\"}}").as_str()),
            Frame::Binary(bytes.into()),
            Frame::Binary(framed.into()),
        ] {
            if let Err(wrong) = codec::decode(&frame, chat, &manners()) {
                let _ = encode::error(wrong);
            }
            let _ = codec::reference_of(&frame, &manners());
        }
        let _ = codec::bearer(&text);
    }
}
