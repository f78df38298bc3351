//! The store on every database that is there.

mod schema;
mod transactions;
