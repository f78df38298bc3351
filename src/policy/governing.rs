//! Who may begin a conversation, and change one or who belongs to it.
//!
//! Only groups are governed by their members: direct conversations never change, and
//! rooms are kept by staff and by the operator.

use super::{Seat, Standing};
use crate::domain::{CircleId, ConversationId, LinkId, Principal, Refusal, UserId};

/// Two who begin a group in a circle, and whether they belong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Who writes first.
    pub starter: Principal,
    /// To whom.
    pub other: Principal,
    /// Where.
    pub circle: CircleId,
    /// Whether the first is in the circle.
    pub starter_inside: bool,
    /// Whether the second is.
    pub other_inside: bool,
}

/// Somebody who is to become a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invitee {
    /// Who.
    pub user: UserId,
    /// Whether they are a member already.
    pub member: bool,
    /// Whether they are in the conversation's circle; of no matter where there is none.
    pub in_circle: bool,
}

permit! {
    /// Proof that a group may be begun.
    MayStart {
        /// Who begins what.
        beginning: Beginning,
    }
}

permit! {
    /// Proof that `invitee` may be made a member.
    MayInvite {
        /// Who invites.
        by: Principal,
        /// Where.
        conversation: ConversationId,
        /// Which circle owns it.
        circle: Option<CircleId>,
        /// Who becomes a member.
        invitee: UserId,
    }
}

permit! {
    /// Proof that `by` may hand the administration over.
    MayPromote {
        /// Where.
        conversation: ConversationId,
        /// Who hands over.
        promoter: Principal,
        /// The membership that hands over.
        by: LinkId,
        /// Who takes over.
        user: UserId,
        /// The membership that takes over.
        link: LinkId,
    }
}

permit! {
    /// Proof that a member may be put out.
    MayKick {
        /// Where.
        conversation: ConversationId,
        /// By whom.
        by: Principal,
        /// Who is put out.
        user: UserId,
        /// The membership that ends.
        link: LinkId,
    }
}

permit! {
    /// Proof that a member may leave.
    MayQuit {
        /// Where.
        conversation: ConversationId,
        /// Who leaves.
        user: UserId,
        /// The membership that ends.
        link: LinkId,
    }
}

permit! {
    /// Proof that a conversation's title may be changed.
    MayRename {
        /// Who renames.
        by: Principal,
        /// What gets another title.
        conversation: ConversationId,
    }
}

permit! {
    /// Proof that the circle's device may be let in or out.
    MaySetDevice {
        /// Who lets it in or out.
        by: Principal,
        /// Where.
        conversation: ConversationId,
        /// In or out.
        on: bool,
    }
}

/// Proof that its holder may add, change and remove rooms.
#[derive(Debug)]
pub struct MayKeepRooms(Option<UserId>);

/// Two different members of a circle begin a group there.
pub fn may_start(beginning: Beginning) -> Result<MayStart, Refusal> {
    if beginning.starter == beginning.other {
        return Err(Refusal::malformed("a conversation is begun with somebody else"));
    }
    if !beginning.starter_inside {
        return Err(Refusal::forbidden("you are not in this circle"));
    }
    if !beginning.other_inside {
        return Err(Refusal::forbidden("the person you write to is not in this circle"));
    }
    Ok(MayStart { beginning })
}

/// Whoever takes part in a group invites others of its circle, or anybody if it has none.
pub fn may_invite(standing: &Standing, invitee: Invitee) -> Result<MayInvite, Refusal> {
    standing.require_part()?;
    standing.require_group()?;
    if invitee.member {
        return Err(Refusal::conflict("this person is in the conversation already"));
    }
    if standing.conversation.circle.is_some() && !invitee.in_circle {
        return Err(Refusal::forbidden("this person is not in the conversation's circle"));
    }
    Ok(MayInvite {
        by: standing.principal,
        conversation: standing.conversation.id,
        circle: standing.conversation.circle,
        invitee: invitee.user,
    })
}

/// An administrator hands the administration to another member.
pub fn may_promote(
    standing: &Standing,
    user: UserId,
    seat: Option<Seat>,
) -> Result<MayPromote, Refusal> {
    let (by, seat) = require_other_member(standing, user, seat)?;
    let conversation = standing.conversation.id;
    let promoter = standing.principal;
    Ok(MayPromote { conversation, promoter, by: by.link, user, link: seat.link })
}

