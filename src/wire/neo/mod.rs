//! The JSON shapes of the NEO interface (protocols/neo.md, 1.3).
//!
//! Every shape exists once; `Dates` says whether it travels over HTTP or in an event.

mod calls;
mod circle;
mod conversation;
mod dates;
mod media;
mod message;
mod party;
#[cfg(test)]
pub(crate) mod samples;

pub use calls::{call_event, call_notice, ice_servers, joined_room, read_call, read_room};
pub use circle::{
    circle_simple, invite_circle_view, invite_user_view, user_circle_circle_view,
    user_circle_user_view,
};
pub use conversation::{
    conversation_changed, conversation_content, conversation_simple, user_conversation_content,
    user_conversation_simple,
};
pub use dates::{Dates, read_date, read_day};
pub use media::{
    circle_media_content, device_media_content, media_announced, media_content, media_list,
    media_simple, message_media_content, owned_media_simple, user_media_content,
};
pub use message::{
    MessageNotice, file_arrived, message_content, message_entry, message_notice, message_sent,
    message_simple,
};
pub use party::{device_simple, party_simple, user_simple};
