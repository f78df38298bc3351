//! Who may send signals to whom, call whom, and come into which rooms of calls.
//!
//! A refusal between two parties looks like that of a party who is not connected, so that
//! nobody can probe for accounts.

use super::Standing;
use crate::domain::{CallRoom, ConversationId, Kind, Principal, Refusal, RefusalKind};

/// Members of a conversation that can still be called together.
pub const PARTIES: usize = 8;

permit! {
    /// Proof that `from` may signal to `to`.
    MaySignal {
        /// Who signals.
        from: Principal,
        /// To whom.
        to: Principal,
    }
}

permit! {
    /// Proof that `caller` may call the others.
    MayCall {
        /// Who calls.
        caller: Principal,
        /// Where what became of it will stand, if anywhere.
        conversation: Option<ConversationId>,
    }
}

permit! {
    /// Proof that `who` may be in a room.
    MayMeet {
        /// Who.
        who: Principal,
        /// In which.
        room: CallRoom,
    }
}

/// Signals go to oneself, and to those with whom one shares a circle or a conversation.
pub fn may_signal(from: Principal, to: Principal, shares: bool) -> Result<MaySignal, Refusal> {
    if from != to && !shares {
        return Err(not_connected());
    }
    Ok(MaySignal { from, to })
}

/// One calls another with whom one shares a circle or a conversation.
pub fn may_call(from: Principal, to: Principal, shares: bool) -> Result<MayCall, Refusal> {
    if from == to {
        return Err(Refusal::malformed("you cannot call yourself"));
    }
    if !shares {
        return Err(not_connected());
    }
    Ok(MayCall { caller: from, conversation: None })
}

/// Who takes part in a direct conversation or a group calls the others, `callees` of whom
/// share something with the caller.
pub fn may_call_in(standing: &Standing, callees: usize) -> Result<MayCall, Refusal> {
    standing.require_part()?;
    if standing.conversation.kind == Kind::Room {
        return Err(Refusal::forbidden("a room cannot be called"));
    }
    if callees == 0 {
        return Err(not_connected());
    }
    if callees >= PARTIES {
        return Err(Refusal::forbidden("a call has at most 8 members"));
    }
    Ok(MayCall { caller: standing.principal, conversation: Some(standing.conversation.id) })
}

/// Who takes part in a conversation comes into its room.
pub fn may_meet_in(standing: &Standing) -> Result<MayMeet, Refusal> {
    standing.require_part()?;
    let room = CallRoom::Conversation(standing.conversation.id);
    Ok(MayMeet { who: standing.principal, room })
}

/// Who takes part in a call, or has begun it, comes into its room.
pub fn may_meet_for(who: Principal, room: CallRoom, engaged: bool) -> Result<MayMeet, Refusal> {
    if !engaged {
        return Err(Refusal::forbidden("you do not take part in this call"));
    }
    Ok(MayMeet { who, room })
}

fn not_connected() -> Refusal {
    Refusal::new(RefusalKind::Offline, "the target is not connected")
}

#[cfg(test)]
mod tests {
    use super::super::standing::facts::*;
    use super::*;
    use crate::domain::{Access, CallId, DeviceId, UserId};

    #[test]
    fn signals_are_for_those_who_share_something() {
        let ann = Principal::User(UserId::new(1));
        let bob = Principal::User(UserId::new(2));
        let device = Principal::Device(DeviceId::new(1));
        let table = [
            (ann, ann, false, true),
            (ann, bob, true, true),
            (ann, bob, false, false),
            (ann, device, false, false),
            (ann, device, true, true),
            (device, ann, true, true),
        ];
        for (from, to, shares, verdict) in table {
            let result = may_signal(from, to, shares);
            assert_eq!(result.is_ok(), verdict, "{from:?} {to:?}");
            if let Err(refusal) = result {
                assert_eq!(refusal.kind(), RefusalKind::Offline);
            }
            let verdict = verdict && from != to;
            assert_eq!(may_call(from, to, shares).is_ok(), verdict, "{from:?} {to:?}");
        }
    }

    #[test]
    fn calling_and_meeting_are_for_those_who_take_part() {
        let table = [
            (member(group()), 1, true, true),
            (member(group()), 7, true, true),
            (member(group()), 8, false, true),
            (member(group()), 0, false, true),
            (outsider(group()), 1, false, false),
            (member(pair()), 1, true, true),
            (outsider(pair()), 1, false, false),
            (member(room(Access::Open)), 1, false, true),
            (member(room(Access::Staff)), 1, false, false),
            (device(with_device(group()), true), 1, true, true),
            (device(with_device(group()), false), 1, false, false),
        ];
        for (standing, callees, calls, meets) in table {
            assert_eq!(may_call_in(&standing, callees).is_ok(), calls, "{standing:?} {callees}");
            assert_eq!(may_meet_in(&standing).is_ok(), meets, "{standing:?}");
        }
        let room = CallRoom::Call(CallId::random());
        let ann = Principal::User(ANN);
        assert!(may_meet_for(ann, room, true).is_ok());
        assert!(may_meet_for(ann, room, false).is_err());
    }
}
