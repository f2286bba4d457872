//! Passwords: Argon2id, off the async threads, a few at a time.
//!
//! The mistakes this prevents: a password that is stored; a hash that stops every connection of its
//! thread; a flood of logins that takes all memory, 19 MiB at a time; an answer that comes sooner when
//! there is no such account.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use encryption::password::Cost;
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::protocol::Secret;

/// The shortest password, in characters: NIST SP 800-63B revision 4 section 3.1.1.2 asks for 15 where
/// the password is all there is.
pub const SHORTEST: usize = 15;
/// The longest, in bytes.
pub const LONGEST: usize = 256;
const SALT: usize = 16;

/// Why a password was not hashed or checked.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("expected a password of {SHORTEST} characters to {LONGEST} bytes")]
    Length,
    /// Too many wait already.
    #[error("too many passwords wait to be checked")]
    Busy,
    /// There is not enough memory, or no random bytes.
    #[error("the system has not enough memory, or no random bytes")]
    System,
}

/// Hashes and checks passwords, so many at once, so many waiting.
#[derive(Clone)]
pub struct Passwords {
    cost: Cost,
    at_once: Arc<Semaphore>,
    in_line: Arc<AtomicUsize>,
    most: usize,
    /// A hash of no password, to be checked where there is no account.
    nobodys: Arc<str>,
    computed: Arc<AtomicUsize>,
}

impl Passwords {
    /// Of this cost; `at_once` are computed, `waiting` more may wait. Takes the time of one hash.
    ///
    /// # Errors
    /// [`PasswordError::System`]
    pub fn new(
        cost: Cost,
        at_once: usize,
        waiting: usize,
    ) -> Result<Self, PasswordError> {
        let nobodys = hash(cost, b"the password of nobody")?.into();
        let most = at_once.saturating_add(waiting);
        let at_once = Arc::new(Semaphore::new(at_once.clamp(1, 1024)));
        let (in_line, computed) = Default::default();
        Ok(Self { cost, at_once, in_line, most, nobodys, computed })
    }

    /// How many were computed, for a counter of your own.
    pub fn computed(&self) -> usize {
        self.computed.load(Ordering::Relaxed)
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn hash(&self, password: Secret) -> Result<String, PasswordError> {
        if !fits(password.expose()) {
            return Err(PasswordError::Length);
        }
        let (cost, computed) = (self.cost, self.computed.clone());
        let hashing = move || {
            computed.fetch_add(1, Ordering::Relaxed);
            hash(cost, password.expose().as_bytes())
        };
        self.run(hashing).await
    }

    // ANCHOR: check
    /// Whether the password is the one of this hash. Without a hash, the same work is done for
    /// nothing: so the time does not tell whether there is such an account.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn check(
        &self,
        password: Secret,
        hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        if password.expose().len() > LONGEST {
            return Err(PasswordError::Length);
        }
        let (nobodys, computed) = (self.nobodys.clone(), self.computed.clone());
        self.run(move || {
            let text = hash.as_deref().unwrap_or(&nobodys);
            let parsed = PasswordHash::new(text).map_err(|_| PasswordError::System)?;
            let password = password.expose().as_bytes();
            // The hash says its own cost, so older ones are checked, too.
            let fits = Argon2::default().verify_password(password, &parsed).is_ok();
            computed.fetch_add(1, Ordering::Relaxed);
            Ok(fits && hash.is_some())
        })
        .await
    }
    // ANCHOR_END: check

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = Place::take(&self.in_line, self.most).ok_or(PasswordError::Busy)?;
        let permit = self.at_once.clone().acquire_owned().await;
        let permit = permit.map_err(|_closed| PasswordError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // Given back when the work is done, not when somebody stops waiting for it.
            drop(permit);
            done
        });
        done.await.map_err(|_panicked| PasswordError::System)?
    }
}

/// Whether a new password has a length that is accepted.
pub fn fits(password: &str) -> bool {
    password.chars().count() >= SHORTEST && password.len() <= LONGEST
}

/// A place in the line; dropping it gives it back.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(line: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let place = Self(line.clone());
        (line.fetch_add(1, Ordering::SeqCst) < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn hash(cost: Cost, password: &[u8]) -> Result<String, PasswordError> {
    let mut salt = [0; SALT];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| PasswordError::System)?;
    let params = Params::new(cost.memory, cost.passes, cost.lanes, None);
    let params = params.map_err(|_| PasswordError::System)?;
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password, &salt);
    Ok(hash.map_err(|_| PasswordError::System)?.to_string())
}
