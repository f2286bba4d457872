//! How many log lines others can cause.
//!
//! The mistake this prevents: a stranger who chooses how fast the disk fills. A connection without a login
//! can ask, and be refused, thousands of times a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// So many lines in each second. More are left out, and counted.
#[derive(Debug)]
pub struct LogBudget {
    most: u32,
    /// When this second began, and how many lines it had.
    second: Mutex<(Instant, u32)>,
    left_out: AtomicU64,
}

impl LogBudget {
    /// At most `most` lines a second.
    pub fn new(most: u32) -> Self {
        Self { most, second: Mutex::new((Instant::now(), 0)), left_out: AtomicU64::new(0) }
    }

    /// Whether one more line may be written now. If not, it is counted.
    pub fn allows(&self) -> bool {
        self.allows_at(Instant::now())
    }

    fn allows_at(&self, now: Instant) -> bool {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, lines) = &mut *second;
        if now.saturating_duration_since(*began) >= SECOND {
            (*began, *lines) = (now, 0);
        }
        *lines = lines.saturating_add(1);
        let allowed = *lines <= self.most;
        if !allowed {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        allowed
    }

    /// How many lines were left out so far.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_budget_of_a_second_is_counted_and_the_next_second_has_its_own() {
        let budget = LogBudget::new(3);
        let began = Instant::now();
        assert_eq!((0..1000).filter(|_| budget.allows_at(began)).count(), 3);
        assert_eq!(budget.left_out(), 997);
        assert!(!budget.allows_at(began + SECOND / 2));
        let next = began + SECOND * 2;
        assert_eq!((0..1000).filter(|_| budget.allows_at(next)).count(), 3);
        assert!(!budget.allows_at(began), "the clock of threads that wait may be behind");
    }

    #[test]
    fn a_budget_of_nothing_allows_nothing() {
        let budget = LogBudget::new(0);
        assert!(!budget.allows() && budget.left_out() == 1);
    }
}
