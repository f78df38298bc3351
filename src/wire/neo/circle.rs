//! Circles, who is in them, and who is invited.

use serde_json::{Value, json};

use super::{Dates, user_simple};
use crate::domain::{Circle, CircleLink, Invite, User};

/// Circle.simple.
pub fn circle_simple(circle: &Circle, dates: Dates) -> Value {
    json!({
        "id": circle.id,
        "name": circle.name,
        "created": dates.json(circle.created),
        "updated": dates.json(circle.updated),
        "device": circle.device.map_or(-1, crate::domain::DeviceId::get),
    })
}

/// UserCircle.userView.
pub fn user_circle_user_view(link: &CircleLink, circle: &Circle, dates: Dates) -> Value {
    json!({
        "id": link.id,
        "user": link.user,
        "circle": circle_simple(circle, dates),
        "created": dates.json(link.created),
        "updated": dates.json(link.updated),
        "privilege": link.privilege.as_str(),
    })
}

/// UserCircle.circleView.
pub fn user_circle_circle_view(link: &CircleLink, user: &User, dates: Dates) -> Value {
    json!({
        "id": link.id,
        "user": user_simple(user, dates),
        "circle": link.circle,
        "created": dates.json(link.created),
        "updated": dates.json(link.updated),
        "privilege": link.privilege.as_str(),
    })
}

/// Invite.userView.
pub fn invite_user_view(invite: &Invite, circle: &Circle, dates: Dates) -> Value {
    json!({
        "id": invite.id,
        "user": invite.user,
        "circle": circle_simple(circle, dates),
        "created": dates.json(invite.created),
        "updated": dates.json(invite.updated),
    })
}

/// Invite.circleView.
pub fn invite_circle_view(invite: &Invite, user: &User, dates: Dates) -> Value {
    json!({
        "id": invite.id,
        "user": user_simple(&user.as_invited(), dates),
        "circle": invite.circle,
        "created": dates.json(invite.created),
        "updated": dates.json(invite.updated),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CircleLinkId, InviteId, Privilege};
    use crate::wire::neo::samples::{ann, circle};

    #[test]
    fn a_circle_names_its_device_by_number() {
        let shape = json!({
            "id": 2, "name": "Family", "created": "Thu, 11 Oct 2018 09:00:00 GMT",
            "updated": "Thu, 11 Oct 2018 09:00:00 GMT", "device": -1,
        });
        assert_eq!(circle_simple(&circle(), Dates::Rest), shape);
        let owner = Circle { device: Some(crate::domain::DeviceId::new(9)), ..circle() };
        assert_eq!(circle_simple(&owner, Dates::Rest)["device"], 9);
    }

    #[test]
    fn links_and_invites_show_one_end_whole_and_the_other_by_number() {
        let (ann, circle) = (ann(), circle());
        let link = CircleLink {
            id: CircleLinkId::new(3),
            user: ann.id,
            circle: circle.id,
            privilege: Privilege::Member,
            keeper: false,
            created: circle.created,
            updated: circle.created,
        };
        let invite = Invite {
            id: InviteId::new(1),
            user: ann.id,
            circle: circle.id,
            created: circle.created,
            updated: circle.created,
        };
        let when = "Thu, 11 Oct 2018 09:00:00 GMT";
        let (whole_circle, whole_ann) =
            (circle_simple(&circle, Dates::Rest), user_simple(&ann, Dates::Rest));
        let invited = user_simple(&ann.as_invited(), Dates::Rest);
        assert_eq!(invited["email"], "ann@example.org");
        assert_eq!(invited["first_name"], "");
        let table = [
            (
                user_circle_user_view(&link, &circle, Dates::Rest),
                json!({"id": 3, "user": 4, "circle": whole_circle, "created": when, "updated": when, "privilege": "MEMBRE"}),
            ),
            (
                user_circle_circle_view(&link, &ann, Dates::Rest),
                json!({"id": 3, "user": whole_ann, "circle": 2, "created": when, "updated": when, "privilege": "MEMBRE"}),
            ),
            (
                invite_user_view(&invite, &circle, Dates::Rest),
                json!({"id": 1, "user": 4, "circle": whole_circle, "created": when, "updated": when}),
            ),
            (
                invite_circle_view(&invite, &ann, Dates::Rest),
                json!({"id": 1, "user": invited, "circle": 2, "created": when, "updated": when}),
            ),
        ];
        for (shape, expected) in table {
            assert_eq!(shape, expected);
        }
    }
}
