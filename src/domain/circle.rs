//! Circles: people around one device.

use super::{CircleId, CircleLinkId, DeviceId, InviteId, Timestamp, UserId};

/// People around one device; owns conversations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle {
    /// Which it is.
    pub id: CircleId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Its device, if it has one.
    pub device: Option<DeviceId>,
}

/// What a member of a circle may do (NEO 1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// Made the circle.
    Regular,
    /// Joined by invitation.
    Member,
    /// Obtained a device for it.
    Admin,
}

impl Privilege {
    /// How the wire and the table spell it (`MEMBRE` is the original's spelling).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Regular => "REGULAR",
            Self::Member => "MEMBRE",
            Self::Admin => "ADMIN",
        }
    }

    /// Reads the spelling of the table.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Regular, Self::Member, Self::Admin].into_iter().find(|p| p.as_str() == text)
    }
}

/// A user's place in a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircleLink {
    /// Its own number.
    pub id: CircleLinkId,
    /// Who.
    pub user: UserId,
    /// Where.
    pub circle: CircleId,
    /// With which rights.
    pub privilege: Privilege,
    /// Has an `ADMIN`'s rights whatever the privilege says, for having kept the circle
    /// while it had none.
    pub keeper: bool,
    /// Since when.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// An invitation into a circle; it exists while it is pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Its own number.
    pub id: InviteId,
    /// Who is invited.
    pub user: UserId,
    /// Where to.
    pub circle: CircleId,
    /// Since when.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}
