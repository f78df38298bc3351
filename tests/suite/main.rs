//! The whole server from outside: one binary, so that it is linked once.

// The transactions of the store nest deeper than the default allows for.
#![recursion_limit = "256"]

mod cli;
mod crash;
mod faults;
mod first_steps;
mod layers;
mod neo_accounts;
mod neo_conversations;
mod socketio_transport;
mod store;
mod support;
