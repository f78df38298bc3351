//! The one source of "now"; tests hold it still.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::Timestamp;

/// Tells the time, or a time that a test has set.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    held: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still until it is moved.
    pub fn held_at(time: Timestamp) -> Self {
        Self { held: Some(Arc::new(AtomicI64::new(time.micros()))) }
    }

    /// Moves a held clock forward; the machine's clock is not impressed.
    pub fn advance(&self, micros: i64) {
        if let Some(held) = &self.held {
            held.fetch_add(micros, Ordering::Relaxed);
        }
    }

    /// The present moment.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    pub fn now(&self) -> Timestamp {
        match &self.held {
            Some(held) => Timestamp::from_micros(held.load(Ordering::Relaxed)),
            None => Timestamp::from_micros(jiff::Timestamp::now().as_microsecond()),
        }
    }
}
