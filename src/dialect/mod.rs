//! The languages, one folder each. A dialect translates, nothing else: it never decides
//! who may do what, and acts only by asking through its session.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod courier;
pub mod members_chat;
pub mod multichat;
pub mod neo;
pub mod private_chat;
