//! A verifier whose keys come from the issuer, and change.
//!
//! The mistakes this prevents: keys that are fetched once and never again; a fetch for each token that
//! names an unknown key, with which a stranger makes your service attack its issuer.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::claims::Claims;
use crate::clock::Clock;
use crate::denylist::DenyList;
use crate::jwks::KeySet;
use crate::profile::Profile;
use crate::verifier::{Reason, Refused, Verifier};

/// When keys are fetched, in whole seconds.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// The least time between two tries, whatever tokens come.
    pub between_tries: Duration,
    /// Keys of this age are fetched anew: a key that was retired is refused after it.
    pub renew_after: Duration,
    /// Keys of this age are not used any more, if they could not be fetched anew.
    pub forget_after: Duration,
}

impl Default for Freshness {
    /// 30 seconds, 5 minutes, an hour.
    fn default() -> Self {
        Self {
            between_tries: Duration::from_secs(30),
            renew_after: Duration::from_secs(5 * 60),
            forget_after: Duration::from_secs(60 * 60),
        }
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
    last_try: tokio::sync::Mutex<Option<u64>>,
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

    // ANCHOR: verify
    /// The claims of a bearer token.
    ///
    /// # Errors
    /// [`Refused`]
    pub async fn verify<T: DeserializeOwned>(
        &self,
        token: &str,
    ) -> Result<Claims<T>, Refused> {
        let verifier = match self.0.usable(self.0.freshness.renew_after) {
            Some(verifier) => verifier,
            None => self.renewed(None).await?,
        };
        match verifier.verify(token) {
            // Perhaps a new key: one look, unless there was one a moment ago.
            Err(refused) if *refused.reason() == Reason::UnknownKey => {
                self.renewed(Some(verifier)).await?.verify(token)
            }
            verified => verified,
        }
    }
    // ANCHOR_END: verify

    /// In a task of its own: a client that goes away while it waits does not stop the fetch, which
    /// others wait for, too.
    async fn renewed(
        &self,
        old: Option<Arc<Verifier>>,
    ) -> Result<Arc<Verifier>, Refused> {
        let inner = self.0.clone();
        let renewed = tokio::spawn(async move { inner.renew(old).await }).await;
        renewed.ok().flatten().ok_or_else(|| Refused::because(Reason::NoKeys))
    }
}

impl<F> Inner<F> {
    // ANCHOR: renew
    /// Newer keys than `old`, if they may be asked for and come; else those that are there.
    async fn renew<R, E>(&self, old: Option<Arc<Verifier>>) -> Option<Arc<Verifier>>
    where
        F: Fn() -> R,
        R: Future<Output = Result<KeySet, E>>,
    {
        let mut last_try = self.last_try.lock().await;
        let now = self.clock.now();
        // Who waited for another one's fetch finds its keys here.
        if let Some(there) = self.usable(self.freshness.renew_after)
            && old.is_none_or(|old| !Arc::ptr_eq(&old, &there))
        {
            return Some(there);
        }
        let pause = self.freshness.between_tries.as_secs();
        if last_try.is_none_or(|last| now >= last.saturating_add(pause)) {
            *last_try = Some(now);
            if let Ok(keys) = (self.fetch)().await {
                let verifier =
                    Verifier::new(self.profile.clone(), keys, self.clock.clone())
                        .with_deny_list(self.denied.clone());
                *self.lock() = Some((now, Arc::new(verifier)));
            }
        }
        self.usable(self.freshness.forget_after)
    }
    // ANCHOR_END: renew

    /// The keys, if they are younger than this.
    fn usable(&self, age: Duration) -> Option<Arc<Verifier>> {
        let current = self.lock();
        let (since, verifier) = current.as_ref()?;
        let young = self.clock.now() < since.saturating_add(age.as_secs());
        young.then(|| verifier.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<(u64, Arc<Verifier>)>> {
        self.current.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
