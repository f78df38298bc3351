//! Who may see and change circles, their devices, and accounts.
//!
//! A circle's keepers are its `ADMIN`s and whoever keeps it since it had none; they alone put
//! people out and rename the device.

use super::CircleSeat;
use crate::domain::{
    Circle, CircleId, CircleLinkId, DeviceId, Invite, InviteId, Principal, Privilege, Refusal,
    User, UserId,
};

/// How a principal stands to a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircleStanding {
    /// Who.
    pub principal: Principal,
    /// To what.
    pub circle: Circle,
    /// The user's membership, if there is one; devices have none.
    pub seat: Option<CircleSeat>,
}

impl CircleSeat {
    /// Whether its holder has an `ADMIN`'s rights.
    pub fn keeps(&self) -> bool {
        self.keeper || self.privilege == Privilege::Admin
    }
}

impl CircleStanding {
    /// Whether the principal belongs to the circle: a member, or its device.
    pub fn belongs(&self) -> bool {
        match self.principal {
            Principal::User(_) => self.seat.is_some(),
            Principal::Device(device) => self.circle.device == Some(device),
        }
    }

    /// Whether the principal is a user with an `ADMIN`'s rights.
    pub fn keeps(&self) -> bool {
        self.principal.user().is_some() && self.seat.is_some_and(|seat| seat.keeps())
    }

    fn require_belonging(&self) -> Result<(), Refusal> {
        if self.belongs() {
            return Ok(());
        }
        Err(Refusal::forbidden(match self.principal {
            Principal::User(_) => "you are not a member of this circle",
            Principal::Device(_) => "this is not the device's circle",
        }))
    }
}

permit! {
    /// Proof that a circle may be seen and listened to.
    MaySeeCircle {
        /// Which.
        circle: CircleId,
    }
}

permit! {
    /// Proof that a circle may be renamed.
    MayRenameCircle {
        /// Who renames it.
        by: Principal,
        /// Which.
        circle: CircleId,
    }
}

permit! {
    /// Proof that `user` may be invited.
    MayInviteToCircle {
        /// Who invites.
        by: Principal,
        /// Where to.
        circle: CircleId,
        /// Who.
        user: UserId,
    }
}

permit! {
    /// Proof that an invitation may be accepted or turned down.
    MayAnswerInvite {
        /// Which.
        invite: InviteId,
        /// Where to.
        circle: CircleId,
        /// By whom.
        user: UserId,
    }
}

permit! {
    /// Proof that a member may leave a circle.
    MayQuitCircle {
        /// Which.
        circle: CircleId,
        /// Who.
        user: UserId,
    }
}

permit! {
    /// Proof that a member may be put out of a circle.
    MayKickFromCircle {
        /// Which.
        circle: CircleId,
        /// By whom.
        by: UserId,
        /// Who.
        user: UserId,
    }
}

permit! {
    /// Proof that a device's name may be changed.
    MayRenameDevice {
        /// Who renames it.
        by: Principal,
        /// Which.
        device: DeviceId,
        /// Whose circle.
        circle: CircleId,
    }
}

permit! {
    /// Proof that a circle may be given a device, by an administrator or by trial purchase.
    MayEquip {
        /// Which circle.
        circle: CircleId,
        /// Whose membership becomes `ADMIN` by it, if anybody's.
        buyer: Option<UserId>,
        /// The administrator who gives it, if it was not bought.
        administrator: Option<UserId>,
    }
}

permit! {
    /// Proof that its holder administers the server.
    MayAdminister {
        /// Who.
        user: UserId,
    }
}

/// Members, and the circle's device.
pub fn may_see_circle(standing: &CircleStanding) -> Result<MaySeeCircle, Refusal> {
    standing.require_belonging()?;
    Ok(MaySeeCircle { circle: standing.circle.id })
}

/// Members, and the circle's device.
pub fn may_rename_circle(standing: &CircleStanding) -> Result<MayRenameCircle, Refusal> {
    standing.require_belonging()?;
    Ok(MayRenameCircle { by: standing.principal, circle: standing.circle.id })
}

/// Members and the circle's device invite whoever is neither member nor invited.
pub fn may_invite_to_circle(
    standing: &CircleStanding,
    user: UserId,
    inside: bool,
    invited: bool,
) -> Result<MayInviteToCircle, Refusal> {
    standing.require_belonging()?;
    if inside {
        return Err(Refusal::conflict("this user is a member of the circle already"));
    }
    if invited {
        return Err(Refusal::conflict("this user is invited already"));
    }
    Ok(MayInviteToCircle { by: standing.principal, circle: standing.circle.id, user })
}

/// The one who is invited.
pub fn may_answer_invite(user: UserId, invite: &Invite) -> Result<MayAnswerInvite, Refusal> {
    if invite.user != user {
        return Err(Refusal::forbidden("this invitation is somebody else's"));
    }
    Ok(MayAnswerInvite { invite: invite.id, circle: invite.circle, user })
}

