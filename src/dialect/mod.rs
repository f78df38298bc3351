//! Placeholder for the `dialect` module.
