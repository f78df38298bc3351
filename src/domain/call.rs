//! The states of a call, and signals between its parties, which the server forwards without
//! looking inside.
//!
//! Each party has a leg; what the call as a whole is follows from the legs.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{DeviceId, Principal, UserId};

/// Whom a signal is for, in the caller's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A user by e-mail address.
    Email(String),
    /// A user.
    User(UserId),
    /// A device.
    Device(DeviceId),
}

/// An opaque note between two parties of a call.
#[derive(Clone, Debug)]
pub struct Signal {
    /// Who sent it.
    pub from: Principal,
    /// Exactly what the sender emitted.
    pub content: Arc<RawValue>,
}

/// What a call is, as its parties are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// Nobody has answered yet.
    Ringing,
    /// Somebody has answered.
    Accepted,
    /// Two or more take part.
    Active,
    /// It was active.
    Ended,
    /// Nobody wanted to.
    Declined,
    /// The caller gave up.
    Cancelled,
    /// Nobody answered.
    Missed,
    /// Those called were in other calls.
    Busy,
    /// It was accepted and did not work.
    Failed,
}

impl CallState {
    /// How the wire spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ringing => "ringing",
            Self::Accepted => "accepted",
            Self::Active => "active",
            Self::Ended => "ended",
            Self::Declined => "declined",
            Self::Cancelled => "cancelled",
            Self::Missed => "missed",
            Self::Busy => "busy",
            Self::Failed => "failed",
        }
    }

    /// What a call is whose parties stand so; `accepted` says whether anybody ever has.
    pub fn of(caller: Leg, callees: &[Leg], accepted: bool) -> Self {
        let any = |wanted: Leg| callees.contains(&wanted);
        if accepted {
            let there = callees.iter().chain([&caller]).filter(|leg| leg.takes_part()).count();
            return if there >= 2 { Self::Active } else { Self::Ended };
        }
        match caller {
            Leg::Calling if any(Leg::Ringing) => Self::Ringing,
            Leg::Cancelled => Self::Cancelled,
            _ if any(Leg::Declined) => Self::Declined,
            _ if any(Leg::Busy) => Self::Busy,
            _ => Self::Missed,
        }
    }

    /// Whether nothing can become of it any more.
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Ringing | Self::Accepted | Self::Active)
    }
}

/// Where one party of a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// Has begun the call, and nobody has answered.
    Calling,
    /// Is rung.
    Ringing,
    /// Takes part.
    Joined,
    /// Took part, and its connection was lost a moment ago.
    Away,
    /// Did not want to.
    Declined,
    /// Gave up, or was given up.
    Cancelled,
    /// Did not answer.
    Missed,
    /// Was in another call.
    Busy,
    /// Has taken part.
    Left,
}

/// What happens to one party of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegInput {
    /// It accepts.
    Accept,
    /// The first of those it calls accepts.
    Answered,
    /// It declines.
    Decline,
    /// The caller gives up.
    Cancel,
    /// It hangs up.
    HangUp,
    /// Its connection is lost.
    Lose,
    /// It is back.
    Return,
    /// It has rung for long enough.
    TimeUp,
    /// It was away for long enough.
    GraceOver,
}

impl Leg {
    /// What becomes of a leg; none where the input means nothing to it.
    pub const fn next(self, input: LegInput) -> Option<Self> {
        use LegInput as Input;
        match (self, input) {
            (Self::Calling, Input::Answered)
            // Also those who did not want to at first, while the others still talk.
            | (
                Self::Ringing | Self::Away | Self::Declined | Self::Missed | Self::Busy
                | Self::Left,
                Input::Accept,
            )
            | (Self::Away, Input::Return) => Some(Self::Joined),
            (Self::Calling, Input::Cancel | Input::HangUp | Input::Lose)
            | (Self::Ringing, Input::Cancel) => Some(Self::Cancelled),
            (Self::Ringing, Input::Decline | Input::HangUp) => Some(Self::Declined),
            (Self::Calling | Self::Ringing, Input::TimeUp) => Some(Self::Missed),
            (Self::Joined, Input::Lose) => Some(Self::Away),
            (Self::Joined | Self::Away, Input::HangUp) | (Self::Away, Input::GraceOver) => {
                Some(Self::Left)
            }
            _ => None,
        }
    }

    /// Whether it counts as one who takes part.
    pub const fn takes_part(self) -> bool {
        matches!(self, Self::Joined | Self::Away)
    }

    /// Whether the party can be in no other call.
    pub const fn is_engaged(self) -> bool {
        matches!(self, Self::Calling | Self::Joined | Self::Away)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEGS: [Leg; 9] = [
        Leg::Calling,
        Leg::Ringing,
        Leg::Joined,
        Leg::Away,
        Leg::Declined,
        Leg::Cancelled,
        Leg::Missed,
        Leg::Busy,
        Leg::Left,
    ];

    #[test]
    fn every_input_means_one_thing_to_every_leg() {
        use Leg::{Away, Cancelled, Declined, Joined, Left, Missed};
        use LegInput::*;
        // In the order of `LEGS`: calling, ringing, joined, away, declined, cancelled, missed, busy, left.
        let (no, yes) = (None, Some(Joined));
        let table = [
            (Accept, [no, yes, no, yes, yes, no, yes, yes, yes]),
            (Answered, [yes, no, no, no, no, no, no, no, no]),
            (Decline, [no, Some(Declined), no, no, no, no, no, no, no]),
            (Cancel, [Some(Cancelled), Some(Cancelled), no, no, no, no, no, no, no]),
            (HangUp, [Some(Cancelled), Some(Declined), Some(Left), Some(Left), no, no, no, no, no]),
            (Lose, [Some(Cancelled), no, Some(Away), no, no, no, no, no, no]),
            (Return, [no, no, no, yes, no, no, no, no, no]),
            (TimeUp, [Some(Missed), Some(Missed), no, no, no, no, no, no, no]),
            (GraceOver, [no, no, no, Some(Left), no, no, no, no, no]),
        ];
        for (input, row) in table {
            for (leg, becomes) in LEGS.into_iter().zip(row) {
                assert_eq!(leg.next(input), becomes, "{leg:?} {input:?}");
            }
        }
    }

    #[test]
    fn a_call_is_what_its_legs_make_it() {
        use Leg::*;
        let table: [(Leg, &[Leg], bool, CallState); 14] = [
            (Calling, &[Ringing], false, CallState::Ringing),
            (Calling, &[Declined, Ringing], false, CallState::Ringing),
            (Calling, &[Declined], false, CallState::Declined),
            (Calling, &[Missed, Declined, Busy], false, CallState::Declined),
            (Calling, &[Missed, Busy], false, CallState::Busy),
            (Calling, &[Missed, Missed], false, CallState::Missed),
            (Missed, &[Missed], false, CallState::Missed),
            (Cancelled, &[Ringing], false, CallState::Cancelled),
            (Joined, &[Joined], true, CallState::Active),
            (Joined, &[Away, Ringing], true, CallState::Active),
            (Left, &[Joined, Joined], true, CallState::Active),
            (Joined, &[Left, Ringing], true, CallState::Ended),
            (Left, &[Left], true, CallState::Ended),
            (Away, &[Left, Missed], true, CallState::Ended),
        ];
        for (caller, callees, accepted, state) in table {
            assert_eq!(CallState::of(caller, callees, accepted), state, "{caller:?} {callees:?}");
            let goes_on = matches!(state, CallState::Ringing | CallState::Active);
            assert_eq!(state.is_over(), !goes_on);
        }
    }
}