/// Members.
pub fn may_quit_circle(standing: &CircleStanding) -> Result<MayQuitCircle, Refusal> {
    standing.require_belonging()?;
    match standing.principal {
        Principal::User(user) => Ok(MayQuitCircle { circle: standing.circle.id, user }),
        Principal::Device(_) => Err(Refusal::forbidden("a device does not leave its circle")),
    }
}

/// Keepers put out others who are members; themselves they leave.
pub fn may_kick_from_circle(
    standing: &CircleStanding,
    target: UserId,
    target_link: Option<CircleLinkId>,
) -> Result<MayKickFromCircle, Refusal> {
    standing.require_belonging()?;
    let Some(by) = standing.principal.user() else {
        return Err(Refusal::forbidden("a device puts nobody out"));
    };
    if by == target {
        return Err(Refusal::malformed("to leave the circle yourself, quit it"));
    }
    if !standing.keeps() {
        return Err(Refusal::forbidden("only an administrator of this circle may do that"));
    }
    if target_link.is_none() {
        return Err(Refusal::forbidden("this user is not a member of the circle"));
    }
    Ok(MayKickFromCircle { circle: standing.circle.id, by, user: target })
}

/// The device itself, and the keepers of its circle.
pub fn may_rename_device(
    standing: &CircleStanding,
    device: DeviceId,
) -> Result<MayRenameDevice, Refusal> {
    let allowed = match standing.principal {
        Principal::User(_) => standing.keeps(),
        Principal::Device(own) => own == device,
    };
    if !allowed {
        return Err(Refusal::forbidden("only an administrator of its circle may do that"));
    }
    Ok(MayRenameDevice { by: standing.principal, device, circle: standing.circle.id })
}

/// Members, of a circle without a device.
pub fn may_buy_device(standing: &CircleStanding) -> Result<MayEquip, Refusal> {
    standing.require_belonging()?;
    let Some(buyer) = standing.principal.user() else {
        return Err(Refusal::forbidden("a device buys nothing"));
    };
    equip(&standing.circle, Some(buyer), None)
}

/// Administrators of the server, for a circle without a device.
pub fn may_equip(by: &MayAdminister, circle: &Circle) -> Result<MayEquip, Refusal> {
    equip(circle, None, Some(by.user()))
}

fn equip(
    circle: &Circle,
    buyer: Option<UserId>,
    administrator: Option<UserId>,
) -> Result<MayEquip, Refusal> {
    if circle.device.is_some() {
        return Err(Refusal::conflict("the circle has a device already"));
    }
    Ok(MayEquip { circle: circle.id, buyer, administrator })
}

/// Users who are superusers and active.
pub fn may_administer(user: &User) -> Result<MayAdminister, Refusal> {
    if !(user.superuser && user.active) {
        return Err(Refusal::forbidden("only administrators may do this"));
    }
    Ok(MayAdminister { user: user.id })
}

