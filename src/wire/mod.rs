//! Wire shapes that a dialect's events and its HTTP API share.
//!
//! Pure functions from `domain` to JSON; who may see what was decided before.

pub mod members_chat;
pub mod neo;
pub mod origin;
pub mod plain;
