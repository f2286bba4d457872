//! New certificates in time, while everything runs.
//!
//! The mistakes this prevents: a certificate that is renewed by hand, once; a renewal that is
//! tried on the last day, when the issuer happens to be down; a thousand services that all renew
//! in the same second; a timer that was set by a clock that has been corrected since.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use careful_tls::provider::crypto_provider;
use futures_util::FutureExt as _;
use rustls::sign::CertifiedKey;
use thiserror::Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

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

/// The longest pause, in seconds: an eighth of the time that is left, between a minute and an
/// hour. So there are several tries however short the life is, and a try a minute after the end.
fn longest_pause(left: u64) -> u64 {
    (left / 8).clamp(60, 3600)
}

// ANCHOR: obtain
/// Gets new credentials: a request with a new key to your issuer, or by ACME.
pub trait Obtain: Send + Sync {
    /// Why there are none.
    type Error: std::fmt::Display + Send;

    /// New credentials, within a minute. After that, or when the program ends, the future is
    /// dropped where it waits.
    fn obtain(&self) -> impl Future<Output = Result<Credentials, Self::Error>> + Send;

    /// Between the first two tries. Each later pause is twice as long as the one before, up to an
    /// hour, and less when little time is left, but never less than this. A public CA counts what
    /// fails: choose it so that your tries stay within its limits.
    fn first_pause(&self) -> Duration {
        Duration::from_secs(5)
    }
}
// ANCHOR_END: obtain

/// What there is to tell, for a log and for an alarm.
#[derive(Debug)]
pub enum Renewal<E> {
    /// New credentials are installed; they are renewed again at this time, in seconds since 1970.
    Installed(u64),
    /// There are none. The old ones are valid for so many seconds more; the next try is in so
    /// many.
    Failed(Failure<E>, u64, u64),
    /// The old ones have expired, and there are no new ones. It goes on trying.
    Expired,
}

/// Why a try failed.
#[derive(Debug, Error)]
pub enum Failure<E> {
    /// What the source says.
    #[error("{0}")]
    Source(E),
    /// The source had no answer within a minute.
    #[error("no answer within a minute")]
    NoAnswer,
    /// The source panicked: a fault in it, which what the issuer sends may have found. (A program
    /// with `panic = "abort"` has ended instead.)
    #[error("the source of credentials panicked")]
    Panicked,
    /// What came can't be used.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// `install` refused it. The next try installs the same credentials, and asks for none, as
    /// long as they are fit.
    #[error("not installed: {0}")]
    NotInstalled(String),
}

/// Why credentials can't be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unfit {
    /// There is no certificate, or one of the chain cannot be parsed.
    #[error("the new certificate cannot be read")]
    Unreadable,
    /// The private key isn't the certificate's.
    #[error("the new certificate is for another key")]
    Key,
    /// The certificate, or one above it, ends no later than the one that it is to replace, or is
    /// not valid now. The times are in seconds since 1970.
    #[error("the new certificate is valid from {0} until {1}, which is no better than the old one")]
    NoBetter(u64, u64),
    /// A name or a purpose of the first certificate is not in it.
    #[error("the new certificate lacks {0}")]
    Lacks(String),
}

/// What a renewer knows of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The first second of the leaf's validity, since 1970.
    pub not_before: u64,
    /// The last second in which the whole chain is valid.
    pub not_after: u64,
    /// Since when the whole chain is valid.
    since: u64,
    /// The names and purposes.
    good_for: BTreeSet<String>,
}

impl Facts {
    /// Reads a chain. Nothing is verified by it but that the key is the leaf's.
    ///
    /// # Errors
    /// [`Unfit::Unreadable`], [`Unfit::Key`]
    pub fn of(own: &Credentials) -> Result<Self, Unfit> {
        let mut times = Vec::new();
        for certificate in &own.chain {
            let validity = parsed(certificate)?.validity().clone();
            let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
            times.push((
                seconds(validity.not_before.timestamp()),
                seconds(validity.not_after.timestamp()),
            ));
        }
        let (not_before, _) = *times.first().ok_or(Unfit::Unreadable)?;
        let (since, not_after) = times
            .iter()
            .fold((0, u64::MAX), |(since, until), (from, to)| (since.max(*from), until.min(*to)));
        CertifiedKey::from_der(own.chain.clone(), own.key.clone_key(), &crypto_provider())
            .map_err(|_| Unfit::Key)?;
        let good_for = good_for(&parsed(&own.chain[0])?)?;
        Ok(Self { not_before, not_after, since, good_for })
    }
}

