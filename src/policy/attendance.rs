//! Who may hear and read a conversation, and who may walk into a room.

use super::Standing;
use crate::domain::{ConversationId, Kind, LinkId, Principal, Refusal, UserId};

permit! {
    /// Proof that its holder may listen to a conversation.
    MayJoin {
        /// What may be listened to.
        conversation: ConversationId,
    }
}

permit! {
    /// Proof that a user without a membership may be given one in a room.
    MayEnter {
        /// Who walks in.
        user: UserId,
        /// Where.
        room: ConversationId,
    }
}

permit! {
    /// Proof that its holder may read a conversation's history and mark it as read.
    MayRead {
        /// Who reads.
        reader: Principal,
        /// What is read.
        conversation: ConversationId,
        /// The reader's membership; none for devices, which have no cursor.
        link: Option<LinkId>,
        /// What kind of conversation it is.
        kind: Kind,
        /// Whose messages are not for the reader to mark: their own, unless they are alone.
        skipped: Option<Principal>,
    }
}

/// Who takes part listens.
pub fn may_join(standing: &Standing) -> Result<MayJoin, Refusal> {
    standing.require_part()?;
    Ok(MayJoin { conversation: standing.conversation.id })
}

/// Users walk into rooms that are open to them; nobody walks into anything else.
pub fn may_enter(standing: &Standing) -> Result<MayEnter, Refusal> {
    match (standing.principal, standing.conversation.kind) {
        (Principal::User(user), Kind::Room) if standing.access_allows() => {
            Ok(MayEnter { user, room: standing.conversation.id })
        }
        (Principal::User(_), Kind::Room) => Err(Refusal::forbidden("this room is for staff")),
        (Principal::User(_), _) => {
            Err(Refusal::forbidden("you are not a member of this conversation"))
        }
        (Principal::Device(_), _) => {
            Err(Refusal::forbidden("the device does not take part in this conversation"))
        }
    }
}

/// Whether it is a dialog with oneself.
fn is_alone(standing: &Standing) -> bool {
    standing.conversation.pair.is_some_and(|(low, high)| low == high)
}

/// Who takes part reads.
pub fn may_read(standing: &Standing) -> Result<MayRead, Refusal> {
    standing.require_part()?;
    Ok(MayRead {
        reader: standing.principal,
        conversation: standing.conversation.id,
        link: standing.seat.map(|seat| seat.link),
        kind: standing.conversation.kind,
        skipped: Some(standing.principal).filter(|_| !is_alone(standing)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::standing::facts::*;
    use super::*;
    use crate::domain::{Access, RefusalKind};

    #[test]
    fn hearing_and_reading_are_for_those_who_take_part() {
        let table = [
            (outsider(group()), false),
            (member(group()), true),
            (member(pair()), true),
            (outsider(room(Access::Open)), false),
            (member(room(Access::Open)), true),
            (member(room(Access::Staff)), false),
            (staff(member(room(Access::Staff))), true),
            (device(group(), true), false),
            (device(with_device(group()), true), true),
            (device(with_device(group()), false), false),
        ];
        for (standing, verdict) in table {
            assert_eq!(may_join(&standing).is_ok(), verdict, "{standing:?}");
            assert_eq!(may_read(&standing).is_ok(), verdict, "{standing:?}");
        }
    }

    #[test]
    fn a_room_is_walked_into_as_its_access_allows() {
        let table = [
            (outsider(room(Access::Open)), true),
            (outsider(room(Access::Staff)), false),
            (staff(outsider(room(Access::Staff))), true),
            (outsider(group()), false),
            (outsider(pair()), false),
            (device(room(Access::Open), false), false),
        ];
        for (standing, verdict) in table {
            let result = may_enter(&standing);
            assert_eq!(result.is_ok(), verdict, "{standing:?}");
            if let Err(refusal) = result {
                assert_eq!(refusal.kind(), RefusalKind::Forbidden);
            }
        }
    }
}
