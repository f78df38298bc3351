//! Conversations, who is in them, and what the channel `conversation` says about them.

use serde_json::{Map, Value, json};

use super::{Dates, circle_simple, user_simple};
use crate::domain::{
    Circle, CircleId, Conversation, ConversationChange, ConversationId, Membership, Party, User,
};

/// Conversation.simple.
pub fn conversation_simple(conversation: &Conversation, dates: Dates) -> Value {
    json!({
        "id": conversation.id,
        "name": conversation.title,
        "created": dates.json(conversation.created),
        "updated": dates.json(conversation.updated),
        "circle_id": conversation.circle,
        "device_access": conversation.device_access,
    })
}

/// Conversation.content without what is read piece by piece: empty lists stand for the links, which
/// are UserConversation.content, and the messages.
pub fn conversation_content(
    conversation: &Conversation,
    circle: Option<&Circle>,
    dates: Dates,
) -> Value {
    json!({
        "id": conversation.id,
        "name": conversation.title,
        "created": dates.json(conversation.created),
        "updated": dates.json(conversation.updated),
        "device_access": conversation.device_access,
        "circle": circle.map_or_else(|| json!({}), |circle| circle_simple(circle, dates)),
        "links": [],
        "messages": [],
    })
}

/// UserConversation.simple: both ends by number.
pub fn user_conversation_simple(
    membership: &Membership,
    circle: Option<CircleId>,
    dates: Dates,
) -> Value {
    json!({
        "id": membership.link,
        "created": dates.json(membership.created),
        "updated": dates.json(membership.updated),
        "privilege": membership.role.as_str(),
        "user_id": membership.user,
        "conversation_id": membership.conversation,
        "circle_id": circle,
    })
}

/// UserConversation.content: the keys that end in `_id` hold objects. An empty list stands for the
/// messages written through this link.
pub fn user_conversation_content(
    membership: &Membership,
    user: &User,
    conversation: &Conversation,
    dates: Dates,
) -> Value {
    let mut shape = user_conversation_simple(membership, conversation.circle, dates);
    shape["user_id"] = user_simple(user, dates);
    shape["conversation_id"] = conversation_simple(conversation, dates);
    shape["messages"] = json!([]);
    shape
}

/// What the channel `conversation` says of a change.
pub fn conversation_changed(conversation: ConversationId, change: &ConversationChange) -> Value {
    let pairs = match change {
        ConversationChange::Updated => vec![("event", "update".into())],
        ConversationChange::Invited(_) => vec![("event", "invite".into())],
        ConversationChange::Promoted(_) => vec![("event", "promoted".into())],
        ConversationChange::Kicked { user, by } => {
            vec![
                ("event", "kick".into()),
                ("user", address(user)),
                ("user_id", number(user)),
                ("from", address(by)),
            ]
        }
        ConversationChange::Quit(user) => {
            vec![("event", "quit".into()), ("user", address(user)), ("user_id", number(user))]
        }
        ConversationChange::DeviceAdded => {
            vec![("event", "device".into()), ("type", "add".into())]
        }
        ConversationChange::DeviceRemoved(_) => {
            vec![("event", "device".into()), ("type", "remove".into())]
        }
        ConversationChange::Deleted => vec![("event", "delete".into())],
    };
    let mut payload: Map<String, Value> =
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    payload.insert("conversation_id".to_owned(), json!(conversation));
    Value::Object(payload)
}

/// Users are named by e-mail address; a device has none, so its user name stands there.
fn address(party: &Party) -> Value {
    match party {
        Party::User(user) => user.email.as_str().into(),
        Party::Device(device) => device.username.as_str().into(),
    }
}

/// The number that stands beside the address.
fn number(party: &Party) -> Value {
    match party {
        Party::User(user) => user.id.get().into(),
        Party::Device(device) => device.id.get().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{DeviceId, Principal, UserId};
    use crate::wire::neo::samples::{ann, circle, conversation, device, membership};

    const WHEN: &str = "Thu, 11 Oct 2018 09:00:00 GMT";

    #[test]
    fn a_conversation_reads_as_the_page_shows() {
        let simple = json!({
            "id": 3, "name": "Conversation", "created": WHEN, "updated": WHEN, "circle_id": 2,
            "device_access": false,
        });
        assert_eq!(conversation_simple(&conversation(), Dates::Rest), simple);
        let without = Conversation { circle: None, ..conversation() };
        assert_eq!(conversation_simple(&without, Dates::Rest)["circle_id"], Value::Null);
    }

    #[test]
    fn a_whole_conversation_has_its_circle_or_an_empty_object() {
        let whole =
            |circle: Option<&Circle>| conversation_content(&conversation(), circle, Dates::Rest);
        let expected = json!({
            "id": 3, "name": "Conversation", "created": WHEN, "updated": WHEN,
            "device_access": false, "circle": circle_simple(&circle(), Dates::Rest),
            "links": [], "messages": [],
        });
        let family = circle();
        assert_eq!(whole(Some(&family)), expected);
        assert_eq!(whole(None)["circle"], json!({}));
    }

    #[test]
    fn a_link_shows_numbers_or_objects_under_the_same_keys() {
        let simple = json!({
            "id": 7, "created": WHEN, "updated": WHEN, "privilege": "ADMIN", "user_id": 4,
            "conversation_id": 3, "circle_id": 2,
        });
        assert_eq!(
            user_conversation_simple(&membership(), Some(CircleId::new(2)), Dates::Rest),
            simple
        );
        let mut content = simple;
        content["user_id"] = user_simple(&ann(), Dates::Rest);
        content["conversation_id"] = conversation_simple(&conversation(), Dates::Rest);
        content["messages"] = json!([]);
        let (ann, conversation) = (ann(), conversation());
        let shape = user_conversation_content(&membership(), &ann, &conversation, Dates::Rest);
        assert_eq!(shape, content);
    }

    #[test]
    fn changes_are_told_as_the_page_s_table_says() {
        let party = || Party::User(Arc::new(ann()));
        let user = UserId::new(4);
        let table = [
            (ConversationChange::Updated, json!({"event": "update", "conversation_id": 3})),
            (
                ConversationChange::Invited(Principal::User(user)),
                json!({"event": "invite", "conversation_id": 3}),
            ),
            (
                ConversationChange::Promoted(user),
                json!({"event": "promoted", "conversation_id": 3}),
            ),
            (
                ConversationChange::Kicked { user: party(), by: Party::Device(Arc::new(device())) },
                json!({
                    "event": "kick", "user": "ann@example.org", "user_id": 4, "from": "ABCDEFGHIJKL",
                    "conversation_id": 3,
                }),
            ),
            (
                ConversationChange::Quit(party()),
                json!({"event": "quit", "user": "ann@example.org", "user_id": 4, "conversation_id": 3}),
            ),
            (
                ConversationChange::DeviceAdded,
                json!({"event": "device", "type": "add", "conversation_id": 3}),
            ),
            (
                ConversationChange::DeviceRemoved(Some(DeviceId::new(9))),
                json!({"event": "device", "type": "remove", "conversation_id": 3}),
            ),
            (ConversationChange::Deleted, json!({"event": "delete", "conversation_id": 3})),
        ];
        for (change, payload) in table {
            assert_eq!(conversation_changed(ConversationId::new(3), &change), payload);
        }
    }
}
