//! What a message costs: a smile its own price, everything else the default, and nothing for some.
//!
//! The facts are read in the transaction that takes the coins.

use crate::domain::{Refusal, RefusalKind, Timestamp};

/// Who sends, as far as it decides about money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer {
    /// A device, which has no coins.
    Device,
    /// A user.
    User {
        /// Whether it administrates the server.
        superuser: bool,
        /// Whether it posts without paying.
        employee: bool,
        /// Until when it does.
        premium_until: Option<Timestamp>,
    },
}

/// The coins that this payer is charged for something with this price, at this moment.
pub fn price_for(payer: Payer, price: i64, now: Timestamp) -> i64 {
    match payer {
        Payer::Device
        | Payer::User { superuser: true, .. }
        | Payer::User { employee: true, .. } => 0,
        Payer::User { premium_until, .. } if premium_until.is_some_and(|until| until > now) => 0,
        Payer::User { .. } => price,
    }
}

/// The coins do not suffice.
pub fn too_poor(price: i64, balance: i64) -> Refusal {
    let text = format!("Not enough coins: this message costs {price}, the balance is {balance}.");
    Refusal::new(RefusalKind::TooPoor { price, balance }, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superusers_employees_premium_users_and_devices_pay_nothing() {
        let now = Timestamp::from_secs(100);
        let user = |superuser, employee, until: Option<i64>| Payer::User {
            superuser,
            employee,
            premium_until: until.map(Timestamp::from_secs),
        };
        let table = [
            (user(false, false, None), 5),
            (user(true, false, None), 0),
            (user(false, true, None), 0),
            (user(false, false, Some(101)), 0),
            (user(false, false, Some(100)), 5),
            (user(false, false, Some(99)), 5),
            (Payer::Device, 0),
        ];
        for (payer, coins) in table {
            assert_eq!(price_for(payer, 5, now), coins, "{payer:?}");
        }
        assert_eq!(price_for(user(false, false, None), 0, now), 0);
    }
}
