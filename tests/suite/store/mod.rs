//! The store on every database that is there.

mod charges;
mod conversations;
mod log;
mod marks;
mod permits;
mod rooms;
mod schema;
mod transactions;
