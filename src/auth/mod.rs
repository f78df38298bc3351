//! Placeholder for the `auth` module.
