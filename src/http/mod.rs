//! Placeholder for the `http` module.
