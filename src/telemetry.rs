//! Placeholder for the `telemetry` module.
