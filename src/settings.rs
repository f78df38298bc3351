//! Placeholder for the `settings` module.
