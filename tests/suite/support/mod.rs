//! What tests share.

pub(crate) mod databases;
pub(crate) mod node;
