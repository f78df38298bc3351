//! What operators write into settings and put in front of the server, and what comes of it.

mod folders;
mod forwarded;
mod headers;
mod pages;
mod secrets;
mod starts;
