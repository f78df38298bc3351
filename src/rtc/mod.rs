//! Calls: what parties need to find each other, and to be relayed where they cannot.

mod introductions;

pub use introductions::Introductions;