fn parsed(certificate: &[u8]) -> Result<X509Certificate<'_>, Unfit> {
    X509Certificate::from_der(certificate).map(|(_, parsed)| parsed).map_err(|_| Unfit::Unreadable)
}

/// Names (RFC 5280 section 4.2.1.6) and purposes (section 4.2.1.12), for comparing and for people.
fn good_for(leaf: &X509Certificate<'_>) -> Result<BTreeSet<String>, Unfit> {
    let names = leaf.subject_alternative_name().map_err(|_| Unfit::Unreadable)?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let mut good_for: BTreeSet<String> = names
        .iter()
        .map(|name| match name {
            GeneralName::URI(name) | GeneralName::DNSName(name) => {
                name.escape_default().to_string()
            }
            other => format!("{other:?}"),
        })
        .collect();
    let usage = leaf.extended_key_usage().map_err(|_| Unfit::Unreadable)?;
    // Without the extension, it is for every purpose.
    if usage.as_ref().is_none_or(|usage| usage.value.server_auth) {
        good_for.insert("the purpose serverAuth".to_owned());
    }
    if usage.as_ref().is_none_or(|usage| usage.value.client_auth) {
        good_for.insert("the purpose clientAuth".to_owned());
    }
    Ok(good_for)
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
/// `first` are the facts of the credentials that are in use. Each later certificate must have
/// all of their names and purposes. `install` makes configurations of new credentials and gives
/// them to the server and the clients; if it refuses, the old ones stay.
pub async fn keep_valid<O: Obtain>(
    first: &Facts,
    source: &O,
    clock: &impl Clock,
    install: impl Fn(Credentials) -> Result<(), String> + Send + Sync,
    tell: impl Fn(Renewal<O::Error>) + Send + Sync,
) {
    let mut current = first.clone();
    loop {
        sleep_until(renew_at(current.not_before, current.not_after, jitter()), clock).await;
        let shortest = source.first_pause().as_secs();
        let (mut pause, mut kept) = (shortest, None);
        current = loop {
            let left = current.not_after.saturating_sub(clock.now());
            if left == 0 {
                tell(Renewal::Expired);
            }
            // Up to half as long again, so that those who failed together don't come together.
            let wait = pause + (pause as f64 / 2.0 * jitter()) as u64;
            let fit = |new: &Credentials| fit(new, first, current.not_after, clock.now());
            match one_try(source, &mut kept, fit, &install).await {
                Ok(facts) => break facts,
                Err(why) => tell(Renewal::Failed(why, left, wait)),
            }
            // A duration and not a time, in case somebody corrects the clock meanwhile.
            clock.sleep(Duration::from_secs(wait)).await;
            pause = (pause * 2).min(longest_pause(left).max(shortest));
        };
        tell(Renewal::Installed(renew_at(current.not_before, current.not_after, 0.0)));
        // However wrong the clock is, one renewal in a minute is enough.
        let life = Duration::from_secs(current.not_after.saturating_sub(current.not_before));
        clock.sleep(LONGEST_SLEEP.min(life / 3)).await;
    }
}
// ANCHOR_END: keep_valid

// ANCHOR: one_try
/// Obtains credentials, or takes those that are kept from the try before, and installs them.
async fn one_try<O: Obtain>(
    source: &O,
    kept: &mut Option<Credentials>,
    fit: impl Fn(&Credentials) -> Result<Facts, Unfit>,
    install: impl Fn(Credentials) -> Result<(), String>,
) -> Result<Facts, Failure<O::Error>> {
    let new = match kept.take() {
        Some(kept) => kept,
        None => {
            let obtained = AssertUnwindSafe(source.obtain()).catch_unwind();
            let obtained = tokio::time::timeout(LONGEST_TRY, obtained).await;
            let obtained = obtained.map_err(|_elapsed| Failure::NoAnswer)?;
            obtained.map_err(|_panic| Failure::Panicked)?.map_err(Failure::Source)?
        }
    };
    let facts = fit(&new)?;
    install(new.clone()).map_err(|why| {
        *kept = Some(new);
        Failure::NotInstalled(why)
    })?;
    Ok(facts)
}
// ANCHOR_END: one_try

/// The facts of a new chain, if it is valid now, for longer than the old one, and as good.
fn fit(new: &Credentials, first: &Facts, old_end: u64, now: u64) -> Result<Facts, Unfit> {
    let facts = Facts::of(new)?;
    if !(facts.since..=facts.not_after).contains(&now) || facts.not_after <= old_end {
        return Err(Unfit::NoBetter(facts.since, facts.not_after));
    }
    match first.good_for.difference(&facts.good_for).next() {
        Some(missing) => Err(Unfit::Lacks(missing.clone())),
        None => Ok(facts),
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
