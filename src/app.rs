//! Placeholder for the `app` module.
