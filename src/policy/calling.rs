//! Who may send signals to whom.
//!
//! A refusal looks like that of a party who is not connected, so that nobody can probe
//! for accounts.

use crate::domain::{Principal, Refusal, RefusalKind};

permit! {
    /// Proof that `from` may signal to `to`.
    MaySignal {
        /// Who signals.
        from: Principal,
        /// To whom.
        to: Principal,
    }
}

/// Signals go to oneself, and to those with whom one shares a circle or a conversation.
pub fn may_signal(from: Principal, to: Principal, shares: bool) -> Result<MaySignal, Refusal> {
    if from != to && !shares {
        return Err(Refusal::new(RefusalKind::Offline, "the target is not connected"));
    }
    Ok(MaySignal { from, to })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DeviceId, UserId};

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
        }
    }
}
