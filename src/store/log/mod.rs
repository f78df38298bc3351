//! The one writer of history.
//!
//! Entries are numbered, stored and published in one order. Whatever has queued up while a transaction was committing
//! goes into the next one, so the cost of a commit is shared and nobody waits for a timer.

mod batch;
mod charged;
mod permits;
mod plan;
mod portable;
mod postgres;
mod queue;
mod sqlite;
mod writer;

pub use batch::{Batch, Cursor, Mark, NewMedia, NewRow, NotPlaced, Outcome, Placed, StoredFile};
pub use charged::Tariff;
pub(crate) use charged::{book, pay};
pub(super) use portable::lock_heads;
pub use queue::Log;
pub(super) use queue::key;
pub use writer::BatchWriter;
