//! Refresh tokens: each is used once, for the next one and an access token (RFC 9700 section 4.14.2).
//!
//! The mistakes this prevents: a long-lived token that works for whoever copied it, for as long as it
//! lives; a store from which the tokens can be read.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::clock::Clock;

const FAMILY: usize = 16;
const SECRET: usize = 32;
/// The characters of a token: base64url of 48 bytes.
const LENGTH: usize = (FAMILY + SECRET) / 3 * 4;

type FamilyId = [u8; FAMILY];
type Hash = [u8; 32];

/// What refresh tokens may cost.
#[derive(Clone, Copy, Debug)]
pub struct RefreshLimits {
    /// Unused for so long, the login is over.
    pub idle: Duration,
    /// After so long it is over, however busy.
    pub login: Duration,
    /// Refreshes of one login. Each leaves 32 bytes, by which its reuse is noticed.
    pub refreshes: usize,
    /// Logins at once, of all subjects.
    pub logins: usize,
}

impl Default for RefreshLimits {
    /// A day, 30 days, 4,096 refreshes, 100,000 logins.
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Self { idle: day, login: 30 * day, refreshes: 4096, logins: 100_000 }
    }
}

/// A refresh token. Whoever has it can use it, once; so it is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken(Zeroizing<String>);

impl RefreshToken {
    /// The text, to be sent.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken([redacted])")
    }
}

/// A refresh token was refused. The text is the same whatever the reason, as in
/// [`crate::verifier::Refused`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the refresh token is refused")]
pub struct RefreshRefused(RefreshReason);

impl RefreshRefused {
    /// For your log. [`RefreshReason::Reused`] deserves an alarm.
    pub fn reason(&self) -> RefreshReason {
        self.0
    }
}

/// Why a refresh token was refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RefreshReason {
    /// Not the form of one.
    #[error("not a refresh token")]
    Malformed,
    /// Never issued, or forgotten.
    #[error("of no login that is known")]
    Unknown,
    /// Too long unused, or at the end of the login.
    #[error("the login is over")]
    Expired,
    /// Used before: somebody has a copy. The login has been ended for both.
    #[error("used before: somebody has a copy, so the login was ended")]
    Reused,
    /// Of a login that was ended.
    #[error("of a login that was ended")]
    Ended,
    /// [`RefreshLimits::refreshes`]
    #[error("too many refreshes: log in again")]
    TooMany,
    /// The system has no random bytes.
    #[error("the system gave no random bytes")]
    NoRandom,
}

/// Why no login was begun.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LoginError {
    /// [`RefreshLimits::logins`]
    #[error("expected at most {0} logins at once")]
    Full(usize),
    /// The system has no random bytes.
    #[error("the system gave no random bytes")]
    NoRandom,
}

/// A used token's successor.
#[derive(Debug)]
pub struct Refreshed {
    /// Who logged in.
    pub subject: String,
    /// The next refresh token.
    pub token: RefreshToken,
}

/// All tokens that descend from one login. It can be stored: it holds hashes, not tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Family {
    subject: String,
    /// Seconds since 1970.
    began: u64,
    last_used: u64,
    ended: bool,
    /// The hash of each secret that was given out; the last one is valid.
    given: Vec<Hash>,
}

/// The refresh tokens of a service, in memory: after a restart everybody logs in again.
#[derive(Debug)]
pub struct RefreshStore {
    clock: Clock,
    limits: RefreshLimits,
    families: Mutex<HashMap<FamilyId, Family>>,
}

impl RefreshStore {
    /// An empty store.
    pub fn new(limits: RefreshLimits, clock: Clock) -> Self {
        Self { clock, limits, families: Mutex::default() }
    }

