//! Placeholder for the `service` module.
