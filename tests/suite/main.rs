//! The whole server from outside: one binary, so that it is linked once.

mod store;
mod support;
