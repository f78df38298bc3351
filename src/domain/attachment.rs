//! Files: announced by name, then stored when their bytes arrive.

use super::{CircleId, DeviceId, FileId, MediaId, MessageId, SmileId, Timestamp, UserId};

/// To what a file belongs; a file belongs to exactly one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaOwner {
    /// A message.
    Message(MessageId),
    /// A user.
    User(UserId),
    /// A device.
    Device(DeviceId),
    /// A circle.
    Circle(CircleId),
    /// A smile.
    Smile(SmileId),
}

/// A file that belongs to a message, an account or a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Which it is.
    pub id: MediaId,
    /// Its public name, which changes when its bytes are replaced.
    pub file: FileId,
    /// What it belongs to.
    pub owner: MediaOwner,
    /// What the owner uses it for; `default` if nothing was said.
    pub purpose: String,
    /// The name that was announced.
    pub identifier: String,
    /// The name without extension, made safe; none until the bytes arrive.
    pub filename: Option<String>,
    /// The extension with its dot, perhaps empty; none until the bytes arrive.
    pub extension: Option<String>,
    /// A note of the administrator; never used to find a file.
    pub directory: String,
    /// The type sniffed from the bytes, or declared by a dialect that declares one.
    pub mime: Option<String>,
    /// Number of bytes.
    pub size: Option<u64>,
    /// When the bytes arrived.
    pub uploaded: Option<Timestamp>,
    /// When it was announced.
    pub created: Timestamp,
}