/// An administrator puts another member out.
pub fn may_kick(standing: &Standing, user: UserId, seat: Option<Seat>) -> Result<MayKick, Refusal> {
    let (_, seat) = require_other_member(standing, user, seat)?;
    let conversation = standing.conversation.id;
    Ok(MayKick { conversation, by: standing.principal, user, link: seat.link })
}

/// The order of the checks is that of the answers a client tells apart.
fn require_other_member(
    standing: &Standing,
    user: UserId,
    seat: Option<Seat>,
) -> Result<(Seat, Seat), Refusal> {
    standing.require_part()?;
    standing.require_group()?;
    if standing.principal == Principal::User(user) {
        return Err(Refusal::malformed("this cannot be done to oneself"));
    }
    let seat =
        seat.ok_or_else(|| Refusal::forbidden("this person is not a member of the conversation"))?;
    standing.require_administration()?;
    let own = standing.seat.ok_or_else(|| {
        Refusal::forbidden("only an administrator of this conversation may do that")
    })?;
    Ok((own, seat))
}

/// Members leave groups and rooms; a direct conversation cannot be left.
///
/// A room may be left also by those who have lost access to it.
pub fn may_quit(standing: &Standing) -> Result<MayQuit, Refusal> {
    let (Principal::User(user), Some(seat)) = (standing.principal, standing.seat) else {
        return Err(Refusal::forbidden("you are not a member of this conversation"));
    };
    if standing.conversation.pair.is_some() {
        return Err(Refusal::forbidden("a direct conversation cannot be left"));
    }
    Ok(MayQuit { conversation: standing.conversation.id, user, link: seat.link })
}

/// Administrators rename groups, and so does a device that takes part.
pub fn may_rename(standing: &Standing) -> Result<MayRename, Refusal> {
    match standing.principal {
        Principal::User(_) => standing.require_administration()?,
        Principal::Device(_) => {
            standing.require_part()?;
            standing.require_group()?;
        }
    }
    Ok(MayRename { by: standing.principal, conversation: standing.conversation.id })
}

/// Administrators let the device in and out; a device lets itself out only.
pub fn may_set_device(standing: &Standing, on: bool) -> Result<MaySetDevice, Refusal> {
    match standing.principal {
        Principal::User(_) => standing.require_administration()?,
        Principal::Device(_) => standing.require_part()?,
    }
    if standing.conversation.circle.is_none() {
        return Err(Refusal::forbidden("this conversation belongs to no circle"));
    }
    Ok(MaySetDevice { by: standing.principal, conversation: standing.conversation.id, on })
}

/// Staff keeps rooms.
pub fn may_keep_rooms(user: UserId, staff: bool) -> Result<MayKeepRooms, Refusal> {
    if !staff {
        return Err(Refusal::forbidden("rooms are kept by staff"));
    }
    Ok(MayKeepRooms(Some(user)))
}

impl MayKeepRooms {
    /// The operator at the command line owns the machine and needs nobody's leave.
    pub const fn operator() -> Self {
        Self(None)
    }

    /// Who keeps them; none for the operator.
    pub const fn user(&self) -> Option<UserId> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::standing::facts::*;
    use super::*;
    use crate::domain::{Access, Conversation, DeviceId, RefusalKind, Role};

    fn verdict<T>(result: Result<T, Refusal>) -> Option<RefusalKind> {
        result.err().map(|refusal| refusal.kind())
    }

    const OK: Option<RefusalKind> = None;
    const FORBIDDEN: Option<RefusalKind> = Some(RefusalKind::Forbidden);
    const MALFORMED: Option<RefusalKind> = Some(RefusalKind::Malformed);
    const CONFLICT: Option<RefusalKind> = Some(RefusalKind::Conflict);
    const SEAT: Seat = Seat { link: LinkId::new(8), role: Role::Standard };

    fn courier_group() -> Conversation {
        Conversation { circle: None, ..group() }
    }

    #[test]
    fn two_members_of_a_circle_begin_a_conversation() {
        let ann = Principal::User(ANN);
        let bob = Principal::User(BOB);
        let table = [
            (ann, true, bob, true, OK),
            (ann, true, ann, true, MALFORMED),
            (ann, false, bob, true, FORBIDDEN),
            (ann, true, bob, false, FORBIDDEN),
            (Principal::Device(BOX), true, bob, true, OK),
            (ann, true, Principal::Device(BOX), true, OK),
            (ann, true, Principal::Device(DeviceId::new(4)), false, FORBIDDEN),
        ];
        for (starter, starter_inside, other, other_inside, expected) in table {
            let beginning =
                Beginning { starter, other, circle: HOME, starter_inside, other_inside };
            assert_eq!(verdict(may_start(beginning)), expected, "{beginning:?}");
        }
    }

