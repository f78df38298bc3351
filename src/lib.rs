//! Klatsch: one realtime server, five chat dialects, one set of conversations.
//!
//! Read `domain::event`, `session`, `dialect::neo`, `service::messages` and `store::log`, in this order;
//! the rest is more of the same. Who may know whom stands in `tests/suite/layers.rs`.

// The transactions of the store nest deeper than the default allows for.
#![recursion_limit = "256"]

pub mod app;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod dialect;
pub mod domain;
pub mod http;
pub mod hub;
pub mod json;
pub mod policy;
pub mod rtc;
pub mod service;
pub mod session;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod transport;
pub mod wire;
