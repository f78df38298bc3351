//! multichat over real sockets: every conformance check of its page, and bad input.

mod access;
mod example;
mod house;
