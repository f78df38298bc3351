//! The store on every database that is there.

mod log;
mod schema;
mod transactions;
