//! What time it is, in seconds since 1970: the unit of every time in a token (RFC 7519 section 2,
//! NumericDate). And how much time has passed, which is another question.
//!
//! The mistakes this prevents: a check of times that no test can reach, because the clock cannot be
//! set; a lock or a login that lasts longer, or not at all, because somebody corrected the time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

/// The system's clock, or one that tests set.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Settable>>);

/// In seconds.
#[derive(Debug)]
struct Settable {
    now: AtomicU64,
    elapsed: AtomicU64,
}

impl Clock {
    /// The system's.
    pub fn system() -> Self {
        Self(None)
    }

    /// One that stands still at `now` until it is moved. Clones move together.
    pub fn settable(now: u64) -> Self {
        Self(Some(Arc::new(Settable { now: AtomicU64::new(now), elapsed: AtomicU64::new(0) })))
    }

    /// Seconds since 1970; 0 if the system's clock says that it is before.
    pub fn now(&self) -> u64 {
        match &self.0 {
            Some(settable) => settable.now.load(Ordering::SeqCst),
            None => SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        }
    }

    /// How much time has passed since a moment that stays the same while the program runs. Correcting the
    /// system's time doesn't change it, so use it for everything that shall last for so long. It
    /// isn't comparable between two runs, and may stand still while the machine sleeps
    /// ([`Instant`]).
    pub fn elapsed(&self) -> Duration {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        match &self.0 {
            Some(settable) => Duration::from_secs(settable.elapsed.load(Ordering::SeqCst)),
            None => BEGAN.get_or_init(Instant::now).elapsed(),
        }
    }

    /// Sets a settable clock, as somebody who corrects the time: no time passes by that. The system's
    /// isn't set.
    pub fn set(&self, now: u64) {
        if let Some(settable) = &self.0 {
            settable.now.store(now, Ordering::SeqCst);
        }
    }

    /// Lets time pass for a settable clock, by whole seconds. The system's isn't moved.
    pub fn advance(&self, by: Duration) {
        if let Some(settable) = &self.0 {
            settable.now.fetch_add(by.as_secs(), Ordering::SeqCst);
            settable.elapsed.fetch_add(by.as_secs(), Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corrected_time_is_not_time_that_passes() {
        let clock = Clock::settable(1000);
        clock.set(5000);
        assert_eq!((clock.now(), clock.elapsed()), (5000, Duration::ZERO));
        clock.advance(Duration::from_secs(60));
        clock.set(1000);
        assert_eq!((clock.now(), clock.elapsed()), (1000, Duration::from_secs(60)));
    }

    #[test]
    fn the_systems_clock_runs_on() {
        let clock = Clock::system();
        let before = clock.elapsed();
        assert!(clock.elapsed() >= before && clock.now() > 0);
    }
}
