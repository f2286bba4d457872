//! What time it is, in seconds since 1970: the unit of every time in a token (RFC 7519 section 2,
//! NumericDate).
//!
//! The mistake this prevents: a check of times that no test can reach, because the clock cannot be
//! set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// The system's clock, or one that tests set.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicU64>>);

impl Clock {
    /// The system's.
    pub fn system() -> Self {
        Self(None)
    }

    /// One that stands still at `now` until it is moved. Clones move together.
    pub fn settable(now: u64) -> Self {
        Self(Some(Arc::new(AtomicU64::new(now))))
    }

    /// Seconds since 1970; 0 if the system's clock says that it is before.
    pub fn now(&self) -> u64 {
        match &self.0 {
            Some(now) => now.load(Ordering::SeqCst),
            None => SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        }
    }

    /// Sets a settable clock, back if need be. The system's is not set.
    pub fn set(&self, now: u64) {
        if let Some(clock) = &self.0 {
            clock.store(now, Ordering::SeqCst);
        }
    }

    /// Moves a settable clock on, by whole seconds. The system's is not moved.
    pub fn advance(&self, by: Duration) {
        if let Some(now) = &self.0 {
            now.fetch_add(by.as_secs(), Ordering::SeqCst);
        }
    }
}
