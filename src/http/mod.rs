//! Everything that is asked over HTTP, one module per API.

pub mod web;
