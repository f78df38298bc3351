//! Rows as they lie in the database, one module per table.
//!
//! Times are microseconds since the Unix epoch. A principal is one number: users count upwards from one, devices
//! downwards from minus one. The schema itself is made by the `migration` package.

pub mod circle_invites;
pub mod circle_members;
pub mod circles;
pub mod commits;
pub mod conversation_heads;
pub mod conversations;
pub mod counters;
pub mod devices;
pub mod group_refs;
pub mod ledger;
pub mod logins;
pub mod medias;
pub mod members;
pub mod message_changes;
pub mod message_edits;
pub mod messages;
pub mod multichat_parked;
pub mod notices;
pub mod read_ranges;
pub mod smiles;
pub mod users;
