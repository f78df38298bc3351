//! Tables and scripts of the named channels.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde_json::{Value, json};

use super::codec::{self, Meaning};
use super::{NeoManners, NeoSession};
use crate::domain::{
    CircleChange, CircleId, Command, ConnectionId, ConversationChange, ConversationId, Credentials,
    Dialect, Draft, Event, Identified, InviteId, LoginId, Marked, MessageId, Party, Posted,
    PresenceChanges, Principal, Receipt, Refusal, Reply, Revision, Seq, Signal, Target, Text,
    Timestamp, UserId,
};
use crate::session::script::Script;
use crate::session::{Intent, Request};
use crate::transport::Close;
use crate::transport::socketio::{AckId, Data, Frame, Packet};
use crate::wire::neo::samples;

const ROOM: ConversationId = ConversationId::new(3);

fn manners() -> Arc<NeoManners> {
    Arc::new(NeoManners {
        max_text_chars: 8,
        files_per_message: 2,
        forward_channels: vec!["webrtc_config".to_owned(), "webrtc_forward".to_owned()],
        events_per_second: NonZeroU32::MAX,
        events_burst: NonZeroU32::MAX,
    })
}

fn packet(channel: &str, data: Value) -> Packet {
    Packet { channel: channel.to_owned(), data: Data::Json(data.into()), ack: None }
}

fn acked(channel: &str, data: Value) -> Packet {
    Packet { ack: Some(AckId(7)), ..packet(channel, data) }
}

fn emit(channel: &'static str, payload: &Value) -> Frame {
    Frame::emit(channel, serde_json::value::to_raw_value(payload).unwrap().into())
}

fn ack(payload: &Value) -> Frame {
    Frame::Ack { to: AckId(7), json: serde_json::value::to_raw_value(payload).unwrap().into() }
}

fn session() -> NeoSession {
    NeoSession::new(manners(), Some("127.0.0.1:8000".to_owned()))
}

fn run(command: Command) -> Intent {
    Intent::Run(command)
}

fn ann() -> Party {
    Party::User(samples::ann().into())
}

fn draft(text: &str, files: &[&str]) -> Draft {
    let text = Text::new(text.to_owned(), 100).unwrap();
    let files = files.iter().map(|&name| name.to_owned()).collect();
    Draft { files, ..Draft::words(ROOM, text, Dialect::Neo) }
}

