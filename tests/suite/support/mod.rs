//! What tests share.

pub(crate) mod databases;
pub(crate) mod house;
pub(crate) mod load;
pub(crate) mod node;
pub(crate) mod programs;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod server;
pub(crate) mod site;
pub(crate) mod world;
