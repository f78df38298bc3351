//! One section for each dialect.

use std::num::{NonZeroU32, NonZeroUsize};

use serde::de::{Deserializer, Error as _, Unexpected};
use serde::{Deserialize, Serialize};

use super::origins::Origins;
use super::values::{Listen, Networks, Seconds, WebAddress};

/// A frame of one mebibyte, the limit of most dialects.
const MEBIBYTE: NonZeroUsize = NonZeroUsize::new(1 << 20).unwrap();

/// Socket.IO and its HTTP API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NeoSettings {
    /// Commands a second that are carried out for one connection; what is more waits.
    pub events_per_second: NonZeroU32,
    /// Commands that are carried out at once.
    pub events_burst: NonZeroU32,
    /// Longest list of messages in an answer.
    pub list_max: NonZeroUsize,
    /// Whether `/device/buy` is open.
    pub device_purchase: bool,
    /// Seconds between pings.
    pub ping_interval: Seconds,
    /// Seconds to wait for the other side of a ping.
    pub ping_timeout: Seconds,
}

impl Default for NeoSettings {
    fn default() -> Self {
        Self {
            events_per_second: const { NonZeroU32::new(100).unwrap() },
            events_burst: const { NonZeroU32::new(500).unwrap() },
            list_max: const { NonZeroUsize::new(10_000).unwrap() },
            device_purchase: false,
            ping_interval: Seconds::new(25),
            ping_timeout: Seconds::new(60),
        }
    }
}

/// The dialect of letters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CourierSettings {
    /// Whether it is spoken at all.
    pub enabled: bool,
    /// A port of its own; empty = only `/courier` on the main listener.
    pub listen: Listen,
    /// Whose bare user number is believed.
    pub trust_user_id: TrustUserId,
    /// With `trust_user_id = "always"`: peers whose bare number is believed; empty = any.
    pub trusted_networks: Networks,
    /// Origins of pages that may connect; empty = all, which is unwise with `trust_user_id =
    /// "always"`.
    pub allowed_origins: Origins,
    /// Seconds a client has to say who it is.
    pub auth_timeout: Seconds,
    /// Largest frame, in bytes.
    pub max_frame_bytes: NonZeroUsize,
    /// Whether waiting messages carry both sets of names.
    pub backlog_aliases: bool,
    /// What is waiting: what this dialect has not delivered, or no dialect has.
    pub backlog: Backlog,
    /// What counts as delivered.
    pub delivery_confirm: DeliveryConfirm,
    /// Who gets receipts.
    pub receipts: ReceiptsPolicy,
}

impl Default for CourierSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: Listen::everywhere(3128),
            trust_user_id: TrustUserId::Local,
            trusted_networks: Networks::default(),
            allowed_origins: Origins::default(),
            auth_timeout: Seconds::new(120),
            max_frame_bytes: MEBIBYTE,
            backlog_aliases: true,
            backlog: Backlog::PerDialect,
            delivery_confirm: DeliveryConfirm::Pong,
            receipts: ReceiptsPolicy::OptIn,
        }
    }
}

/// Whose bare user number is believed; `false` and `true` are read as `never` and `always`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustUserId {
    /// Nobody's.
    Never,
    /// That of programs on this machine.
    Local,
    /// Everybody's.
    Always,
}

impl<'de> Deserialize<'de> for TrustUserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Flag(bool),
            Word(String),
            Other(serde::de::IgnoredAny),
        }

        let refused = |found| D::Error::invalid_value(found, &"never, local or always");
        match Form::deserialize(deserializer)? {
            Form::Flag(false) => Ok(Self::Never),
            Form::Flag(true) => Ok(Self::Always),
            Form::Word(word) => match word.as_str() {
                "never" | "false" => Ok(Self::Never),
                "local" => Ok(Self::Local),
                "always" | "true" => Ok(Self::Always),
                _ => Err(refused(Unexpected::Str(&word))),
            },
            Form::Other(_) => Err(refused(Unexpected::Other("something else"))),
        }
    }
}

/// What is waiting for a courier client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backlog {
    /// What no courier connection has shown.
    PerDialect,
    /// What no connection of any dialect has shown.
    PerUser,
}

/// What counts as delivered to a courier client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryConfirm {
    /// What stood before a ping that was answered.
    Pong,
    /// What was written.
    Write,
}

/// Which courier clients get receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptsPolicy {
    /// Those that ask.
    OptIn,
    /// All.
    Always,
    /// None.
    Never,
}

/// The dialect of two people and a session key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrivateChatSettings {
    /// Whether it is spoken at all.
    pub enabled: bool,
    /// A port of its own; empty = only `/private-chat/` on the main listener.
    pub listen: Listen,
    /// WebSocket address that the page is told; empty = taken from its request.
    pub public_base: WebAddress,
    /// Pages that may connect, by origin; empty = any, for the key is the credential.
    pub allowed_origins: Origins,
    /// How dates look, in the letters of the dialect's page.
    pub datetime_format: String,
    /// The zone in which dates are given.
    pub time_zone: String,
    /// Whether a message to a stranger opens a dialog.
    pub auto_dialog: bool,
    /// Who hears that a user came or went.
    pub announce: Announce,
    /// Who is listed in `users-changed`.
    pub user_list: UserListPolicy,
    /// Whether mistakes are answered.
    pub errors: bool,
    /// Whether text is escaped for HTML.
    pub html: Html,
    /// Largest frame, in bytes.
    pub max_frame_bytes: NonZeroUsize,
}

