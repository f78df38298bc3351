//! How far a message has come with one reader.

/// A step of a message on its way to a reader; only forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Receipt {
    /// A connection of the reader has confirmed it.
    Delivered,
    /// The reader has said so.
    Seen,
}
