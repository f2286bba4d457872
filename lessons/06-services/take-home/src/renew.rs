//! New certificates in time, while everything runs.
//!
//! The mistakes this prevents: a certificate that is renewed by hand, once; a renewal that is
//! tried on the last day, when the issuer happens to be down; a thousand services that all renew
//! in the same second; a timer that was set by a clock that has been corrected since.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher;
use std::time::Duration;

use careful_certificates::leaf::{Leaf, LeafError};
use thiserror::Error;

use crate::credentials::Credentials;

/// What time it is, and how time passes.
pub trait Clock: Send + Sync {
    /// Seconds since 1970.
    fn now(&self) -> u64;
    /// Returns after so long.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        crate::caller::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// The longest sleep, so that a clock that is set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// For one try.
const LONGEST_TRY: Duration = Duration::from_secs(60);
/// Between two tries at first, in seconds; each pause is twice as long as the one before, up to
/// a limit.
const FIRST_PAUSE: u64 = 5;

/// The longest pause, in seconds: an eighth of the time that is left, between a minute and an
/// hour. So there are several tries however short the life is, and a try a minute after the end.
fn longest_pause(left: u64) -> u64 {
    (left / 8).clamp(60, 3600)
}

/// Gets new credentials: a request with a new key to your issuer, or by ACME.
pub trait Obtain: Send + Sync {
    /// Why there are none.
    type Error: std::fmt::Display + Send;
    /// New credentials, within a minute.
    fn obtain(&self) -> impl Future<Output = Result<Credentials, Self::Error>> + Send;
}

/// What there is to tell, for a log and for an alarm.
#[derive(Debug)]
pub enum Renewal<E> {
    /// New credentials are installed; they are renewed again at this time, in seconds since 1970.
    Installed(u64),
    /// There were none. The old ones are valid for so many seconds more; the next try is in so
    /// many.
    Failed(E, u64, u64),
    /// There was no answer within a minute. The same numbers.
    NoAnswer(u64, u64),
    /// What came can't be used. The same numbers.
    Unfit(Unfit, u64, u64),
    /// The old ones have expired, and there are no new ones. It goes on trying.
    Expired,
}

/// Why new credentials were not installed.
#[derive(Debug, Error)]
pub enum Unfit {
    /// A certificate of the chain cannot be read.
    #[error("the new certificate cannot be read")]
    Leaf(#[from] LeafError),
    /// It, or one above it, ends no later than the one that it is to replace, or is not valid
    /// now.
    #[error("the new certificate is valid from {0} until {1}, which is no better than the old one")]
    NoBetter(u64, u64),
    /// `install` refused it.
    #[error("the new certificate was not installed: {0}")]
    Refused(String),
}

// ANCHOR: renew_at
/// When to renew: after two thirds of the life, and up to a tenth of it later, by `jitter` from
/// 0 to 1. All in seconds since 1970.
pub fn renew_at(not_before: u64, not_after: u64, jitter: f64) -> u64 {
    let life = not_after.saturating_sub(not_before);
    let later = (life as f64 / 10.0 * jitter.clamp(0.0, 1.0)) as u64;
    not_before + life / 3 * 2 + later
}
// ANCHOR_END: renew_at

/// A number from 0 to 1 that is another one in each process and for each call. Not for secrets.
fn jitter() -> f64 {
    (RandomState::new().hash_one(0_u8) >> 11) as f64 / (1_u64 << 53) as f64
}

// ANCHOR: keep_valid
/// Renews for as long as the future is polled: run it in a task of its own.
///
/// `install` makes configurations of the new credentials and gives them to the server and the
/// clients; if it refuses, the old ones stay.
pub async fn keep_valid<O: Obtain>(
    first: &Leaf,
    source: &O,
    clock: &impl Clock,
    install: impl Fn(Credentials) -> Result<(), String> + Send + Sync,
    tell: impl Fn(Renewal<O::Error>) + Send + Sync,
) {
    let (mut not_before, mut not_after) = (first.not_before, first.not_after);
    loop {
        sleep_until(renew_at(not_before, not_after, jitter()), clock).await;
        let mut pause = FIRST_PAUSE;
        (not_before, not_after) = loop {
            let left = not_after.saturating_sub(clock.now());
            if left == 0 {
                tell(Renewal::Expired);
            }
            // Up to half as long again, so that those who failed together don't come together.
            let wait = pause + (pause as f64 / 2.0 * jitter()) as u64;
            match tokio::time::timeout(LONGEST_TRY, source.obtain()).await {
                Ok(Ok(new)) => match fit(&new, not_after, clock.now()) {
                    Ok(times) => match install(new) {
                        Ok(()) => break times,
                        Err(why) => tell(Renewal::Unfit(Unfit::Refused(why), left, wait)),
                    },
                    Err(unfit) => tell(Renewal::Unfit(unfit, left, wait)),
                },
                Ok(Err(error)) => tell(Renewal::Failed(error, left, wait)),
                Err(_elapsed) => tell(Renewal::NoAnswer(left, wait)),
            }
            // A duration and not a time, in case somebody corrects the clock meanwhile.
            clock.sleep(Duration::from_secs(wait)).await;
            pause = (pause * 2).min(longest_pause(left));
        };
        tell(Renewal::Installed(renew_at(not_before, not_after, 0.0)));
    }
}
// ANCHOR_END: keep_valid

/// From when until when the new chain is valid, if it is now, and longer than the old one.
fn fit(new: &Credentials, old_end: u64, now: u64) -> Result<(u64, u64), Unfit> {
    let leaf = Leaf::from_der(new.chain.first().ok_or(LeafError::None)?)?;
    let (mut from, mut until) = (leaf.not_before, leaf.not_after);
    for above in new.chain.iter().skip(1) {
        let above = Leaf::from_der(above)?;
        (from, until) = (from.max(above.not_before), until.min(above.not_after));
    }
    match (from..=until).contains(&now) && until > old_end {
        true => Ok((leaf.not_before, until)),
        false => Err(Unfit::NoBetter(from, until)),
    }
}

/// In steps, so that a clock that was set is noticed within a minute.
async fn sleep_until(time: u64, clock: &impl Clock) {
    loop {
        let left = time.saturating_sub(clock.now());
        if left == 0 {
            return;
        }
        clock.sleep(Duration::from_secs(left).min(LONGEST_SLEEP)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_comes_after_two_thirds_and_well_before_the_end() {
        assert_eq!(renew_at(1000, 1900, 0.0), 1600);
        assert_eq!(renew_at(1000, 1900, 1.0), 1690);
        assert_eq!(renew_at(1000, 1900, 7.0), 1690, "no jitter is larger than one");
        assert_eq!(renew_at(2000, 1000, 1.0), 2000, "an impossible life is renewed at once");
        for _ in 0..100 {
            assert!((0.0..=1.0).contains(&jitter()));
        }
        assert_eq!([0, 600, 8 * 3600, 80_000].map(longest_pause), [60, 75, 3600, 3600]);
    }
}
