//! The whole server from outside: one binary, so that it is linked once.

mod cli;
mod first_steps;
mod layers;
mod neo_accounts;
mod socketio_transport;
mod store;
mod support;
