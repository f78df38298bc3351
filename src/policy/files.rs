//! Who may read, bring and delete the bytes of a file: the access table of NEO 5.3.

use super::Standing;
use crate::domain::{
    CircleId, DeviceId, MediaId, MediaOwner, MessageKind, Principal, Privilege, Refusal, SmileId,
    UserId,
};

/// A user's rights in a circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircleSeat {
    /// With which privilege.
    pub privilege: Privilege,
    /// Has an `ADMIN`'s rights whatever the privilege says.
    pub keeper: bool,
}

/// What a file belongs to, and how the principal stands to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// A message.
    Message {
        /// How the principal stands to its conversation.
        standing: Standing,
        /// Who wrote it.
        author: Principal,
        /// What it consists of.
        kind: MessageKind,
    },
    /// A user.
    User {
        /// Whose.
        owner: UserId,
        /// Whether the principal shares a circle with the owner; a device, whether it is its own.
        shares_circle: bool,
    },
    /// A device.
    Device {
        /// Whose.
        owner: DeviceId,
        /// Whether the user is in the device's circle.
        in_circle: bool,
    },
    /// A circle.
    Circle {
        /// Whose.
        owner: CircleId,
        /// The user's rights there, if a member.
        seat: Option<CircleSeat>,
        /// Whether the device is the circle's own.
        own_device: bool,
    },
    /// A priced picture, which everybody sees and nobody changes here.
    Smile(SmileId),
}

permit! {
    /// Proof that its holder may read a file.
    MayFetch {
        /// Which.
        media: MediaId,
    }
}

permit! {
    /// Proof that its holder may bring the bytes of a file.
    MayFill {
        /// Which.
        media: MediaId,
        /// Who brings them.
        by: Principal,
    }
}

permit! {
    /// Proof that its holder may take a file away.
    MayDiscard {
        /// Which.
        media: MediaId,
        /// Who takes it away.
        by: Principal,
    }
}

permit! {
    /// Proof that its holder may announce a file that belongs to no message.
    MayShelve {
        /// Who announces it.
        by: Principal,
        /// What it will belong to.
        owner: MediaOwner,
    }
}

/// Reads as the left half of the table says.
pub fn may_fetch(principal: Principal, media: MediaId, shelf: &Shelf) -> Result<MayFetch, Refusal> {
    if !reads(principal, shelf) {
        return Err(Refusal::forbidden("you have no access to this file"));
    }
    Ok(MayFetch { media })
}

/// Brings as the right half of the table says; what came with its message is not replaced.
pub fn may_fill(principal: Principal, media: MediaId, shelf: &Shelf) -> Result<MayFill, Refusal> {
    if !owns(principal, shelf) {
        return Err(Refusal::forbidden("this file is not yours to bring"));
    }
    if let Shelf::Message { kind: MessageKind::Smile | MessageKind::File, .. } = shelf {
        return Err(Refusal::forbidden("this file came with its message and stays as it is"));
    }
    Ok(MayFill { media, by: principal })
}

/// Deletes as the right half of the table says.
pub fn may_discard(
    principal: Principal,
    media: MediaId,
    shelf: &Shelf,
) -> Result<MayDiscard, Refusal> {
    if !owns(principal, shelf) {
        return Err(Refusal::forbidden("this file is not yours to delete"));
    }
    Ok(MayDiscard { media, by: principal })
}

/// Who belongs to a shelf announces files for it.
pub fn may_shelve(principal: Principal, shelf: &Shelf) -> Result<MayShelve, Refusal> {
    let (owner, allowed) = match shelf {
        Shelf::User { owner, .. } => {
            (MediaOwner::User(*owner), principal == Principal::User(*owner))
        }
        Shelf::Device { owner, .. } => (MediaOwner::Device(*owner), reads(principal, shelf)),
        Shelf::Circle { owner, .. } => (MediaOwner::Circle(*owner), reads(principal, shelf)),
        Shelf::Message { .. } | Shelf::Smile(_) => {
            return Err(Refusal::forbidden("such files are not announced by themselves"));
        }
    };
    if !allowed {
        return Err(Refusal::forbidden("you may not announce files for somebody else"));
    }
    Ok(MayShelve { by: principal, owner })
}

fn reads(principal: Principal, shelf: &Shelf) -> bool {
    match (principal, shelf) {
        (_, Shelf::Message { standing, .. }) => {
            standing.principal == principal && standing.takes_part()
        }
        (Principal::User(user), Shelf::User { owner, shares_circle }) => {
            user == *owner || *shares_circle
        }
        (Principal::Device(_), Shelf::User { shares_circle, .. }) => *shares_circle,
        (Principal::User(_), Shelf::Device { in_circle, .. }) => *in_circle,
        (Principal::Device(device), Shelf::Device { owner, .. }) => device == *owner,
        (Principal::User(_), Shelf::Circle { seat, .. }) => seat.is_some(),
        (Principal::Device(_), Shelf::Circle { own_device, .. }) => *own_device,
        (Principal::User(_), Shelf::Smile(_)) => true,
        (Principal::Device(_), Shelf::Smile(_)) => false,
    }
}

