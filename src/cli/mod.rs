//! Placeholder for the `cli` module.
