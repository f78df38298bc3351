//! Placeholder for the `hub` module.
