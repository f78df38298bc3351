//! Placeholder for the `wire` module.
