//! How far a message has come with one reader.

use super::{MessageId, Principal};

/// A step of a message on its way to a reader; only forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Receipt {
    /// A connection of the reader has confirmed it.
    Delivered,
    /// The reader has said so.
    Seen,
}

/// A message that a step newly marked, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Which.
    pub message: MessageId,
    /// Who wrote it.
    pub author: Principal,
}