fn owns(principal: Principal, shelf: &Shelf) -> bool {
    match (principal, shelf) {
        (_, Shelf::Smile(_))
        | (Principal::Device(_), Shelf::User { .. })
        | (Principal::User(_), Shelf::Device { .. }) => false,
        (Principal::User(_), Shelf::Message { standing, author, .. }) => {
            *author == principal && reads(principal, shelf) && standing.seat.is_some()
        }
        (Principal::Device(_), Shelf::Message { author, .. }) => {
            author.device().is_some() && reads(principal, shelf)
        }
        (Principal::User(user), Shelf::User { owner, .. }) => user == *owner,
        (Principal::Device(device), Shelf::Device { owner, .. }) => device == *owner,
        (Principal::User(_), Shelf::Circle { seat, .. }) => seat.is_some_and(|seat| {
            seat.keeper || matches!(seat.privilege, Privilege::Admin | Privilege::Regular)
        }),
        (Principal::Device(_), Shelf::Circle { own_device, .. }) => *own_device,
    }
}

#[cfg(test)]
mod tests {
    use super::super::standing::facts::*;
    use super::*;
    use crate::domain::{Access, DeviceId};

    const FILE: MediaId = MediaId::new(1);

    fn of_message(standing: Standing, author: Principal) -> Shelf {
        Shelf::Message { standing, author, kind: MessageKind::Text }
    }

    fn of_circle(seat: Option<Privilege>, keeper: bool, own_device: bool) -> Shelf {
        let seat = seat.map(|privilege| CircleSeat { privilege, keeper });
        Shelf::Circle { owner: HOME, seat, own_device }
    }

    #[test]
    fn files_are_read_and_brought_as_the_access_table_says() {
        let ann = Principal::User(ANN);
        let bob = Principal::User(BOB);
        let device_one = Principal::Device(BOX);
        let other_device = DeviceId::new(5);
        let here = || device(with_device(group()), true);
        // Who, what the file belongs to; whether it may be read, and brought or deleted.
        let table = [
            (ann, of_message(member(group()), ann), true, true),
            (ann, of_message(member(group()), bob), true, false),
            (ann, of_message(admin(group()), bob), true, false),
            (ann, of_message(outsider(group()), ann), false, false),
            (ann, of_message(member(room(Access::Staff)), ann), false, false),
            (ann, of_message(member(pair()), bob), true, false),
            (ann, of_message(member(group()), device_one), true, false),
            (device_one, of_message(here(), ann), true, false),
            (device_one, of_message(here(), device_one), true, true),
            (device_one, of_message(device(group(), true), device_one), false, false),
            (device_one, of_message(device(with_device(group()), false), device_one), false, false),
            (ann, Shelf::User { owner: ANN, shares_circle: false }, true, true),
            (ann, Shelf::User { owner: BOB, shares_circle: true }, true, false),
            (ann, Shelf::User { owner: BOB, shares_circle: false }, false, false),
            (device_one, Shelf::User { owner: ANN, shares_circle: true }, true, false),
            (device_one, Shelf::User { owner: ANN, shares_circle: false }, false, false),
            (ann, Shelf::Device { owner: BOX, in_circle: true }, true, false),
            (ann, Shelf::Device { owner: BOX, in_circle: false }, false, false),
            (device_one, Shelf::Device { owner: BOX, in_circle: false }, true, true),
            (device_one, Shelf::Device { owner: other_device, in_circle: false }, false, false),
            (ann, of_circle(Some(Privilege::Admin), false, false), true, true),
            (ann, of_circle(Some(Privilege::Regular), false, false), true, true),
            (ann, of_circle(Some(Privilege::Member), true, false), true, true),
            (ann, of_circle(Some(Privilege::Member), false, false), true, false),
            (ann, of_circle(None, false, false), false, false),
            (device_one, of_circle(None, false, true), true, true),
            (device_one, of_circle(None, false, false), false, false),
            (ann, Shelf::Smile(SmileId::new(1)), true, false),
            (device_one, Shelf::Smile(SmileId::new(1)), false, false),
        ];
        for (principal, shelf, reads, owns) in table {
            let case = (principal, &shelf);
            assert_eq!(may_fetch(principal, FILE, &shelf).is_ok(), reads, "{case:?}");
            assert_eq!(may_fill(principal, FILE, &shelf).is_ok(), owns, "{case:?}");
            assert_eq!(may_discard(principal, FILE, &shelf).is_ok(), owns, "{case:?}");
        }
    }

    #[test]
    fn what_members_chat_sent_is_not_replaced() {
        let ann = Principal::User(ANN);
        for kind in [MessageKind::Smile, MessageKind::File] {
            let shelf = Shelf::Message { standing: member(group()), author: ann, kind };
            assert!(may_fetch(ann, FILE, &shelf).is_ok());
            assert!(may_fill(ann, FILE, &shelf).is_err());
            assert!(may_discard(ann, FILE, &shelf).is_ok());
        }
    }

    #[test]
    fn files_are_announced_for_oneself_and_for_one_s_circle() {
        let ann = Principal::User(ANN);
        let device_one = Principal::Device(BOX);
        let table = [
            (ann, Shelf::User { owner: ANN, shares_circle: false }, true),
            (ann, Shelf::User { owner: BOB, shares_circle: true }, false),
            (ann, Shelf::Device { owner: BOX, in_circle: true }, true),
            (ann, Shelf::Device { owner: BOX, in_circle: false }, false),
            (ann, of_circle(Some(Privilege::Member), false, false), true),
            (ann, of_circle(None, false, false), false),
            (device_one, Shelf::Device { owner: BOX, in_circle: false }, true),
            (device_one, of_circle(None, false, true), true),
            (device_one, of_circle(None, false, false), false),
            (device_one, Shelf::User { owner: ANN, shares_circle: true }, false),
            (ann, of_message(member(group()), ann), false),
        ];
        for (principal, shelf, verdict) in table {
            assert_eq!(may_shelve(principal, &shelf).is_ok(), verdict, "{principal:?} {shelf:?}");
        }
    }
}
