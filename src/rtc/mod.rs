//! Placeholder for the `rtc` module.
