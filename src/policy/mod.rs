//! Placeholder for the `policy` module.