    /// The first token of a login, whose password or other proof you have just checked.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub fn log_in(&self, subject: &str) -> Result<RefreshToken, LoginError> {
        let id: FamilyId = random().ok_or(LoginError::NoRandom)?;
        let (token, hash) = token(id).ok_or(LoginError::NoRandom)?;
        let now = self.clock.now();
        let mut families = self.lock();
        if families.len() >= self.limits.logins {
            families.retain(|_, family| !self.is_over(family, now));
        }
        if families.len() >= self.limits.logins {
            return Err(LoginError::Full(self.limits.logins));
        }
        let subject = subject.to_owned();
        let (began, last_used) = (now, now);
        let family =
            Family { subject, began, last_used, ended: false, given: vec![hash] };
        families.insert(id, family);
        Ok(token)
    }

    // ANCHOR: refresh
    /// Takes a token, once, and gives the next one.
    ///
    /// # Errors
    /// See [`RefreshReason`]. A token that was used before ends its login: the thief and the owner
    /// cannot be told apart, so neither goes on, and the owner logs in again.
    pub fn refresh(&self, presented: &str) -> Result<Refreshed, RefreshRefused> {
        let (id, hash) =
            parse(presented).ok_or(RefreshRefused(RefreshReason::Malformed))?;
        // The whole decision under one lock: of two uses at once, one is the first.
        let mut families = self.lock();
        let known = families.get_mut(&id).filter(|family| family.given.contains(&hash));
        let family = known.ok_or(RefreshRefused(RefreshReason::Unknown))?;
        let now = self.clock.now();
        let refused = if family.ended {
            Some(RefreshReason::Ended)
        } else if self.is_over(family, now) {
            Some(RefreshReason::Expired)
        } else if family.given.last() != Some(&hash) {
            family.ended = true;
            Some(RefreshReason::Reused)
        } else if family.given.len() > self.limits.refreshes {
            Some(RefreshReason::TooMany)
        } else {
            None
        };
        if let Some(reason) = refused {
            return Err(RefreshRefused(reason));
        }
        let (token, next) = token(id).ok_or(RefreshRefused(RefreshReason::NoRandom))?;
        family.given.push(next);
        family.last_used = now;
        Ok(Refreshed { subject: family.subject.clone(), token })
    }
    // ANCHOR_END: refresh

    /// Ends the login that a token belongs to: logout. A token of no login changes nothing.
    pub fn log_out(&self, presented: &str) {
        if let Some((id, hash)) = parse(presented)
            && let Some(family) = self.lock().get_mut(&id)
            && family.given.contains(&hash)
        {
            family.ended = true;
        }
    }

    /// Ends every login of a subject: after a change of the password. Returns how many.
    pub fn log_out_everywhere(&self, subject: &str) -> usize {
        let mut families = self.lock();
        let theirs = |family: &&mut Family| family.subject == subject && !family.ended;
        families.values_mut().filter(theirs).map(|family| family.ended = true).count()
    }

    /// Over by time. What is over can be forgotten: none of its tokens is accepted, ever.
    fn is_over(&self, family: &Family, now: u64) -> bool {
        let RefreshLimits { idle, login, .. } = self.limits;
        now >= family.last_used.saturating_add(idle.as_secs())
            || now >= family.began.saturating_add(login.as_secs())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<FamilyId, Family>> {
        self.families.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A token of this family, and what is stored of it.
fn token(id: FamilyId) -> Option<(RefreshToken, Hash)> {
    let secret = Zeroizing::new(random::<SECRET>()?);
    let bytes = Zeroizing::new([&id[..], &secret[..]].concat());
    let text = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(&*bytes));
    Some((RefreshToken(text), hash(&secret[..])))
}

fn parse(token: &str) -> Option<(FamilyId, Hash)> {
    // The length first: nothing longer is decoded.
    let token = Some(token).filter(|token| token.len() == LENGTH)?;
    let bytes = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?);
    let (id, secret) = bytes.split_first_chunk::<FAMILY>()?;
    Some((*id, hash(secret)))
}

/// 32 random bytes need no slow hash, and no comparison in constant time: to find another text of
/// this hash, byte by byte or at once, is as hard as to guess the secret.
fn hash(secret: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret).as_ref());
    hash
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).ok()?;
    Some(bytes)
}