impl Default for PrivateChatSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: Listen::everywhere(5002),
            public_base: WebAddress::default(),
            allowed_origins: Origins::default(),
            datetime_format: "d.m.Y H:i:s".to_owned(),
            time_zone: "UTC".to_owned(),
            auto_dialog: true,
            announce: Announce::Dialogs,
            user_list: UserListPolicy::All,
            errors: true,
            html: Html::Auto,
            max_frame_bytes: MEBIBYTE,
        }
    }
}

/// Who hears that a private-chat user came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Announce {
    /// Everybody who has a dialog with the user.
    Dialogs,
    /// Only sockets bound to the user.
    Bound,
}

/// Who is listed in `users-changed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserListPolicy {
    /// Everybody who is online.
    All,
    /// Those who have a dialog with the reader.
    Contacts,
    /// Nobody.
    Off,
}

/// Whether text is escaped for HTML on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Html {
    /// For browsers that run the old page.
    Auto,
    /// Never.
    Raw,
    /// Always.
    Escape,
}

/// The dialect of paying members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MembersChatSettings {
    /// Whether it is spoken at all.
    pub enabled: bool,
    /// Seconds a client has to say who it is.
    pub auth_timeout: Seconds,
    /// Largest file, in bytes.
    pub max_file_bytes: NonZeroUsize,
    /// Largest head of a file frame, in bytes.
    pub max_file_head_bytes: NonZeroUsize,
    /// Largest frame, in bytes; room for a file, its head and two bytes.
    pub max_frame_bytes: NonZeroUsize,
    /// Messages in a history.
    pub history_limit: usize,
    /// MIME types that may be sent; empty = all.
    pub allowed_file_types: Vec<String>,
    /// Coins a message costs, smiles apart.
    pub default_price: u32,
    /// Coins a new account has.
    pub initial_balance: u32,
    /// Whether what is shown in an open chat counts as seen.
    pub open_chat_means_seen: bool,
    /// Dialects in which messages cost coins.
    pub billed_dialects: Vec<BilledDialect>,
}

impl Default for MembersChatSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            auth_timeout: Seconds::new(120),
            max_file_bytes: const { NonZeroUsize::new(5_000_000).unwrap() },
            max_file_head_bytes: const { NonZeroUsize::new(65_536).unwrap() },
            max_frame_bytes: const { NonZeroUsize::new(16_777_216).unwrap() },
            history_limit: 1000,
            allowed_file_types: Vec::new(),
            default_price: 5,
            initial_balance: 0,
            open_chat_means_seen: false,
            billed_dialects: vec![BilledDialect::MembersChat],
        }
    }
}

/// A dialect in which messages can cost coins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BilledDialect {
    /// Socket.IO and its HTTP API.
    Neo,
    /// private-chat.
    PrivateChat,
    /// members-chat.
    MembersChat,
    /// multichat.
    Multichat,
    /// courier.
    Courier,
}

/// The dialect of many rooms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the dialect's page")]
pub struct MultichatSettings {
    /// Whether it is spoken at all.
    pub enabled: bool,
    /// Whether its page stands at `/`, in place of the web client.
    pub page_at_root: bool,
    /// Whether a room is told who enters and leaves.
    pub notify_enter_leave: bool,
    /// What enters and leaves.
    pub notify_per: NotifyPer,
    /// What becomes of a handshake without a login.
    pub anonymous: Anonymous,
    /// Messages shown on joining.
    pub replay_on_join: usize,
    /// Messages one request for older ones gives at most.
    pub history_max: usize,
    /// Seconds a lost connection's rooms are kept; 0 = not at all.
    pub resume_seconds: u32,
    /// Seconds an author may change a message; 0 = for ever.
    pub edit_window: u32,
    /// Whether old pages are told of edits by a message.
    pub page_edit_notice: bool,
    /// Whether messages carry the four original keys alone.
    pub plain: bool,
    /// Whether members' groups appear as rooms.
    pub show_groups: bool,
    /// Whether text is escaped for HTML.
    pub html: Html,
    /// Largest frame, in bytes.
    pub max_frame_bytes: NonZeroUsize,
    /// Rooms one connection may have joined.
    pub rooms_per_connection: NonZeroUsize,
}

impl Default for MultichatSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            page_at_root: false,
            notify_enter_leave: true,
            notify_per: NotifyPer::Connection,
            anonymous: Anonymous::Refuse,
            replay_on_join: 50,
            history_max: 200,
            resume_seconds: 30,
            edit_window: 0,
            page_edit_notice: false,
            plain: false,
            show_groups: true,
            html: Html::Auto,
            max_frame_bytes: MEBIBYTE,
            rooms_per_connection: const { NonZeroUsize::new(100).unwrap() },
        }
    }
}

/// What enters and leaves a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyPer {
    /// Each connection.
    Connection,
    /// A user, with the first and the last connection.
    User,
}

/// What becomes of a handshake without a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anonymous {
    /// It is refused.
    Refuse,
    /// It is let in and told so at each command.
    Accept,
}
