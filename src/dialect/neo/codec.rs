//! The wire of the named channels, inwards: what a packet asks for (NEO 3.2; see also
//! `docs/clients/neo.md`).

use serde_json::value::RawValue;

use super::{NeoManners, calls};
use crate::domain::{
    CallCommand, CircleId, ClientRef, Command, ConversationId, Credentials, DeviceId, Dialect,
    Draft, Refusal, Revision, Seq, Target, Text, UserId,
};
use crate::json::{self, Object};
use crate::session::{Intent, Request};
use crate::transport::socketio::{AckId, Data, Json, Packet};

/// Largest signal of a call, in bytes.
pub(super) const SIGNAL_BYTES: usize = 64 * 1024;

/// The keys that any channel reads; all others are passed over.
const KEYS: [&str; 22] = [
    "token",
    "conversation_id",
    "circle_id",
    "text_message",
    "files",
    "client_ref",
    "is_writing",
    "email",
    "user_id",
    "device_id",
    "since",
    "before",
    "limit",
    "seq",
    "action",
    "call_id",
    "reason",
    "resume",
    "media",
    "room",
    "to",
    "data",
];

/// What the answer to a request will have to mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) asked: Asked,
    pub(super) ack: Option<AckId>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Authenticate,
    Disconnect,
    JoinConversation(ConversationId),
    LeaveConversation(ConversationId),
    JoinCircle(CircleId),
    LeaveCircle(CircleId),
    /// A message, with or without a list of files (perhaps an empty one).
    Message {
        files: bool,
    },
    Writing,
    Credentials,
    Servers,
    Forward,
    IceServers,
    Call,
    JoinRoom,
    LeaveRoom,
    RoomForward,
    Sync,
    History,
    Read(ConversationId),
}

impl Asked {
    /// Makes the connection a new client; who asks for an acknowledgement is answered by
    /// that alone.
    pub(super) const fn is_extra(self) -> bool {
        matches!(self, Self::Sync | Self::History | Self::Read(_)) || self.is_call()
    }

    /// About calls that the server knows of.
    pub(super) const fn is_call(self) -> bool {
        matches!(
            self,
            Self::IceServers | Self::Call | Self::JoinRoom | Self::LeaveRoom | Self::RoomForward
        )
    }
}

/// What a packet means.
pub(super) enum Meaning {
    /// Something to carry out.
    Ask(Request<Tag>),
    /// Nothing, and it is not answered either.
    Nothing,
    /// It makes no sense.
    Wrong(Refusal),
}

/// Reads a packet; `host` is what the client called us in its handshake.
pub(super) fn decode(packet: &Packet, manners: &NeoManners, host: Option<&str>) -> Meaning {
    match read(packet, manners, host) {
        Ok(Some((asked, intent))) => {
            Meaning::Ask(Request { intent, tag: Tag { asked, ack: packet.ack } })
        }
        Ok(None) => Meaning::Nothing,
        Err(refusal) => Meaning::Wrong(refusal),
    }
}

