//! Files, and what they belong to. A file has one link, whose number is the file's own.

use serde_json::{Value, json};

use super::{Dates, circle_simple, device_simple, message_simple, user_simple};
use crate::domain::{Circle, Device, Media, MediaOwner, Message, MessageId, User};

/// Media.simple; `uploaded` is a text.
pub fn media_simple(media: &Media) -> Value {
    json!({
        "id": media.id,
        "filename": media.filename,
        "extension": media.extension,
        "identifier": media.identifier,
        "uploaded": if media.uploaded.is_some() { "True" } else { "False" },
    })
}

/// Media.simple of each.
pub fn media_list(medias: &[Media]) -> Value {
    medias.iter().map(media_simple).collect()
}

/// Media.content, which administrators read; `uploaded` is a boolean. Without its link's
/// content the file belongs to nothing that is left.
pub fn media_content(media: &Media, link_content: Option<Value>) -> Value {
    let link = match media.owner {
        _ if link_content.is_none() => "error",
        MediaOwner::Message(_) => "conversation",
        MediaOwner::User(_) => "user",
        MediaOwner::Device(_) => "device",
        MediaOwner::Circle(_) => "circle",
        MediaOwner::Smile(_) => "error",
    };
    json!({
        "id": media.id,
        "media_link": link,
        "link_content": link_content.unwrap_or_else(|| "error".into()),
        "filename": media.filename,
        "extension": media.extension,
        "directory": media.directory,
        "identifier": media.identifier,
        "uploaded": media.uploaded.is_some(),
    })
}

/// MessageMedia.content.
pub fn message_media_content(media: &Media, message: &Message, dates: Dates) -> Value {
    json!({
        "id": media.id,
        "message": message_simple(message, dates),
        "media": media_simple(media),
        "upload_time": upload_time(media, dates),
    })
}

/// UserMedia.content.
pub fn user_media_content(media: &Media, user: &User, dates: Dates) -> Value {
    owned_content(media, "user", user_simple(user, dates), dates)
}

/// DeviceMedia.content.
pub fn device_media_content(media: &Media, device: &Device, dates: Dates) -> Value {
    owned_content(media, "device", device_simple(device, dates), dates)
}

/// CircleMedia.content.
pub fn circle_media_content(media: &Media, circle: &Circle, dates: Dates) -> Value {
    owned_content(media, "circle", circle_simple(circle, dates), dates)
}

/// UserMedia.simple, DeviceMedia.simple or CircleMedia.simple, with the file's own keys
/// beside them.
pub fn owned_media_simple(media: &Media, dates: Dates) -> Value {
    let (key, owner) = match media.owner {
        MediaOwner::Message(id) => ("message_id", id.get()),
        MediaOwner::User(id) => ("user_id", id.get()),
        MediaOwner::Device(id) => ("device_id", id.get()),
        MediaOwner::Circle(id) => ("circle_id", id.get()),
        MediaOwner::Smile(id) => ("smile_id", id.get()),
    };
    json!({
        "id": media.id,
        key: owner,
        "media_id": media.id,
        "upload_time": upload_time(media, dates),
        "purpose": media.purpose,
        "filename": media.filename,
        "extension": media.extension,
        "identifier": media.identifier,
        "uploaded": if media.uploaded.is_some() { "True" } else { "False" },
    })
}

/// On `media`, to the connection that announced files on `message`.
pub fn media_announced(message: MessageId, medias: &[Media]) -> Value {
    json!({ "media_list": media_list(medias), "message_id": message })
}

fn owned_content(media: &Media, key: &str, owner: Value, dates: Dates) -> Value {
    let mut shape = json!({
        "id": media.id,
        "media": media_simple(media),
        "upload_time": upload_time(media, dates),
        "purpose": media.purpose,
    });
    shape[key] = owner;
    shape
}

