//! The facts that decisions about a conversation rest on.
//!
//! The store collects them and may keep them for a while; nothing here asks for anything.

use crate::domain::{Access, Conversation, Kind, LinkId, Principal, Refusal, Role};

/// A membership that lives, as far as decisions need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The membership's own number.
    pub link: LinkId,
    /// With which rights.
    pub role: Role,
}

/// How a principal stands to a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Who.
    pub principal: Principal,
    /// To what.
    pub conversation: Conversation,
    /// The user's living membership, if there is one; devices have none.
    pub seat: Option<Seat>,
    /// Whether the user may enter staff rooms.
    pub staff: bool,
    /// Whether the device is the one of the conversation's circle.
    pub own_circle: bool,
}

impl Standing {
    /// Whether the conversation is open to this principal as far as `access` goes.
    pub const fn access_allows(&self) -> bool {
        match self.conversation.access {
            Access::Members | Access::Open => true,
            Access::Staff => self.staff,
        }
    }

    /// Whether the principal takes part right now: reads, hears and writes.
    pub const fn takes_part(&self) -> bool {
        match self.principal {
            Principal::User(_) => self.seat.is_some() && self.access_allows(),
            Principal::Device(_) => self.own_circle && self.conversation.device_access,
        }
    }

    /// Whether the principal is a user who takes part as the conversation's administrator.
    pub fn administers(&self) -> bool {
        self.takes_part() && self.seat.is_some_and(|seat| seat.role == Role::Admin)
    }

    /// Refuses who does not take part.
    pub(super) fn require_part(&self) -> Result<(), Refusal> {
        if self.takes_part() {
            return Ok(());
        }
        Err(Refusal::forbidden(match self.principal {
            Principal::User(_) if self.access_allows() => {
                "you are not a member of this conversation"
            }
            Principal::User(_) => "this room is for staff",
            Principal::Device(_) => "the device does not take part in this conversation",
        }))
    }

    /// Refuses where members do not govern: direct conversations and rooms.
    pub(super) fn require_group(&self) -> Result<(), Refusal> {
        match self.conversation.kind {
            Kind::Group => Ok(()),
            Kind::Direct => Err(Refusal::forbidden("a direct conversation cannot be changed")),
            Kind::Room => Err(Refusal::forbidden("a room is changed by its keepers only")),
        }
    }

    /// Refuses who does not administer the group.
    pub(super) fn require_administration(&self) -> Result<(), Refusal> {
        self.require_part()?;
        self.require_group()?;
        if self.administers() {
            return Ok(());
        }
        Err(Refusal::forbidden("only an administrator of this conversation may do that"))
    }
}

/// Facts for the tables of this folder's tests.
#[cfg(test)]
pub(super) mod facts {
    use super::{Seat, Standing};
    use crate::domain::{
        Access, CircleId, Conversation, ConversationId, DeviceId, Kind, LinkId, Principal, Role,
        Timestamp, UserId,
    };

    pub(in crate::policy) const ANN: UserId = UserId::new(1);
    pub(in crate::policy) const BOB: UserId = UserId::new(2);
    pub(in crate::policy) const BOX: DeviceId = DeviceId::new(1);
    pub(in crate::policy) const HOME: CircleId = CircleId::new(9);

    pub(in crate::policy) fn group() -> Conversation {
        Conversation {
            id: ConversationId::new(3),
            kind: Kind::Group,
            access: Access::Members,
            title: "Conversation".into(),
            description: String::new(),
            circle: Some(HOME),
            device_access: false,
            shown: true,
            pair: None,
            creator: None,
            created: Timestamp::default(),
            updated: Timestamp::default(),
        }
    }

    pub(in crate::policy) fn room(access: Access) -> Conversation {
        Conversation { kind: Kind::Room, access, circle: None, ..group() }
    }

    pub(in crate::policy) fn pair() -> Conversation {
        Conversation { kind: Kind::Direct, circle: None, pair: Some((ANN, BOB)), ..group() }
    }

    pub(in crate::policy) fn with_device(conversation: Conversation) -> Conversation {
        Conversation { device_access: true, ..conversation }
    }

    fn ann(conversation: Conversation, seat: Option<Seat>) -> Standing {
        let principal = Principal::User(ANN);
        Standing { principal, conversation, seat, staff: false, own_circle: false }
    }

    pub(in crate::policy) fn outsider(conversation: Conversation) -> Standing {
        ann(conversation, None)
    }

    pub(in crate::policy) fn member(conversation: Conversation) -> Standing {
        ann(conversation, Some(Seat { link: LinkId::new(7), role: Role::Standard }))
    }

    pub(in crate::policy) fn admin(conversation: Conversation) -> Standing {
        ann(conversation, Some(Seat { link: LinkId::new(7), role: Role::Admin }))
    }

    pub(in crate::policy) fn staff(standing: Standing) -> Standing {
        Standing { staff: true, ..standing }
    }

    pub(in crate::policy) fn device(conversation: Conversation, own_circle: bool) -> Standing {
        let principal = Principal::Device(BOX);
        Standing { principal, conversation, seat: None, staff: false, own_circle }
    }
}

#[cfg(test)]
mod tests {
    use super::facts::*;
    use crate::domain::Access;

    #[test]
    fn who_takes_part_is_a_member_with_access_or_the_circle_s_device_with_access() {
        let table = [
            (outsider(group()), false),
            (member(group()), true),
            (admin(group()), true),
            (outsider(room(Access::Open)), false),
            (member(room(Access::Open)), true),
            (member(room(Access::Staff)), false),
            (staff(member(room(Access::Staff))), true),
            (staff(outsider(room(Access::Staff))), false),
            (member(pair()), true),
            (device(group(), true), false),
            (device(with_device(group()), true), true),
            (device(with_device(group()), false), false),
        ];
        for (standing, verdict) in table {
            assert_eq!(standing.takes_part(), verdict, "{standing:?}");
        }
    }
}
