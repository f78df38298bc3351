//! Messages, and what the channel `message` says about them.

use serde_json::{Value, json};

use super::{
    Dates, device_simple, media_list, media_simple, message_media_content, party_simple,
    user_conversation_simple,
};
use crate::domain::{
    Authorship, ConversationId, Media, Message, MessageId, Party, Principal, Written,
};

/// Message.simple; `medias` is a number.
pub fn message_simple(message: &Message, dates: Dates) -> Value {
    let (key, author) = match message.author {
        Principal::User(_) => ("link_id", json!(message.link)),
        Principal::Device(device) => ("device_id", json!(device)),
    };
    json!({
        "id": message.id,
        key: author,
        "sent": dates.json(message.sent),
        "read": dates.maybe(message.read),
        "content": message.text,
        "medias": message.media_count,
        "seq": message.seq,
        "revision": message.revision,
    })
}

/// Message.content; `medias` is a list.
pub fn message_content(written: &Written, dates: Dates) -> Value {
    let Written { message, by } = written;
    let (key, author) = match by {
        Authorship::Member { membership, circle } => {
            ("link", user_conversation_simple(membership, *circle, dates))
        }
        Authorship::Device(device) => ("device", device_simple(device, dates)),
        Authorship::Gone if message.author.device().is_some() => ("device", json!({})),
        Authorship::Gone => ("link", json!({})),
    };
    let medias: Value =
        message.medias.iter().map(|media| message_media_content(media, message, dates)).collect();
    json!({
        "id": message.id,
        "sent": dates.json(message.sent),
        "read": dates.maybe(message.read),
        "content": message.text,
        key: author,
        "medias": medias,
        "seq": message.seq,
        "revision": message.revision,
    })
}

/// Message.content as `sync` and `history` give it: removed messages are told as such.
pub fn message_entry(written: &Written) -> Value {
    let mut entry = message_content(written, Dates::Socket);
    entry["conversation_id"] = json!(written.message.conversation);
    entry["deleted"] = written.message.deleted.is_some().into();
    entry["edited"] = Dates::Socket.maybe(written.message.edited);
    entry
}

/// A message was sent; while files of it are awaited it is pending.
pub fn message_sent(message: &Message, sender: &Party) -> Value {
    let dates = Dates::Socket;
    if message.media_count > 0 && message.place.is_none() {
        return json!({
            "conversation_id": message.conversation,
            "message": message_simple(message, dates),
            "status": "pending",
        });
    }
    json!({
        "conversation_id": message.conversation,
        "message": message_simple(message, dates),
        "time": dates.json(message.sent),
        "sender": party_simple(sender, dates),
        "media_list": media_list(&message.medias),
        "status": "done",
    })
}

/// A file of a message has arrived.
pub fn file_arrived(message: &Message, media: &Media, by: &Party) -> Value {
    let dates = Dates::Socket;
    json!({
        "conversation_id": message.conversation,
        "message": message_simple(message, dates),
        "time": dates.json(message.sent),
        "sender": party_simple(by, dates),
        "media": media_simple(media),
        "media_list": media_list(&message.medias),
        "status": "done",
    })
}

/// What can happen to a message that clients are to fetch again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageNotice {
    /// Its words or files, or whether it was read, have changed.
    Updated,
    /// It was removed.
    Deleted,
}