/// A date in any case: clients parse it before they look whether the file has arrived.
fn upload_time(media: &Media, dates: Dates) -> Value {
    dates.json(media.uploaded.unwrap_or(media.created))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CircleId, DeviceId, SmileId, UserId};
    use crate::wire::neo::samples::{ann, awaited, circle, device, hello, picture};

    #[test]
    fn a_file_reads_as_the_page_shows() {
        let before = json!({
            "id": 1, "filename": null, "extension": null, "identifier": "cat.png",
            "uploaded": "False",
        });
        let after = json!({
            "id": 1, "filename": "cat", "extension": ".png", "identifier": "cat.png",
            "uploaded": "True",
        });
        assert_eq!(media_simple(&awaited()), before);
        assert_eq!(media_simple(&picture()), after);
        let announced = json!({"media_list": [before], "message_id": 6});
        assert_eq!(media_announced(MessageId::new(6), &[awaited()]), announced);
    }

    #[test]
    fn a_link_shows_its_file_and_its_owner() {
        let (message, file) = (hello(), picture());
        let (date, time) = ("Thu, 11 Oct 2018 09:03:01 GMT", "2018-10-11T09:03:01.500000");
        let owned = |owner: &str, simple: Value| {
            json!({
                "id": 1, owner: simple, "media": media_simple(&file), "upload_time": date,
                "purpose": "default",
            })
        };
        let table = [
            (
                message_media_content(&file, &message, Dates::Socket),
                json!({
                    "id": 1, "message": message_simple(&message, Dates::Socket),
                    "media": media_simple(&file), "upload_time": time,
                }),
            ),
            (
                user_media_content(&file, &ann(), Dates::Rest),
                owned("user", user_simple(&ann(), Dates::Rest)),
            ),
            (
                device_media_content(&file, &device(), Dates::Rest),
                owned("device", device_simple(&device(), Dates::Rest)),
            ),
            (
                circle_media_content(&file, &circle(), Dates::Rest),
                owned("circle", circle_simple(&circle(), Dates::Rest)),
            ),
        ];
        for (shape, expected) in table {
            assert_eq!(shape, expected);
        }
    }

    #[test]
    fn a_link_without_content_names_its_owner_by_number() {
        let table = [
            (MediaOwner::User(UserId::new(4)), "user_id"),
            (MediaOwner::Device(DeviceId::new(4)), "device_id"),
            (MediaOwner::Circle(CircleId::new(4)), "circle_id"),
        ];
        for (owner, key) in table {
            let shape = owned_media_simple(&Media { owner, ..awaited() }, Dates::Rest);
            let expected = json!({
                "id": 1, key: 4, "media_id": 1, "upload_time": "Thu, 11 Oct 2018 09:03:00 GMT",
                "purpose": "default", "filename": null, "extension": null,
                "identifier": "cat.png", "uploaded": "False",
            });
            assert_eq!(shape, expected);
        }
    }

    #[test]
    fn administrators_read_where_a_file_belongs() {
        let table = [
            (MediaOwner::Message(MessageId::new(6)), Some(json!({"id": 1})), "conversation"),
            (MediaOwner::User(UserId::new(4)), Some(json!({"id": 1})), "user"),
            (MediaOwner::Device(DeviceId::new(9)), Some(json!({"id": 1})), "device"),
            (MediaOwner::Circle(CircleId::new(2)), Some(json!({"id": 1})), "circle"),
            (MediaOwner::Smile(SmileId::new(2)), None, "error"),
            (MediaOwner::User(UserId::new(4)), None, "error"),
        ];
        for (owner, content, link) in table {
            let expected = json!({
                "id": 1, "media_link": link,
                "link_content": content.clone().unwrap_or_else(|| "error".into()),
                "filename": "cat", "extension": ".png", "directory": "", "identifier": "cat.png",
                "uploaded": true,
            });
            assert_eq!(media_content(&Media { owner, ..picture() }, content), expected);
        }
    }
}
