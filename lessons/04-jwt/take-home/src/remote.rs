//! A verifier whose keys come from the issuer, and change.
//!
//! The mistakes this prevents: keys that are fetched once and never again; a fetch for each token
//! that names an unknown key, with which a stranger makes your service attack its issuer.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::OwnedMutexGuard;

use crate::claims::Claims;
use crate::clock::Clock;
use crate::denylist::{DenyList, DenyListFull};
use crate::jwks::KeySet;
use crate::profile::Profile;
use crate::verifier::{Reason, Refused, Verifier};

/// When keys are fetched, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    between_tries: u64,
    renew_after: u64,
    forget_after: u64,
}

/// Why there is no [`Freshness`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FreshnessError {
    /// With no pause between two tries, every token that names an unknown key is a fetch.
    #[error("expected at least a second between two tries")]
    NoPause,
    /// Keys are fetched again, at the earliest, at the next try; and before they are forgotten.
    #[error("expected between_tries <= renew_after <= forget_after")]
    Order,
}

impl Freshness {
    /// The least time between two tries, whatever tokens come; the age from which on keys are
    /// fetched again; the age from which on they are not used any more, if they could not be
    /// fetched again. A key that was taken out is trusted for `renew_after` more and until the fetch
    /// that the next token begins has succeeded, and for `forget_after` if none does.
    ///
    /// # Errors
    /// See [`FreshnessError`].
    pub fn new(
        between_tries: Duration,
        renew_after: Duration,
        forget_after: Duration,
    ) -> Result<Self, FreshnessError> {
        let [between_tries, renew_after, forget_after] =
            [between_tries, renew_after, forget_after].map(|time| time.as_secs());
        if between_tries == 0 {
            return Err(FreshnessError::NoPause);
        }
        match between_tries <= renew_after && renew_after <= forget_after {
            true => Ok(Self { between_tries, renew_after, forget_after }),
            false => Err(FreshnessError::Order),
        }
    }
}

impl Default for Freshness {
    /// 30 seconds, 5 minutes, an hour.
    fn default() -> Self {
        Self { between_tries: 30, renew_after: 5 * 60, forget_after: 60 * 60 }
    }
}

/// Verifies with the keys that `fetch` brings. Clones share them.
pub struct RemoteVerifier<F>(Arc<Inner<F>>);

struct Inner<F> {
    profile: Profile,
    clock: Clock,
    freshness: Freshness,
    denied: Arc<DenyList>,
    fetch: F,
    /// The keys, and when they came.
    current: Mutex<Option<(u64, Arc<Verifier>)>>,
    /// When the last fetch was tried. Held during a fetch: there is one at a time.
    last_try: Arc<tokio::sync::Mutex<Option<u64>>>,
}