#[test]
fn packets_mean_requests() {
    let join = || run(Command::JoinConversation(ROOM));
    let typing =
        |typing| run(Command::SetTyping { conversation: ROOM, typing, dialect: Dialect::Neo });
    let table = [
        ("authenticate", json!({"token": "T"}), Intent::Identify(Credentials::Token("T".into()))),
        ("disconnect", json!({}), Intent::Forget),
        ("join_conversation", json!({"conversation_id": 3}), join()),
        ("join_conversation", json!({"conversation_id": "3", "more": 1}), join()),
        (
            "leave_conversation",
            json!({"conversation_id": 3}),
            run(Command::LeaveConversation(ROOM)),
        ),
        ("join_circle", json!({"circle_id": 2}), run(Command::JoinCircle(CircleId::new(2)))),
        ("leave_circle", json!({"circle_id": "2"}), run(Command::LeaveCircle(CircleId::new(2)))),
        ("message", json!({"conversation_id": 3}), run(Command::PostMessage(draft("", &[])))),
        (
            "message",
            json!({"conversation_id": 3, "text_message": "hi", "files": ["a", ["b"]]}),
            run(Command::PostMessage(draft("hi", &["a", r#"["b"]"#]))),
        ),
        ("writing", json!({"conversation_id": 3, "is_writing": true}), typing(true)),
        ("writing", json!({"conversation_id": 3, "is_writing": "False"}), typing(false)),
        ("webrtc_credentials", json!("superfluous"), run(Command::TurnCredentials)),
        (
            "webrtc_stun_info",
            json!(null),
            run(Command::StunServers { host: Some("127.0.0.1:8000".to_owned()) }),
        ),
        (
            "sync",
            json!({"conversation_id": 3, "since": 9}),
            run(Command::Sync { conversation: ROOM, since: Revision::new(9), limit: None }),
        ),
        (
            "history",
            json!({"conversation_id": 3, "before": 9, "limit": 5}),
            run(Command::ReadHistory {
                conversation: ROOM,
                before: Some(Seq::new(9)),
                limit: Some(5),
            }),
        ),
        (
            "read",
            json!({"conversation_id": 3, "seq": 9}),
            run(Command::MarkRead { conversation: ROOM, seq: Seq::new(9) }),
        ),
    ];
    for (channel, data, intent) in table {
        let packet = packet(channel, data);
        let meaning = codec::decode(&packet, &manners(), Some("127.0.0.1:8000"));
        let Meaning::Ask(Request { intent: asked, .. }) = meaning else { panic!("{packet:?}") };
        assert_eq!(format!("{asked:?}"), format!("{intent:?}"), "{packet:?}");
    }
}

#[test]
fn a_signal_is_forwarded_with_its_first_address_and_as_it_is() {
    let data = json!({"message": {"type": "sdp"}, "user_id": 5, "email": "bob@example.org"});
    let Meaning::Ask(request) = codec::decode(&packet("webrtc_forward", data), &manners(), None)
    else {
        panic!("not understood");
    };
    let Intent::Run(Command::ForwardSignal { target, content }) = request.intent else {
        panic!("{request:?}");
    };
    assert_eq!(target, Target::Email("bob@example.org".to_owned()));
    let untouched = r#"{"message":{"type":"sdp"},"user_id":5,"email":"bob@example.org"}"#;
    assert_eq!(content.get(), untouched);
}

#[test]
fn what_makes_no_sense_is_answered_and_stubs_are_not() {
    let wrong = [
        packet("authenticate", json!({})),
        packet("authenticate", json!({"token": 5})),
        packet("authenticate", json!("T")),
        packet("join_conversation", json!({"conversation_id": "x"})),
        packet("join_conversation", json!({"conversation_id": -3})),
        packet("join_conversation", json!({"conversation_id": 9_007_199_254_740_992_i64})),
        packet("join_conversation", json!({"conversation_id": 3.5})),
        packet("message", json!({"text_message": "hi"})),
        packet("message", json!({"conversation_id": 3, "text_message": 5})),
        packet("message", json!({"conversation_id": 3, "text_message": "123456789"})),
        packet("message", json!({"conversation_id": 3, "files": "a.png"})),
        packet("message", json!({"conversation_id": 3, "files": ["a", "b", "c"]})),
        packet("message", json!({"conversation_id": 3, "client_ref": ""})),
        packet("writing", json!({"conversation_id": 3, "is_writing": 1})),
        packet("writing", json!({"conversation_id": 3})),
        packet("webrtc_forward", json!({"message": "CALLING"})),
        packet("webrtc_forward", json!({"user_id": 5, "message": "x".repeat(70_000)})),
        packet("read", json!({"conversation_id": 3})),
        Packet { channel: "message".into(), data: Data::Missing, ack: None },
        Packet { channel: "message".into(), data: Data::Binary, ack: None },
        Packet { channel: "message".into(), data: Data::TooLarge, ack: None },
    ];
    for packet in wrong {
        let meaning = codec::decode(&packet, &manners(), None);
        assert!(matches!(meaning, Meaning::Wrong(_)), "{packet:?}");
    }
    for stub in ["webrtc_join_room", "webrtc_leave_room", "webrtc_room_forward", "dance"] {
        let meaning = codec::decode(&packet(stub, json!({})), &manners(), None);
        assert!(matches!(meaning, Meaning::Nothing), "{stub}");
    }
}

#[test]
fn a_visit_to_a_conversation() {
    let joined = Intent::Run(Command::JoinConversation(ROOM));
    Script::open(session())
        .client(packet("authenticate", json!({"token": "T"})))
        .asks(
            &Intent::Identify(Credentials::Token("T".to_owned())),
            Ok(Reply::Identified(Identified {
                who: ann(),
                connection: ConnectionId::new(1),
                since: None,
            })),
        )
        .client_reads([emit("success", &json!("User authenticated"))])
        .client(acked("join_conversation", json!({"conversation_id": 3})))
        .asks(&joined, Ok(Reply::Done))
        .client_reads([
            emit("success", &json!("joined conversation_3")),
            ack(&json!({"success": true, "message": "joined conversation_3"})),
        ])
        .client(packet("join_conversation", json!({"conversation_id": 3})))
        .asks(&joined, Err(Refusal::forbidden("you are not a member")))
        .client_reads([emit("error", &json!("you do not take part in this conversation"))])
        .client(packet("join_conversation", json!({"conversation_id": 3})))
        .asks(&joined, Err(Refusal::not_found("there is no such conversation")))
        .client_reads([emit("error", &json!("you do not take part in this conversation"))])
        .client(acked("message", json!({})))
        .client_reads([
            emit("error", &json!("the key conversation_id is missing")),
            ack(&json!({
                "success": false,
                "message": "the key conversation_id is missing",
                "code": "malformed",
            })),
        ])
        .client(packet("disconnect", Value::Null))
        .asks(&Intent::Forget, Ok(Reply::Forgotten))
        .client_reads([])
        .closes(Close::Done);
}

#[test]
fn a_message_is_receipted_after_the_names_of_its_files() {
    let posted = |medias| Posted {
        message: MessageId::new(6),
        seq: Seq::new(1),
        revision: Revision::new(1),
        medias,
        duplicate: false,
    };
    let receipt = emit("success", &json!({"received": true, "message_id": 6}));
    let media = samples::awaited();
    Script::open(session())
        .client(acked("message", json!({"conversation_id": 3, "files": ["cat.png"]})))
        .asks(
            &run(Command::PostMessage(draft("", &["cat.png"]))),
            Ok(Reply::Posted(posted(vec![media.clone()]))),
        )
        .client_reads([
            emit("media", &crate::wire::neo::media_announced(MessageId::new(6), &[media])),
            receipt.clone(),
            ack(&json!({"success": true, "received": true, "message_id": 6})),
        ])
        .client(packet("message", json!({"conversation_id": 3, "files": []})))
        .asks(&run(Command::PostMessage(draft("", &[]))), Ok(Reply::Posted(posted(vec![]))))
        .client_reads([emit("media", &json!({"media_list": [], "message_id": 6})), receipt.clone()])
        .client(packet("message", json!({"conversation_id": 3})))
        .asks(&run(Command::PostMessage(draft("", &[]))), Ok(Reply::Posted(posted(vec![]))))
        .client_reads([receipt])
        .client(packet("message", json!({"conversation_id": 3})))
        .asks(&run(Command::PostMessage(draft("", &[]))), Err(Refusal::unknown()))
        .client_reads([emit("error", &json!(Refusal::unknown().to_string()))])
        .closes(Close::Fault);
}

#[test]
fn who_asks_for_more_than_there_is_to_read_is_not_told_of_its_own_mark() {
    let read = |up_to| Event::ReceiptAdvanced {
        conversation: ROOM,
        reader: ann(),
        to: Receipt::Seen,
        messages: Vec::new(),
        up_to: Seq::new(up_to),
        direct: false,
        at: Timestamp::default(),
    };
    let mark = json!({"conversation_id": 3, "user_id": samples::ann().id, "seq": 8});
    let known = Identified { who: ann(), connection: ConnectionId::new(1), since: None };
    Script::open(session())
        .client(packet("authenticate", json!({"token": "T"})))
        .asks(&Intent::Identify(Credentials::Token("T".to_owned())), Ok(Reply::Identified(known)))
        .client_reads([emit("success", &json!("User authenticated"))])
        .client(acked("read", json!({"conversation_id": 3, "seq": 9999})))
        .asks(
            &run(Command::MarkRead { conversation: ROOM, seq: Seq::new(9999) }),
            Ok(Reply::ReadUpTo(Some(Seq::new(5)))),
        )
        .client_reads([ack(&json!({"success": true}))])
        .event(read(5))
        .client_reads([])
        // Another connection of hers has read on.
        .event(read(8))
        .client_reads([emit("read", &mark)]);
}

#[test]
fn only_who_used_an_additive_event_is_told_of_additive_ones() {
    let read = || Event::ReceiptAdvanced {
        conversation: ROOM,
        reader: ann(),
        to: Receipt::Seen,
        messages: [5, 6]
            .map(|id| Marked {
                message: MessageId::new(id),
                author: Principal::User(UserId::new(9)),
            })
            .to_vec(),
        up_to: Seq::new(2),
        direct: true,
        at: Timestamp::default(),
    };
    let presence = || Event::PresenceChanged {
        who: ann(),
        online: true,
        last_seen: None,
        changes: PresenceChanges::default(),
    };
    let update = json!({"conversation_id": 3, "message_id": 6, "event": "update"});
    let mark = json!({"conversation_id": 3, "user_id": samples::ann().id, "seq": 2});
    let online = json!({"user_id": samples::ann().id, "online": true});
    let sync = run(Command::Sync { conversation: ROOM, since: Revision::new(0), limit: None });
    Script::open(session())
        .event(read())
        .event(presence())
        .client_reads([emit("message", &update)])
        .client(acked("sync", json!({"conversation_id": 3})))
        .asks(&sync, Err(Refusal::unidentified()))
        .client_reads([ack(&json!({
            "success": false, "message": "say who you are first", "code": "unidentified",
        }))])
        .event(presence())
        .client_reads([])
        .client(acked("read", json!({"conversation_id": 3, "seq": 1})))
        .asks(
            &run(Command::MarkRead { conversation: ROOM, seq: Seq::new(1) }),
            Ok(Reply::ReadUpTo(Some(Seq::new(1)))),
        )
        .client_reads([ack(&json!({"success": true}))])
        .event(read())
        .event(presence())
        .client_reads([emit("read", &mark), emit("message", &update), emit("presence", &online)]);
}

#[test]
fn events_are_written_as_the_page_shows() {
    let circle = CircleId::new(2);
    let user = UserId::new(5);
    let circle_event = |change| Event::CircleChanged { circle, change };
    let email = samples::ann().email;
    let table = [
        (
            circle_event(CircleChange::Invited(InviteId::new(1))),
            emit(
                "circle_invite",
                &json!({"event": "invite", "circle_id": 2, "circle_invite_id": 1}),
            ),
        ),
        (
            circle_event(CircleChange::Joined(ann())),
            emit("circle", &json!({"event": "join", "user": email, "user_id": 4, "circle_id": 2})),
        ),
        (
            circle_event(CircleChange::Kicked { user: ann(), by: ann() }),
            emit(
                "circle",
                &json!({"event": "kick", "user": email, "user_id": 4, "from": email, "circle_id": 2}),
            ),
        ),
        (
            circle_event(CircleChange::DeviceCreated(crate::domain::DeviceId::new(1))),
            emit("device created", &json!({"circle_id": 2})),
        ),
        (
            circle_event(CircleChange::DeviceConnected(crate::domain::DeviceId::new(1))),
            emit(
                "circle",
                &json!({"event": "device", "type": "connect", "device_id": 1, "circle_id": 2}),
            ),
        ),
        (
            Event::ConversationChanged {
                conversation: ROOM,
                change: ConversationChange::Promoted(user),
            },
            emit("conversation", &json!({"event": "promoted", "conversation_id": 3})),
        ),
        (
            Event::TypingChanged {
                conversation: ROOM,
                who: ann(),
                typing: true,
                dialect: Dialect::Neo,
                changed: true,
                computed: false,
            },
            emit(
                "writing",
                &json!({
                    "conversation_id": 3, "device": false, "user": "", "user_id": 4,
                    "is_writing": true,
                }),
            ),
        ),
    ];
    for (event, frame) in table {
        Script::open(session()).event(event).client_reads([frame]);
    }
}

#[test]
fn a_signal_arrives_on_every_configured_channel_in_order() {
    let content = serde_json::value::to_raw_value(&json!({"user_id": 5, "message": "CALLING"}));
    let from = Principal::User(UserId::new(4));
    let payload = json!({
        "sender_id": 4, "is_device": false, "content": {"user_id": 5, "message": "CALLING"},
    });
    Script::open(session())
        .event(Event::SignalSent(Signal { from, content: content.unwrap().into() }))
        .client_reads([emit("webrtc_config", &payload), emit("webrtc_forward", &payload)]);
}

#[test]
fn the_end_of_a_login_unbinds_and_the_connection_stays() {
    Script::open(session())
        .event(Event::LoginEnded { login: LoginId::new(1), deactivated: false })
        .client_reads([])
        .ends_unbound()
        .client_reads([]);
}

/// Any JSON, with the keys and channels that mean something more often than by chance.
fn any_value() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let key = prop_oneof![
        Just("conversation_id".to_owned()),
        Just("circle_id".to_owned()),
        Just("text_message".to_owned()),
        Just("files".to_owned()),
        Just("client_ref".to_owned()),
        Just("is_writing".to_owned()),
        Just("token".to_owned()),
        Just("since".to_owned()),
        Just("limit".to_owned()),
        Just("seq".to_owned()),
        Just("user_id".to_owned()),
        Just("email".to_owned()),
        ".{0,5}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_i64..9).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,70}".prop_map(Value::from),
        "-?[0-9]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|keys| Value::Object(keys.into_iter().collect())),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn no_packet_makes_the_codec_panic(
        channel in "(authenticate|disconnect|(join|leave)_(conversation|circle)|message|writing\
                    |webrtc_(credentials|stun_info|turn_info|forward)|sync|history|read|.{0,9})",
        value in any_value(),
        ack: Option<i64>,
    ) {
        for data in [Data::Json(value.into()), Data::Missing, Data::Binary, Data::TooLarge, Data::Unreadable] {
            let packet = Packet { channel: channel.clone(), data, ack: ack.map(AckId) };
            // Wrong or not, there is an answer for it.
            let _ = Script::open(NeoSession::new(manners(), None)).client(packet);
        }
    }
}