    #[test]
    fn members_invite_from_the_circle() {
        let new = Invitee { user: BOB, member: false, in_circle: true };
        let stranger = Invitee { in_circle: false, ..new };
        let present = Invitee { member: true, ..new };
        let table = [
            (member(group()), new, OK),
            (admin(group()), new, OK),
            (outsider(group()), new, FORBIDDEN),
            (member(group()), stranger, FORBIDDEN),
            (member(group()), present, CONFLICT),
            (member(courier_group()), stranger, OK),
            (member(courier_group()), present, CONFLICT),
            (member(pair()), new, FORBIDDEN),
            (member(room(Access::Open)), new, FORBIDDEN),
            (staff(member(room(Access::Staff))), new, FORBIDDEN),
            (device(with_device(group()), true), new, OK),
            (device(group(), true), new, FORBIDDEN),
            (device(with_device(group()), false), new, FORBIDDEN),
        ];
        for (standing, invitee, expected) in table {
            assert_eq!(
                verdict(may_invite(&standing, invitee)),
                expected,
                "{standing:?} {invitee:?}"
            );
        }
    }

    #[test]
    fn administrators_promote_and_kick_other_members() {
        let table = [
            (admin(group()), BOB, Some(SEAT), OK),
            (member(group()), BOB, Some(SEAT), FORBIDDEN),
            (outsider(group()), BOB, Some(SEAT), FORBIDDEN),
            (admin(group()), BOB, None, FORBIDDEN),
            (admin(group()), ANN, Some(SEAT), MALFORMED),
            (admin(courier_group()), BOB, Some(SEAT), OK),
            (member(pair()), BOB, Some(SEAT), FORBIDDEN),
            (member(pair()), ANN, Some(SEAT), FORBIDDEN),
            (member(room(Access::Open)), BOB, Some(SEAT), FORBIDDEN),
            (staff(member(room(Access::Open))), BOB, Some(SEAT), FORBIDDEN),
            (device(with_device(group()), true), BOB, Some(SEAT), FORBIDDEN),
        ];
        for (standing, user, seat, expected) in table {
            let case = (&standing, user, seat);
            assert_eq!(verdict(may_promote(&standing, user, seat)), expected, "{case:?}");
            assert_eq!(verdict(may_kick(&standing, user, seat)), expected, "{case:?}");
        }
    }

    #[test]
    fn members_quit_groups_and_rooms() {
        let table = [
            (member(group()), OK),
            (admin(group()), OK),
            (outsider(group()), FORBIDDEN),
            (member(pair()), FORBIDDEN),
            (member(room(Access::Open)), OK),
            (member(room(Access::Staff)), OK),
            (outsider(room(Access::Open)), FORBIDDEN),
            (device(with_device(group()), true), FORBIDDEN),
        ];
        for (standing, expected) in table {
            assert_eq!(verdict(may_quit(&standing)), expected, "{standing:?}");
        }
    }

    #[test]
    fn administrators_rename_groups_and_so_does_their_device() {
        let table = [
            (admin(group()), OK),
            (member(group()), FORBIDDEN),
            (outsider(group()), FORBIDDEN),
            (admin(courier_group()), OK),
            (member(pair()), FORBIDDEN),
            (member(room(Access::Open)), FORBIDDEN),
            (device(with_device(group()), true), OK),
            (device(group(), true), FORBIDDEN),
        ];
        for (standing, expected) in table {
            assert_eq!(verdict(may_rename(&standing)), expected, "{standing:?}");
        }
    }

    #[test]
    fn administrators_let_the_device_in_and_out() {
        let inside = device(with_device(group()), true);
        let table = [
            (admin(group()), true, OK),
            (admin(group()), false, OK),
            (member(group()), true, FORBIDDEN),
            (admin(courier_group()), true, FORBIDDEN),
            (member(pair()), true, FORBIDDEN),
            (member(room(Access::Open)), true, FORBIDDEN),
            (inside, false, OK),
            (device(group(), true), true, FORBIDDEN),
            (device(with_device(group()), false), false, FORBIDDEN),
        ];
        for (standing, on, expected) in table {
            assert_eq!(verdict(may_set_device(&standing, on)), expected, "{on} {standing:?}");
        }
    }

    #[test]
    fn rooms_are_kept_by_staff() {
        assert_eq!(verdict(may_keep_rooms(ANN, true)), OK);
        assert_eq!(verdict(may_keep_rooms(ANN, false)), FORBIDDEN);
    }
}