impl<F> Clone for RemoteVerifier<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<F, R, E> RemoteVerifier<F>
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<KeySet, E>> + Send + 'static,
    E: Send + 'static,
{
    /// `fetch` asks the issuer, over HTTPS and within a deadline of its own. Its errors are its own
    /// to log: here a failure means that the old keys stay until they are too old.
    pub fn new(
        profile: Profile,
        clock: Clock,
        freshness: Freshness,
        denied: Arc<DenyList>,
        fetch: F,
    ) -> Self {
        let (current, last_try) = Default::default();
        let inner = Inner { profile, clock, freshness, denied, fetch, current, last_try };
        Self(Arc::new(inner))
    }

    /// The claims of a bearer token, as [`Verifier::verify`].
    ///
    /// # Errors
    /// [`Refused`]
    pub async fn verify<T: DeserializeOwned>(&self, token: &str) -> Result<Claims<T>, Refused> {
        self.with_keys(|verifier| verifier.verify(token)).await
    }

    /// The claims of a token that is bound to the holder of this certificate, as
    /// [`Verifier::verify_bound`].
    ///
    /// # Errors
    /// [`Refused`]
    pub async fn verify_bound<T: DeserializeOwned>(
        &self,
        token: &str,
        certificate: &CertificateDer<'_>,
    ) -> Result<Claims<T>, Refused> {
        self.with_keys(|verifier| verifier.verify_bound(token, certificate)).await
    }

    /// Refuses a token from now on that it would accept, as [`Verifier::deny`]: on the list that it
    /// was made with.
    ///
    /// # Errors
    /// The list is full.
    pub fn deny<T>(&self, claims: &Claims<T>) -> Result<(), DenyListFull> {
        self.0.denied.deny(claims, self.0.clock.now())
    }

    // ANCHOR: verify
    async fn with_keys<T>(
        &self,
        verify: impl Fn(&Verifier) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let verifier = match self.0.usable(self.0.freshness.renew_after) {
            Some(verifier) => verifier,
            None => self.renewed(None).await?,
        };
        match verify(&verifier) {
            // The key may be new, so fetch once, unless the last fetch was a moment ago.
            Err(refused) if *refused.reason() == Reason::UnknownKey => {
                verify(&*self.renewed(Some(verifier)).await?)
            }
            verified => verified,
        }
    }
    // ANCHOR_END: verify

    // ANCHOR: renew
    /// Keys newer than `old` if a fetch is allowed now and succeeds, and the current keys otherwise.
    async fn renewed(&self, old: Option<Arc<Verifier>>) -> Result<Arc<Verifier>, Refused> {
        let Freshness { between_tries, renew_after, forget_after } = self.0.freshness;
        let old_keys_do = old.is_none();
        let mut last_try = match self.turn(old_keys_do).await {
            Ok(mine) => mine,
            Err(there) => return Ok(there),
        };
        let now = self.0.clock.now();
        // A task that waited while another task fetched finds the new keys here.
        if let Some(there) = self.0.usable(renew_after)
            && old.is_none_or(|old| !Arc::ptr_eq(&old, &there))
        {
            return Ok(there);
        }
        let pause_is_over = |last| now < last || now >= last.saturating_add(between_tries);
        if last_try.is_none_or(pause_is_over) {
            *last_try = Some(now);
            let inner = self.0.clone();
            // A task: a client that goes away does not stop the fetch, which others wait for,
            // too. If it panics, the keys stay as they are.
            let fetching = tokio::spawn(async move {
                inner.fetch_keys(now).await;
                drop(last_try);
            });
            // The current keys are good enough, so nobody waits for the fetch.
            if old_keys_do && let Some(there) = self.0.usable(forget_after) {
                return Ok(there);
            }
            let _ended = fetching.await;
        }
        self.0.usable(forget_after).ok_or_else(|| Refused::because(Reason::NoKeys))
    }
    // ANCHOR_END: renew

    /// The turn to fetch. While another one has it, the keys that are not too old, if they may do;
    /// else it waits here, and not in a task: a client that goes away leaves the queue.
    async fn turn(&self, old_keys_do: bool) -> Result<OwnedMutexGuard<Option<u64>>, Arc<Verifier>> {
        let turn = self.0.last_try.clone();
        if let Ok(mine) = turn.clone().try_lock_owned() {
            return Ok(mine);
        }
        match self.0.usable(self.0.freshness.forget_after) {
            Some(there) if old_keys_do => Err(there),
            _ => Ok(turn.lock_owned().await),
        }
    }
}

impl<F> Inner<F> {
    /// Keys are as old as the question.
    async fn fetch_keys<R, E>(&self, asked: u64)
    where
        F: Fn() -> R,
        R: Future<Output = Result<KeySet, E>>,
    {
        if let Ok(keys) = (self.fetch)().await {
            let verifier = Verifier::new(self.profile.clone(), keys, self.clock.clone())
                .with_deny_list(self.denied.clone());
            *self.lock() = Some((asked, Arc::new(verifier)));
        }
    }

    /// The keys, if they are younger than this, in seconds. A clock that was set back makes no key
    /// young again: keys of the future are not used.
    fn usable(&self, age: u64) -> Option<Arc<Verifier>> {
        let current = self.lock();
        let (since, verifier) = current.as_ref()?;
        let young = (*since..since.saturating_add(age)).contains(&self.clock.now());
        young.then(|| verifier.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<(u64, Arc<Verifier>)>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
