//! Placeholder for the `transport` module.