fn read(
    packet: &Packet,
    manners: &NeoManners,
    host: Option<&str>,
) -> Result<Option<(Asked, Intent)>, Refusal> {
    let host = || host.map(str::to_owned);
    let run = |asked, command| Ok(Some((asked, Intent::Run(command))));
    match packet.channel.as_str() {
        "authenticate" => {
            let token = Argument::of(packet)?.text("token")?;
            Ok(Some((Asked::Authenticate, Intent::Identify(Credentials::Token(token)))))
        }
        "disconnect" => Ok(Some((Asked::Disconnect, Intent::Forget))),
        "join_conversation" => {
            let id = Argument::of(packet)?.conversation()?;
            run(Asked::JoinConversation(id), Command::JoinConversation(id))
        }
        "leave_conversation" => {
            let id = Argument::of(packet)?.conversation()?;
            run(Asked::LeaveConversation(id), Command::LeaveConversation(id))
        }
        "join_circle" => {
            let id = Argument::of(packet)?.circle()?;
            run(Asked::JoinCircle(id), Command::JoinCircle(id))
        }
        "leave_circle" => {
            let id = Argument::of(packet)?.circle()?;
            run(Asked::LeaveCircle(id), Command::LeaveCircle(id))
        }
        "message" => message(&Argument::of(packet)?, manners).map(Some),
        "writing" => {
            let argument = Argument::of(packet)?;
            let command = Command::SetTyping {
                conversation: argument.conversation()?,
                typing: argument.truth("is_writing")?,
                dialect: Dialect::Neo,
            };
            run(Asked::Writing, command)
        }
        "webrtc_credentials" => run(Asked::Credentials, Command::TurnCredentials),
        "webrtc_stun_info" => run(Asked::Servers, Command::StunServers { host: host() }),
        "webrtc_turn_info" => run(Asked::Servers, Command::TurnServers { host: host() }),
        "webrtc_forward" => run(Asked::Forward, forward(&Argument::of(packet)?)?),
        "sync" => {
            let argument = Argument::of(packet)?;
            let since = argument.optional("since")?.map_or(Ok(0), |v| whole(v, "since"))?;
            let command = Command::Sync {
                conversation: argument.conversation()?,
                since: Revision::new(since),
                limit: argument.limit()?,
            };
            run(Asked::Sync, command)
        }
        "history" => {
            let argument = Argument::of(packet)?;
            let before = argument.optional("before")?.map(|v| whole(v, "before")).transpose()?;
            let command = Command::ReadHistory {
                conversation: argument.conversation()?,
                before: before.map(Seq::new),
                limit: argument.limit()?,
            };
            run(Asked::History, command)
        }
        "read" => {
            let argument = Argument::of(packet)?;
            let conversation = argument.conversation()?;
            let seq = Seq::new(argument.id("seq")?);
            run(Asked::Read(conversation), Command::MarkRead { conversation, seq })
        }
        "webrtc_ice_servers" => {
            let command = CallCommand::IceServers { host: host() };
            run(Asked::IceServers, Command::Calls(command))
        }
        "webrtc_call" => {
            let command = calls::call(&Argument::of(packet)?)?;
            run(Asked::Call, Command::Calls(command))
        }
        // Stubs of the original: what it knew is accepted in silence, like everything nobody
        // listens to.
        "webrtc_join_room" => calls::join(packet, host()),
        "webrtc_leave_room" => Ok(calls::leave(packet)),
        "webrtc_room_forward" => calls::forward(packet),
        _ => Ok(None),
    }
}

fn message(argument: &Argument<'_>, manners: &NeoManners) -> Result<(Asked, Intent), Refusal> {
    let conversation = argument.conversation()?;
    let text = match argument.optional("text_message")? {
        None => Text::default(),
        Some(raw) => {
            let text = json::string(raw).ok_or_else(|| mistyped("text_message", "a text"))?;
            Text::new(text, manners.max_text_chars)
                .map_err(|error| Refusal::malformed(error.to_string()))?
        }
    };
    let files = match argument.optional("files")? {
        None => None,
        Some(raw) => {
            let most = manners.files_per_message;
            let files =
                json::list(raw, most).ok_or_else(|| mistyped("files", "a list of names"))?;
            if files.len() > most {
                return Err(Refusal::malformed(format!(
                    "a message may have at most {most} files (limits.files_per_message)"
                )));
            }
            Some(files.into_iter().map(file_name).collect::<Vec<_>>())
        }
    };
    let reference = match argument.optional("client_ref")? {
        None => None,
        Some(raw) => Some(
            json::string(raw)
                .and_then(ClientRef::new)
                .ok_or_else(|| mistyped("client_ref", "a text of 1 to 64 characters"))?,
        ),
    };
    let asked = Asked::Message { files: files.is_some() };
    let files = files.unwrap_or_default();
    let draft = Draft { files, reference, ..Draft::words(conversation, text, Dialect::Neo) };
    Ok((asked, Intent::Run(Command::PostMessage(draft))))
}

/// The announced name of a file; what is not a text is taken as it is written (NEO 6.5).
fn file_name(raw: &RawValue) -> String {
    json::string(raw).unwrap_or_else(|| raw.get().to_owned())
}

