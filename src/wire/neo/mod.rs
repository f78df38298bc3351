//! The JSON shapes of the NEO interface (protocols/neo.md, 1.3).
//!
//! Every shape exists once; `Dates` says whether it travels over HTTP or in an event.

mod circle;
mod dates;
mod party;
#[cfg(test)]
pub(crate) mod samples;

pub use circle::{
    circle_simple, invite_circle_view, invite_user_view, user_circle_circle_view,
    user_circle_user_view,
};
pub use dates::{Dates, read_date, read_day};
pub use party::{device_simple, party_simple, user_simple};
