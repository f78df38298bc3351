//! The store on every database that is there.

mod conversations;
mod log;
mod schema;
mod transactions;
