//! multichat over real sockets: every conformance check of its page, and bad input.

mod access;
mod changes;
mod documented;
mod example;
mod forms;
mod house;
mod page;
mod resume;
mod rooms;
