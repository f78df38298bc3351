//! Presence is the truth, in order, at once: as all dialects show it, whatever the database does.

mod crowd;
mod leaving;
mod moments;
mod sharing;
