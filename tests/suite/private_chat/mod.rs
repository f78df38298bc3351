//! private-chat over real sockets: every conformance check of its page, and what browsers and
//! programs do besides.

mod bad_input;
mod connecting;
mod crossing;
mod docs;
mod extras;
mod messages;
mod pages;
mod presence;
mod reading;
mod stage;
