//! The whole server from outside: one binary, so that it is linked once.

#![recursion_limit = "256"]

mod account_bounds;
mod bounds;
mod checklist;
mod cli;
mod courier;
mod crash;
mod faults;
mod first_steps;
mod generations;
mod layers;
mod long_replies;
mod members_chat;
mod multichat;
mod neo_accounts;
mod neo_conversations;
mod neo_events;
mod openapi;
mod operators;
mod outages;
mod output;
mod presence;
mod private_chat;
mod proxies;
mod relay;

mod resume;
mod rosetta;
mod secure;
mod sixth_dialect;
mod soak;
mod socketio_transport;
mod starving;
mod store;
mod support;
mod who_may;
mod wire_input;
