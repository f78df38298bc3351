//! The people of the page's worked example, for tests.

use crate::domain::{Circle, CircleId, Device, DeviceId, Timestamp, User, UserId};

/// Ann, as the page prints her.
pub(crate) fn ann() -> User {
    User {
        id: UserId::new(4),
        email: "ann@example.org".to_owned(),
        username: "ann".to_owned(),
        first_name: "Ann".to_owned(),
        last_name: "Lee".to_owned(),
        birthday: Some(Timestamp::from_secs(662_083_200)),
        created: Timestamp::from_micros(1_538_380_800_000_120),
        updated: Timestamp::from_micros(1_539_248_340_000_120),
        active: true,
        superuser: false,
        staff: false,
        employee: false,
        premium_until: None,
        balance: 0,
        online: true,
    }
}

/// A device that has not been activated.
pub(crate) fn device() -> Device {
    Device {
        id: DeviceId::new(9),
        circle: CircleId::new(2),
        name: "Hall".to_owned(),
        username: "ABCDEFGHIJKL".to_owned(),
        activated: false,
        created: Timestamp::from_secs(1_538_380_800),
        updated: Timestamp::from_secs(1_538_380_800),
        online: false,
    }
}

/// The family's circle, without a device.
pub(crate) fn circle() -> Circle {
    Circle {
        id: CircleId::new(2),
        name: "Family".to_owned(),
        created: Timestamp::from_secs(1_539_248_400),
        updated: Timestamp::from_secs(1_539_248_400),
        device: None,
    }
}
