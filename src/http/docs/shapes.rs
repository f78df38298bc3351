//! The named shapes of answers, in the notation of `notation`.
//!
//! What writes them stands in `wire::neo` and beside the routes; tests hold real answers
//! against these.

/// Name and notation of each.
pub(super) const SHAPES: &[(&str, &str)] = &[
    ("Failure", "{success: flag, message: text, code?: text}"),
    ("MembersFailure", "{detail: text, code: text}"),
    (
        "User.simple",
        "{id: integer, email: text, first_name: text, last_name: text, birthday: text?, \
          created: text, updated: text, isOnline: flag, type: text}",
    ),
    (
        "User.content",
        "{id: integer, email: text, first_name: text, last_name: text, birthday: text?, \
          created: text, updated: text, isOnline: flag, type: text, hangout: flag, \
          facebook: flag, ios_token: flag, circles: [UserCircle.userView], \
          invites: [Invite.userView], conversations: [UserConversation.simple], \
          medias: [UserMedia.content]}",
    ),
    (
        "Device.simple",
        "{id: integer, name: text, created: text, updated: text, circle_id: integer, \
          activated: flag, username: text, is_online: flag}",
    ),
    (
        "Device.content",
        "{id: integer, name: text, created: text, updated: text, activated: flag, \
          username: text, is_online: flag, circle: Circle.simple | {}, \
          messages: [Message.simple], medias: [DeviceMedia.content]}",
    ),
    ("Circle.simple", "{id: integer, name: text, created: text, updated: text, device: integer}"),
    (
        "Circle.content",
        "{id: integer, name: text, created: text, updated: text, \
          users: [UserCircle.circleView], device: Device.simple | {}, \
          invites: [Invite.circleView], conversations: [Conversation.simple], \
          medias: [CircleMedia.content]}",
    ),
    (
        "UserCircle.userView",
        "{id: integer, user: integer, circle: Circle.simple, created: text, updated: text, \
          privilege: text}",
    ),
    (
        "UserCircle.circleView",
        "{id: integer, user: User.simple, circle: integer, created: text, updated: text, \
          privilege: text}",
    ),
    (
        "Invite.userView",
        "{id: integer, user: integer, circle: Circle.simple, created: text, updated: text}",
    ),
    (
        "Invite.circleView",
        "{id: integer, user: User.simple, circle: integer, created: text, updated: text}",
    ),
    (
        "Conversation.simple",
        "{id: integer, name: text, created: text, updated: text, circle_id: integer?, \
          device_access: flag}",
    ),
    (
        "Conversation.content",
        "{id: integer, name: text, created: text, updated: text, device_access: flag, \
          circle: Circle.simple | {}, links: [UserConversation.content], \
          messages: [Message.simple]}",
    ),
    (
        "UserConversation.simple",
        "{id: integer, created: text, updated: text, privilege: text, user_id: integer, \
          conversation_id: integer, circle_id: integer?}",
    ),
    (
        "UserConversation.content",
        "{id: integer, created: text, updated: text, privilege: text, user_id: User.simple, \
          conversation_id: Conversation.simple, circle_id: integer?, messages: [Message.simple]}",
    ),
    (
        "Message.simple",
        "{id: integer, link_id?: integer?, device_id?: integer, sent: text, read: text?, \
          content: text, medias: integer, seq: integer, revision: integer}",
    ),
    (
        "Message.content",
        "{id: integer, sent: text, read: text?, content: text, \
          link?: UserConversation.simple | {}, device?: Device.simple | {}, \
          medias: [MessageMedia.content], seq: integer, revision: integer}",
    ),
    (
        "Media.simple",
        "{id: integer, filename: text?, extension: text?, identifier: text?, uploaded: text}",
    ),
    (
        "Media.content",
        "{id: integer, media_link: text, link_content: MessageMedia.content | \
          UserMedia.content | DeviceMedia.content | CircleMedia.content | text, \
          filename: text?, extension: text?, directory: text?, identifier: text?, \
          uploaded: flag}",
    ),
    (
        "MessageMedia.content",
        "{id: integer, message: Message.simple, media: Media.simple, upload_time: text}",
    ),
    (
        "UserMedia.content",
        "{id: integer, user: User.simple, media: Media.simple, upload_time: text, purpose: text?}",
    ),
    (
        "DeviceMedia.content",
        "{id: integer, device: Device.simple, media: Media.simple, upload_time: text, \
          purpose: text?}",
    ),
    (
        "CircleMedia.content",
        "{id: integer, circle: Circle.simple, media: Media.simple, upload_time: text, \
          purpose: text?}",
    ),
    (
        "OwnedMedia.simple",
        "{id: integer, user_id?: integer, device_id?: integer, circle_id?: integer, \
          media_id: integer, upload_time: text, purpose: text?, filename: text?, \
          extension: text?, identifier: text?, uploaded: text}",
    ),
    ("IceServer", "{urls: [text], username?: text, credential?: text}"),
    (
        "Member",
        "{id: integer, email: text, first_name: text, last_name: text, balance: integer, \
          is_superuser: flag, is_employee: flag, is_premium: flag, premium_until: text?}",
    ),
    ("Smile", "{id: integer, file_uuid: text, price: integer}"),
];