fn forward(argument: &Argument<'_>) -> Result<Command, Refusal> {
    let target = if let Some(email) = argument.optional("email")? {
        Target::Email(json::string(email).ok_or_else(|| mistyped("email", "a text"))?)
    } else if let Some(id) = argument.optional("user_id")? {
        Target::User(UserId::new(number(id, "user_id")?))
    } else if let Some(id) = argument.optional("device_id")? {
        Target::Device(DeviceId::new(number(id, "device_id")?))
    } else {
        return Err(Refusal::malformed("name a target by email, user_id or device_id"));
    };
    let content = argument.whole.shared();
    if content.get().len() > SIGNAL_BYTES {
        return Err(Refusal::malformed("a forwarded object may have at most 65536 bytes"));
    }
    Ok(Command::ForwardSignal { target, content })
}

/// The one argument of an event.
pub(super) struct Argument<'a> {
    /// Exactly as it was sent.
    whole: &'a Json,
    keys: Object<'a>,
}

impl<'a> Argument<'a> {
    pub(super) fn of(packet: &'a Packet) -> Result<Self, Refusal> {
        match &packet.data {
            Data::Json(whole) => match Object::read(whole.get(), &KEYS) {
                Some(keys) => Ok(Self { whole, keys }),
                None => Err(Refusal::malformed("the argument must be an object")),
            },
            Data::Missing => Err(Refusal::malformed("the argument is missing")),
            Data::Binary => Err(Refusal::malformed("the argument must be JSON, not bytes")),
            Data::Unreadable => Err(Refusal::malformed("the argument cannot be read")),
            Data::TooLarge => {
                Err(Refusal::malformed("the event is too large (limits.event_bytes)"))
            }
        }
    }

    /// A key's value; `null` counts as absent.
    #[expect(clippy::unnecessary_wraps, reason = "reads like its siblings at the call")]
    pub(super) fn optional(&self, key: &'static str) -> Result<Option<&'a RawValue>, Refusal> {
        debug_assert!(KEYS.contains(&key), "{key} is not declared");
        Ok(self.keys.get(key).filter(|raw| !json::is_null(raw)))
    }

    pub(super) fn required(&self, key: &'static str) -> Result<&'a RawValue, Refusal> {
        self.optional(key)?.ok_or_else(|| Refusal::malformed(format!("the key {key} is missing")))
    }

    pub(super) fn text(&self, key: &'static str) -> Result<String, Refusal> {
        json::string(self.required(key)?).ok_or_else(|| mistyped(key, "a text"))
    }

    pub(super) fn id(&self, key: &'static str) -> Result<i64, Refusal> {
        number(self.required(key)?, key)
    }

    pub(super) fn conversation(&self) -> Result<ConversationId, Refusal> {
        self.id("conversation_id").map(ConversationId::new)
    }

    fn circle(&self) -> Result<CircleId, Refusal> {
        self.id("circle_id").map(CircleId::new)
    }

    fn limit(&self) -> Result<Option<u32>, Refusal> {
        let Some(value) = self.optional("limit")? else { return Ok(None) };
        let limit = number(value, "limit")?;
        Ok(Some(u32::try_from(limit).unwrap_or(u32::MAX)))
    }

    /// A boolean, or one of the texts that an old server made of them.
    fn truth(&self, key: &'static str) -> Result<bool, Refusal> {
        let raw = self.required(key)?;
        let truth = json::boolean(raw).or_else(|| match json::string(raw)?.as_str() {
            "True" | "true" => Some(true),
            "False" | "false" => Some(false),
            _ => None,
        });
        truth.ok_or_else(|| mistyped(key, "true or false"))
    }
}

pub(super) fn mistyped(key: &str, wanted: &str) -> Refusal {
    Refusal::malformed(format!("the key {key} must be {wanted}"))
}

/// An id: a positive integer below 2^53, or its digits in a text.
pub(super) fn number(raw: &RawValue, key: &str) -> Result<i64, Refusal> {
    whole(raw, key)
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| mistyped(key, "a positive integer"))
}

/// An integer from zero on, below 2^53, or its digits in a text.
fn whole(raw: &RawValue, key: &str) -> Result<i64, Refusal> {
    let digits = |text: &String| text.len() <= 16 && text.bytes().all(|b| b.is_ascii_digit());
    let written = || json::string(raw).filter(digits)?.parse().ok();
    let read = json::integer(raw).or_else(written);
    read.filter(|number| (0..1 << 53).contains(number))
        .ok_or_else(|| mistyped(key, "an integer from 0 on"))
}
