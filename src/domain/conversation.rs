//! Conversations, and who belongs to them.

use super::{CircleId, ConversationId, LinkId, Place, Principal, Seq, Timestamp, UserId};

/// The kinds of conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two people (or one with oneself); unique per pair over all dialects.
    Direct,
    /// Several people who were invited.
    Group,
    /// A room that anybody may enter whom its access lets in.
    Room,
}

/// Who may enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Members.
    Members,
    /// Everybody.
    Open,
    /// Staff.
    Staff,
}

/// Whatever messages are posted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Which it is.
    pub id: ConversationId,
    /// What kind.
    pub kind: Kind,
    /// Who may enter.
    pub access: Access,
    /// Its name for people.
    pub title: String,
    /// A longer description, perhaps empty.
    pub description: String,
    /// The circle that owns it, if one does.
    pub circle: Option<CircleId>,
    /// Whether the circle's device takes part.
    pub device_access: bool,
    /// The two ends of a direct conversation, the lower id first.
    pub pair: Option<(UserId, UserId)>,
    /// Whether it has come into being: a direct conversation does with its first message.
    pub shown: bool,
    /// Who made it.
    pub creator: Option<Principal>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

impl Conversation {
    /// The other end of a direct conversation; oneself in a dialog with oneself.
    pub fn other_end(&self, user: UserId) -> Option<UserId> {
        self.pair.map(|(low, high)| if user == low { high } else { low })
    }
}

/// A member's rights in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads and writes.
    Standard,
    /// Also invites, promotes, kicks and renames.
    Admin,
}

impl Role {
    /// How the NEO wire spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::Admin => "ADMIN",
        }
    }
}

/// A user's lasting place in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Its own number, which messages keep naming when it has ended.
    pub link: LinkId,
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub user: UserId,
    /// With which rights.
    pub role: Role,
    /// Since when.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Everything shown up to here was seen.
    pub read: Place,
    /// The same as a place within the conversation.
    pub read_seq: Seq,
    /// When the read cursor last moved.
    pub read_at: Option<Timestamp>,
    /// Everything shown up to here was delivered.
    pub delivered: Place,
}
