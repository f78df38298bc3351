//! Accounts as others see them.

use serde_json::{Value, json};

use super::Dates;
use crate::domain::{Device, Party, User};

/// User.simple.
pub fn user_simple(user: &User, dates: Dates) -> Value {
    json!({
        "id": user.id,
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "birthday": dates.maybe(user.birthday),
        "created": dates.json(user.created),
        "updated": dates.json(user.updated),
        "isOnline": user.online,
        "type": if user.superuser { "ADMIN" } else { "DEFAULT" },
    })
}

/// Device.simple.
pub fn device_simple(device: &Device, dates: Dates) -> Value {
    json!({
        "id": device.id,
        "name": device.name,
        "created": dates.json(device.created),
        "updated": dates.json(device.updated),
        "circle_id": device.circle,
        "activated": device.activated,
        "username": device.username,
        "is_online": device.online,
    })
}

/// User.simple or Device.simple.
pub fn party_simple(party: &Party, dates: Dates) -> Value {
    match party {
        Party::User(user) => user_simple(user, dates),
        Party::Device(device) => device_simple(device, dates),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::neo::samples::{ann, device};

    #[test]
    fn a_user_reads_as_the_page_shows() {
        let socket = json!({
            "id": 4, "email": "ann@example.org", "first_name": "Ann", "last_name": "Lee",
            "birthday": "1990-12-25T00:00:00", "created": "2018-10-01T08:00:00.000120",
            "updated": "2018-10-11T08:59:00.000120", "isOnline": true, "type": "DEFAULT",
        });
        assert_eq!(user_simple(&ann(), Dates::Socket), socket);
        let mut admin = ann();
        (admin.superuser, admin.birthday) = (true, None);
        let rest = user_simple(&admin, Dates::Rest);
        assert_eq!(rest["type"], "ADMIN");
        assert_eq!(rest["birthday"], Value::Null);
        assert_eq!(rest["created"], "Mon, 01 Oct 2018 08:00:00 GMT");
    }

    #[test]
    fn a_device_says_is_online_where_a_user_says_is_online_in_one_word() {
        let rest = json!({
            "id": 9, "name": "Hall", "created": "Mon, 01 Oct 2018 08:00:00 GMT",
            "updated": "Mon, 01 Oct 2018 08:00:00 GMT", "circle_id": 2, "activated": false,
            "username": "ABCDEFGHIJKL", "is_online": false,
        });
        assert_eq!(device_simple(&device(), Dates::Rest), rest);
    }
}
