//! The people of the page's worked example, for tests.

use crate::domain::{
    Access, Circle, CircleId, Conversation, ConversationId, Device, DeviceId, FileId, Kind, LinkId,
    Media, MediaId, MediaOwner, Membership, Message, MessageId, MessageKind, Place, Principal,
    Revision, Role, Seq, Timestamp, User, UserId,
};

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

/// The conversation that Ann began.
pub(crate) fn conversation() -> Conversation {
    Conversation {
        id: ConversationId::new(3),
        kind: Kind::Group,
        access: Access::Members,
        title: "Conversation".to_owned(),
        description: String::new(),
        circle: Some(CircleId::new(2)),
        device_access: false,
        shown: true,
        pair: None,
        creator: Some(Principal::User(ann().id)),
        created: Timestamp::from_secs(1_539_248_400),
        updated: Timestamp::from_secs(1_539_248_400),
    }
}

/// Ann's place in it.
pub(crate) fn membership() -> Membership {
    Membership {
        link: LinkId::new(7),
        conversation: conversation().id,
        user: ann().id,
        role: Role::Admin,
        created: Timestamp::from_secs(1_539_248_400),
        updated: Timestamp::from_secs(1_539_248_400),
        read: Place::new(0),
        read_seq: Seq::new(0),
        read_at: None,
        delivered: Place::new(0),
    }
}

/// Ann's message, without files.
pub(crate) fn hello() -> Message {
    Message {
        id: MessageId::new(5),
        conversation: conversation().id,
        seq: Seq::new(2),
        revision: Revision::new(3),
        place: Some(Place::new(5)),
        author: Principal::User(ann().id),
        link: Some(membership().link),
        kind: MessageKind::Text,
        text: "hello".to_owned(),
        smile: None,
        sent: Timestamp::from_micros(1_539_248_400_120_311),
        edited: None,
        deleted: None,
        read: None,
        media_count: 0,
        medias: Vec::new(),
    }
}

/// A file whose bytes have not arrived.
pub(crate) fn awaited() -> Media {
    Media {
        id: MediaId::new(1),
        file: FileId::new(uuid::Uuid::nil()),
        owner: MediaOwner::Message(MessageId::new(6)),
        purpose: "default".to_owned(),
        identifier: "cat.png".to_owned(),
        filename: None,
        extension: None,
        directory: String::new(),
        mime: None,
        size: None,
        uploaded: None,
        created: Timestamp::from_secs(1_539_248_580),
    }
}

/// The same when they have.
pub(crate) fn picture() -> Media {
    Media {
        filename: Some("cat".to_owned()),
        extension: Some(".png".to_owned()),
        mime: Some("image/png".to_owned()),
        size: Some(68),
        uploaded: Some(Timestamp::from_micros(1_539_248_581_500_000)),
        ..awaited()
    }
}