/// A message has changed; what it says now is for the reader to fetch.
pub fn message_notice(
    conversation: ConversationId,
    message: MessageId,
    notice: MessageNotice,
) -> Value {
    let event = match notice {
        MessageNotice::Updated => "update",
        MessageNotice::Deleted => "delete",
    };
    json!({ "conversation_id": conversation, "message_id": message, "event": event })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{CircleId, Timestamp};
    use crate::wire::neo::samples::{ann, awaited, device, hello, membership, picture};
    use crate::wire::neo::user_simple;

    fn said() -> Value {
        json!({
            "id": 5, "link_id": 7, "sent": "2018-10-11T09:00:00.120311", "read": null,
            "content": "hello", "medias": 0, "seq": 2, "revision": 3,
        })
    }

    fn with_files(medias: Vec<Media>) -> Message {
        Message { media_count: medias.len() as u32, place: None, medias, ..hello() }
    }

    #[test]
    fn a_message_reads_as_the_page_shows() {
        assert_eq!(message_simple(&hello(), Dates::Socket), said());
        let rest = message_simple(&hello(), Dates::Rest);
        assert_eq!(rest["sent"], "Thu, 11 Oct 2018 09:00:00 GMT");
        let read = Message { read: Some(Timestamp::from_secs(1_539_248_400)), ..hello() };
        assert_eq!(message_simple(&read, Dates::Socket)["read"], "2018-10-11T09:00:00");
    }

    #[test]
    fn a_device_s_message_names_the_device_and_no_link() {
        let author = Principal::Device(device().id);
        let shape = message_simple(&Message { author, link: None, ..hello() }, Dates::Socket);
        assert_eq!(shape["device_id"], 9);
        assert_eq!(shape.get("link_id"), None);
    }

    #[test]
    fn a_message_read_again_shows_its_link_and_its_files() {
        let circle = Some(CircleId::new(2));
        let by = Authorship::Member { membership: Arc::new(membership()), circle };
        let message = with_files(vec![picture()]);
        let file = message_media_content(&picture(), &message, Dates::Socket);
        let written = Written { message, by };
        let expected = json!({
            "id": 5, "sent": "2018-10-11T09:00:00.120311", "read": null, "content": "hello",
            "link": user_conversation_simple(&membership(), circle, Dates::Socket),
            "medias": [file], "seq": 2, "revision": 3,
        });
        assert_eq!(message_content(&written, Dates::Socket), expected);
    }

    #[test]
    fn what_is_left_of_an_author_is_shown() {
        let of_device = Message { author: Principal::Device(device().id), link: None, ..hello() };
        let table = [
            (of_device.clone(), Authorship::Device(Arc::new(device())), "device", 5),
            (of_device, Authorship::Gone, "device", 0),
            (hello(), Authorship::Gone, "link", 0),
        ];
        for (message, by, key, size) in table {
            let shape = message_content(&Written { message, by }, Dates::Rest);
            let author = shape[key].as_object().unwrap();
            assert_eq!(author.is_empty(), size == 0, "{shape}");
        }
    }

    #[test]
    fn a_removed_message_is_told_as_removed() {
        let now = Timestamp::from_secs(1_539_248_400);
        let message = Message { deleted: Some(now), text: String::new(), ..hello() };
        let entry = message_entry(&Written { message, by: Authorship::Gone });
        assert_eq!(entry["deleted"], true);
        assert_eq!(entry["content"], "");
        assert_eq!(entry["edited"], Value::Null);
        assert_eq!((&entry["seq"], &entry["revision"]), (&json!(2), &json!(3)));
        let edited = Message { edited: Some(now), ..hello() };
        let entry = message_entry(&Written { message: edited, by: Authorship::Gone });
        assert_eq!(
            (&entry["deleted"], &entry["edited"]),
            (&json!(false), &json!("2018-10-11T09:00:00"))
        );
    }

    #[test]
    fn a_message_without_files_is_done_at_once() {
        let expected = json!({
            "conversation_id": 3, "message": said(), "time": "2018-10-11T09:00:00.120311",
            "sender": user_simple(&ann(), Dates::Socket), "media_list": [], "status": "done",
        });
        assert_eq!(message_sent(&hello(), &Party::User(Arc::new(ann()))), expected);
        let device = Party::Device(Arc::new(device()));
        assert_eq!(message_sent(&hello(), &device)["sender"]["is_online"], false);
    }

    #[test]
    fn a_message_with_files_is_pending_until_each_has_arrived() {
        let ann = Party::User(Arc::new(ann()));
        let message = with_files(vec![awaited()]);
        let simple = message_simple(&message, Dates::Socket);
        let pending = json!({"conversation_id": 3, "message": simple, "status": "pending"});
        assert_eq!(message_sent(&message, &ann), pending);

        let message = with_files(vec![picture()]);
        let done = json!({
            "conversation_id": 3, "message": message_simple(&message, Dates::Socket),
            "time": "2018-10-11T09:00:00.120311", "sender": party_simple(&ann, Dates::Socket),
            "media": media_simple(&picture()), "media_list": [media_simple(&picture())],
            "status": "done",
        });
        assert_eq!(file_arrived(&message, &picture(), &ann), done);
    }

    #[test]
    fn a_change_is_told_without_the_words() {
        let table = [(MessageNotice::Updated, "update"), (MessageNotice::Deleted, "delete")];
        for (notice, event) in table {
            let expected = json!({"conversation_id": 3, "message_id": 5, "event": event});
            assert_eq!(message_notice(hello().conversation, hello().id, notice), expected);
        }
    }
}