/// Oneself, and those with whom one shares a circle or a conversation.
pub fn may_see_account(viewer: Principal, account: Principal, shares: bool) -> Result<(), Refusal> {
    if viewer != account && !shares {
        return Err(Refusal::forbidden(
            "you share no circle and no conversation with this account",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{RefusalKind, Timestamp};

    const ANN: UserId = UserId::new(1);
    const BOB: UserId = UserId::new(2);
    const LAMP: DeviceId = DeviceId::new(1);
    const OTHER: DeviceId = DeviceId::new(2);
    const LINK: Option<CircleLinkId> = Some(CircleLinkId::new(9));

    fn circle(device: Option<DeviceId>) -> Circle {
        let (created, updated) = (Timestamp::default(), Timestamp::default());
        Circle { id: CircleId::new(1), name: "Home".to_owned(), created, updated, device }
    }

    fn user(privilege: Option<Privilege>, keeper: bool) -> CircleStanding {
        let seat = privilege.map(|privilege| CircleSeat { privilege, keeper });
        CircleStanding { principal: Principal::User(ANN), circle: circle(None), seat }
    }

    fn device(id: DeviceId) -> CircleStanding {
        CircleStanding { principal: Principal::Device(id), circle: circle(Some(LAMP)), seat: None }
    }

    fn ann() -> User {
        User {
            id: ANN,
            email: "ann@example.org".to_owned(),
            username: "ann".to_owned(),
            first_name: String::new(),
            last_name: String::new(),
            birthday: None,
            created: Timestamp::default(),
            updated: Timestamp::default(),
            active: true,
            superuser: false,
            staff: false,
            employee: false,
            premium_until: None,
            balance: 0,
            online: false,
        }
    }

    fn kind<T>(verdict: Result<T, Refusal>) -> Option<RefusalKind> {
        verdict.err().map(|refusal| refusal.kind())
    }

    const NO: Option<RefusalKind> = Some(RefusalKind::Forbidden);

    #[test]
    fn a_circle_is_seen_and_renamed_by_those_who_belong_to_it() {
        let table = [
            (user(Some(Privilege::Member), false), None),
            (user(Some(Privilege::Regular), true), None),
            (user(None, false), NO),
            (device(LAMP), None),
            (device(OTHER), NO),
        ];
        for (standing, verdict) in table {
            assert_eq!(kind(may_see_circle(&standing)), verdict, "{standing:?}");
            assert_eq!(kind(may_rename_circle(&standing)), verdict, "{standing:?}");
            let invited = may_invite_to_circle(&standing, BOB, false, false);
            assert_eq!(kind(invited), verdict, "{standing:?}");
        }
    }

    #[test]
    fn nobody_is_invited_twice_or_as_a_member() {
        let ann = user(Some(Privilege::Member), false);
        for (inside, invited) in [(true, false), (false, true)] {
            let verdict = may_invite_to_circle(&ann, BOB, inside, invited);
            assert_eq!(kind(verdict), Some(RefusalKind::Conflict));
        }
    }

    #[test]
    fn keepers_put_out_others_who_are_members() {
        let malformed = Some(RefusalKind::Malformed);
        let table = [
            (user(Some(Privilege::Regular), true), BOB, LINK, None),
            (user(Some(Privilege::Admin), false), BOB, LINK, None),
            (user(Some(Privilege::Member), true), BOB, LINK, None),
            (user(Some(Privilege::Member), false), BOB, LINK, NO),
            (user(Some(Privilege::Regular), true), BOB, None, NO),
            (user(Some(Privilege::Regular), true), ANN, LINK, malformed),
            (user(None, false), BOB, LINK, NO),
            (device(LAMP), BOB, LINK, NO),
        ];
        for (standing, target, link, verdict) in table {
            let case = format!("{standing:?} {target}");
            assert_eq!(kind(may_kick_from_circle(&standing, target, link)), verdict, "{case}");
        }
    }

    #[test]
    fn members_leave_and_devices_stay() {
        let table = [
            (user(Some(Privilege::Member), false), None),
            (user(None, false), NO),
            (device(LAMP), NO),
        ];
        for (standing, verdict) in table {
            assert_eq!(kind(may_quit_circle(&standing)), verdict, "{standing:?}");
        }
    }

    #[test]
    fn an_invitation_is_answered_by_the_one_it_is_for() {
        let (created, updated) = (Timestamp::default(), Timestamp::default());
        let invite =
            Invite { id: InviteId::new(1), user: BOB, circle: CircleId::new(1), created, updated };
        assert_eq!(kind(may_answer_invite(BOB, &invite)), None);
        assert_eq!(kind(may_answer_invite(ANN, &invite)), NO);
    }

    #[test]
    fn a_device_is_renamed_by_itself_and_by_keepers() {
        let table = [
            (user(Some(Privilege::Admin), false), None),
            (user(Some(Privilege::Regular), true), None),
            (user(Some(Privilege::Member), false), NO),
            (user(None, false), NO),
            (device(LAMP), None),
            (device(OTHER), NO),
        ];
        for (standing, verdict) in table {
            assert_eq!(kind(may_rename_device(&standing, LAMP)), verdict, "{standing:?}");
        }
    }

    #[test]
    fn a_circle_has_one_device_at_most() {
        let full = Some(RefusalKind::Conflict);
        let member = user(Some(Privilege::Member), false);
        assert_eq!(kind(may_buy_device(&member)), None);
        assert_eq!(kind(may_buy_device(&user(None, false))), NO);
        let equipped = CircleStanding { circle: circle(Some(LAMP)), ..member };
        assert_eq!(kind(may_buy_device(&equipped)), full);
        let admin = MayAdminister { user: ANN };
        assert_eq!(kind(may_equip(&admin, &circle(None))), None);
        assert_eq!(kind(may_equip(&admin, &circle(Some(LAMP)))), full);
    }

    #[test]
    fn active_superusers_administer() {
        let table = [(true, true, None), (true, false, NO), (false, true, NO)];
        for (superuser, active, verdict) in table {
            let user = User { active, superuser, ..ann() };
            assert_eq!(kind(may_administer(&user)), verdict);
        }
    }

    #[test]
    fn accounts_are_seen_by_those_who_share_something() {
        let (ann, bob) = (Principal::User(ANN), Principal::User(BOB));
        assert_eq!(kind(may_see_account(ann, ann, false)), None);
        assert_eq!(kind(may_see_account(ann, bob, true)), None);
        assert_eq!(kind(may_see_account(ann, bob, false)), NO);
    }
}
