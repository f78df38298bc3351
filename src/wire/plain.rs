//! Messages in plain words, for dialects that know nothing but strings.
//!
//! Files and smiles become a line each with an address at which they can be fetched.

use crate::domain::{FileId, Message};

/// What readers of strings are shown of a message; nothing if it is not shown (yet, or any
/// more), or holds neither words nor files.
pub fn words(message: &Message, public_url: &str) -> Option<String> {
    message.place?;
    if message.deleted.is_some() {
        return None;
    }
    let mut text = message.text.clone();
    let mut line = |what: String| {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&what);
    };
    if let Some(smile) = message.smile {
        line(format!("[smile {}] {}", smile.id, address(public_url, smile.file)));
    }
    // The picture of a smile is a file to those who know no smiles.
    for media in message.medias.iter().filter(|_| message.smile.is_none()) {
        line(format!("[file {}] {}", media.identifier, address(public_url, media.file)));
    }
    (!text.is_empty()).then_some(text)
}

/// Where a stored file is fetched; a bare path where the server does not know its own name.
pub fn address(public_url: &str, file: FileId) -> String {
    format!("{}/storage?uuid={}", public_url.trim_end_matches('/'), file.get())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        ConversationId, Media, MediaId, MediaOwner, MessageId, MessageKind, Place, Principal,
        Revision, Seq, Smile, SmileId, Timestamp, UserId,
    };

    fn message(text: &str) -> Message {
        Message {
            id: MessageId::new(90),
            conversation: ConversationId::new(2),
            seq: Seq::new(1),
            revision: Revision::new(1),
            place: Some(Place::new(90)),
            author: Principal::User(UserId::new(1)),
            link: None,
            kind: MessageKind::Text,
            text: text.to_owned(),
            smile: None,
            sent: Timestamp::default(),
            edited: None,
            deleted: None,
            read: None,
            media_count: 0,
            medias: Vec::new(),
        }
    }

    fn media(name: &str) -> Media {
        Media {
            id: MediaId::new(1),
            file: FileId::new(Uuid::nil()),
            owner: MediaOwner::Message(MessageId::new(90)),
            purpose: "default".to_owned(),
            identifier: name.to_owned(),
            filename: None,
            extension: None,
            directory: String::new(),
            mime: None,
            size: None,
            uploaded: None,
            created: Timestamp::default(),
        }
    }

    const NIL: &str = "/storage?uuid=00000000-0000-0000-0000-000000000000";

    #[test]
    fn words_come_first_and_each_file_has_a_line() {
        let cat = || vec![media("cat.png"), media("dog.png")];
        let smile = Some(Smile { id: SmileId::new(2), file: FileId::new(Uuid::nil()) });
        let table = [
            (message("hi"), Some("hi".to_owned())),
            (
                Message { medias: cat(), ..message("hi") },
                Some(format!("hi\n[file cat.png] {NIL}\n[file dog.png] {NIL}")),
            ),
            (
                Message { medias: vec![media("cat.png")], ..message("") },
                Some(format!("[file cat.png] {NIL}")),
            ),
            (Message { smile, ..message("") }, Some(format!("[smile 2] {NIL}"))),
            (Message { smile, medias: cat(), ..message("") }, Some(format!("[smile 2] {NIL}"))),
            (message(""), None),
            (Message { place: None, ..message("later") }, None),
            (Message { deleted: Some(Timestamp::default()), ..message("gone") }, None),
        ];
        for (message, shown) in table {
            assert_eq!(words(&message, ""), shown, "{message:?}");
        }
        let with_file = Message { medias: vec![media("a")], ..message("") };
        let shown = words(&with_file, "https://chat.example/");
        assert_eq!(shown, Some(format!("[file a] https://chat.example{NIL}")));
    }
}
