//! What the server talks about: no wires, no sockets, no tables.

mod id;
mod time;

pub use id::{
    CircleId, CircleLinkId, ConversationId, DeviceId, FileId, InviteId, LinkId, LoginId, MediaId,
    MessageId, Place, Principal, Revision, Seq, SmileId, UserId,
};
pub use time::Timestamp;
