//! Refresh tokens: each is used once, for the next one and an access token (RFC 9700 section
//! 4.14.2).
//!
//! The mistakes this prevents: a long-lived token that works for anybody who copied it, for as long as
//! it lives; a store from which the tokens can be read.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::clock::Clock;

const FAMILY: usize = 16;
const SECRET: usize = 32;
/// The characters of a token: base64url of 48 bytes.
const LENGTH: usize = (FAMILY + SECRET) / 3 * 4;

type FamilyId = [u8; FAMILY];
type Hash = [u8; 32];

/// What refresh tokens may cost. Each is remembered by a hash of 32 bytes, by which its reuse is
/// noticed; so memory is bounded by `hashes` and `logins`.
#[derive(Clone, Copy, Debug)]
pub struct RefreshLimits {
    /// Unused for so long, the login is over.
    pub idle: Duration,
    /// After so long it is over, however busy.
    pub login: Duration,
    /// Refreshes of one login.
    pub refreshes: usize,
    /// Logins at once, of one subject. One more ends the one that was unused the longest: so a
    /// client that forgets to log out locks nobody out.
    pub logins_of_one: usize,
    /// Logins at once, of all subjects.
    pub logins: usize,
    /// Tokens that are remembered, of one subject. One more takes them from its login that was unused the longest.
    pub hashes_of_one: usize,
    /// Tokens that are remembered, of all logins. When they are full, or the logins are, the subject that has most loses
    /// its largest login to one that has less: so nobody fills the store for the others.
    pub hashes: usize,
}

impl Default for RefreshLimits {
    /// A day, 30 days, 5,000 refreshes (one each ten minutes are 4,320 in 30 days), 100 logins of
    /// one subject, 100,000 in all, 10,000 hashes of one subject, 5 million in all: 160 MB, and up to 320
    /// with what vectors reserve.
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Self {
            idle: day,
            login: 30 * day,
            refreshes: 5000,
            logins_of_one: 100,
            logins: 100_000,
            hashes_of_one: 10_000,
            hashes: 5_000_000,
        }
    }
}

/// A refresh token. Anybody who has it can use it, once; so it is not printed.
#[derive(Clone)]
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
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the refresh token is refused")]
pub struct RefreshRefused {
    reason: RefreshReason,
    subject: Option<String>,
}

impl RefreshRefused {
    fn of_nobody(reason: RefreshReason) -> Self {
        Self { reason, subject: None }
    }

    /// For your log. [`RefreshReason::Reused`] deserves an alarm.
    pub fn reason(&self) -> RefreshReason {
        self.reason
    }

    /// Whose login it is, if the token belongs to one. For your log and your alarm, not for the one who
    /// presented it.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }
}

/// Why a refresh token was refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RefreshReason {
    /// Not the form of one.
    #[error("not a refresh token")]
    Malformed,
    /// Never issued, or forgotten.
    #[error("the login is unknown")]
    Unknown,
    /// Too long unused, or at the end of the login.
    #[error("the login is over")]
    Expired,
    /// Used before: somebody has a copy. The login has been ended for both.
    #[error("used before: somebody has a copy, so the login was ended")]
    Reused,
    /// Of a login that was ended.
    #[error("the login was ended")]
    Ended,
    /// [`RefreshLimits::refreshes`]
    #[error("too many refreshes: log in again")]
    TooMany,
    /// [`RefreshLimits::hashes`], and nobody has more than this subject.
    #[error("too many tokens are remembered: log in again")]
    Full,
    /// The system has no random bytes.
    #[error("the system gave no random bytes")]
    NoRandom,
}

/// Why no login was begun.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LoginError {
    /// [`RefreshLimits::logins`], and nobody has more than this subject would have.
    #[error("expected at most {0} logins at once")]
    Full(usize),
    /// [`RefreshLimits::hashes`], and nobody has more than this subject would have.
    #[error("expected at most {0} refresh tokens in the store")]
    FullOfHashes(usize),
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

/// All tokens that descend from one login. It holds hashes: no token can be read from it.
struct Family {
    subject: String,
    /// By [`Clock::elapsed`]: a corrected time neither ends a login nor prolongs it.
    began: Duration,
    last_used: Duration,
    ended: bool,
    /// The hash of each secret that was given out; the last one is valid.
    given: Vec<Hash>,
}

#[derive(Default)]
struct Logins {
    families: HashMap<FamilyId, Family>,
    /// Those of each subject, so that nobody's login has to look at all.
    of: HashMap<String, Vec<FamilyId>>,
    /// How many hashes they hold together.
    hashes: usize,
}

/// What there is too much of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Logins,
    Hashes,
}

impl Logins {
    fn insert(&mut self, id: FamilyId, family: Family) {
        self.of.entry(family.subject.clone()).or_default().push(id);
        self.hashes += family.given.len();
        self.families.insert(id, family);
    }

    fn forget(&mut self, id: &FamilyId) {
        let Some(family) = self.families.remove(id) else { return };
        self.hashes -= family.given.len();
        if let Some(theirs) = self.of.get_mut(&family.subject) {
            theirs.retain(|other| other != id);
            if theirs.is_empty() {
                self.of.remove(&family.subject);
            }
        }
    }

    fn ids_of(&self, subject: &str) -> Vec<FamilyId> {
        self.of.get(subject).cloned().unwrap_or_default()
    }

    /// How much of it the subject has.
    fn share(&self, ids: &[FamilyId], of: Room) -> usize {
        match of {
            Room::Logins => ids.len(),
            Room::Hashes => {
                ids.iter().filter_map(|id| self.families.get(id)).map(|of| of.given.len()).sum()
            }
        }
    }

    /// Takes room from the subject that has most, unless that isn't more than `mine`: its largest login, of two the one
    /// that was unused longer.
    fn take_from_the_largest(&mut self, of: Room, mine: usize) -> bool {
        let largest = self.of.values().max_by_key(|ids| self.share(ids, of));
        let largest = largest.filter(|ids| self.share(ids, of) > mine);
        let login = largest.and_then(|ids| {
            let size = |id: &&FamilyId| {
                let family = &self.families[*id];
                (family.given.len(), std::cmp::Reverse(family.last_used))
            };
            ids.iter().max_by_key(size).copied()
        });
        login.map(|id| self.forget(&id)).is_some()
    }
}

/// The refresh tokens of a service, in memory: after a restart everybody logs in again.
pub struct RefreshStore {
    clock: Clock,
    limits: RefreshLimits,
    logins: Mutex<Logins>,
}

impl RefreshStore {
    /// An empty store.
    pub fn new(limits: RefreshLimits, clock: Clock) -> Self {
        Self { clock, limits, logins: Mutex::default() }
    }

    /// The first token of a login, whose password or other proof you have just checked.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub fn log_in(&self, subject: &str) -> Result<RefreshToken, LoginError> {
        let id: FamilyId = random().ok_or(LoginError::NoRandom)?;
        let (token, hash) = token(id).ok_or(LoginError::NoRandom)?;
        let now = self.clock.elapsed();
        let RefreshLimits { logins: most, logins_of_one, hashes, .. } = self.limits;
        let mut logins = self.lock();
        // Theirs that are over go at once, so that the list of a subject stays short.
        for id in logins.ids_of(subject) {
            if logins.families.get(&id).is_some_and(|family| self.is_over(family, now)) {
                logins.forget(&id);
            }
        }
        let alive = |id: &FamilyId| logins.families.get(id).is_some_and(|family| !family.ended);
        let theirs = logins.ids_of(subject);
        let (alive, ended): (Vec<_>, Vec<_>) = theirs.into_iter().partition(alive);
        if ended.len() >= logins_of_one {
            ended.iter().for_each(|id| logins.forget(id));
        }
        if alive.len() >= logins_of_one {
            let families = &mut logins.families;
            let idle = alive.iter().min_by_key(|id| families[*id].last_used).copied();
            if let Some(idle) = idle.and_then(|id| families.get_mut(&id)) {
                idle.ended = true;
            }
        }
        if !self.has_room(&mut logins, Room::Logins, subject, now) {
            return Err(LoginError::Full(most));
        }
        if !self.has_room(&mut logins, Room::Hashes, subject, now) {
            return Err(LoginError::FullOfHashes(hashes));
        }
        let subject = subject.to_owned();
        let (began, last_used) = (now, now);
        let family = Family { subject, began, last_used, ended: false, given: vec![hash] };
        logins.insert(id, family);
        Ok(token)
    }

    /// Makes room for one more, if there is none. Whether there is.
    fn has_room(&self, logins: &mut Logins, of: Room, subject: &str, now: Duration) -> bool {
        let is_full = |logins: &Logins| match of {
            Room::Logins => logins.families.len() >= self.limits.logins,
            Room::Hashes => logins.hashes >= self.limits.hashes,
        };
        if is_full(logins) {
            self.make_room(logins, now);
        }
        let mine = logins.share(&logins.ids_of(subject), of) + 1;
        !is_full(logins) || logins.take_from_the_largest(of, mine)
    }

    // ANCHOR: refresh
    /// Takes a token, once, and gives the next one.
    ///
    /// # Errors
    /// See [`RefreshReason`]. A token that was used before ends its login: the thief and the owner
    /// cannot be told apart, so neither goes on, and the owner logs in again.
    pub fn refresh(&self, presented: &str) -> Result<Refreshed, RefreshRefused> {
        let (id, hash) =
            parse(presented).ok_or(RefreshRefused::of_nobody(RefreshReason::Malformed))?;
        // The whole decision under one lock: of two uses at once, one is the first.
        let mut logins = self.lock();
        let known = logins.families.get_mut(&id).filter(|family| family.given.contains(&hash));
        let family = known.ok_or(RefreshRefused::of_nobody(RefreshReason::Unknown))?;
        let now = self.clock.elapsed();
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
        let subject = family.subject.clone();
        if let Some(reason) = refused {
            return Err(RefreshRefused { reason, subject: Some(subject) });
        }
        let (token, next) = token(id).ok_or(RefreshRefused::of_nobody(RefreshReason::NoRandom))?;
        self.make_room_for_one(&mut logins, &id, &subject, now);
        let room = logins.hashes < self.limits.hashes;
        let Some(family) = logins.families.get_mut(&id).filter(|_| room) else {
            return Err(RefreshRefused { reason: RefreshReason::Full, subject: Some(subject) });
        };
        family.given.push(next);
        family.last_used = now;
        logins.hashes += 1;
        Ok(Refreshed { subject, token })
    }
    // ANCHOR_END: refresh

    /// Ends the login that a token belongs to: logout. Returns whose login it is; a token of no login
    /// changes nothing.
    pub fn log_out(&self, presented: &str) -> Option<String> {
        let (id, hash) = parse(presented)?;
        let mut logins = self.lock();
        let family = logins.families.get_mut(&id).filter(|family| family.given.contains(&hash))?;
        family.ended = true;
        Some(family.subject.clone())
    }

    /// Ends every login of a subject: after a change of the password. Returns how many. Access
    /// tokens that were issued before live on, for their minutes.
    pub fn log_out_everywhere(&self, subject: &str) -> usize {
        let mut logins = self.lock();
        let mut ended = 0;
        for id in logins.ids_of(subject) {
            if let Some(family) = logins.families.get_mut(&id).filter(|family| !family.ended) {
                family.ended = true;
                ended += 1;
            }
        }
        ended
    }

    /// For one more hash of this login: first from the subject's other logins, then from the subject that has the most.
    fn make_room_for_one(&self, logins: &mut Logins, id: &FamilyId, subject: &str, now: Duration) {
        let theirs = logins.ids_of(subject);
        if logins.share(&theirs, Room::Hashes) >= self.limits.hashes_of_one {
            let others = theirs.iter().filter(|other| *other != id);
            let idle = others.min_by_key(|other| logins.families[*other].last_used).copied();
            idle.iter().for_each(|idle| logins.forget(idle));
        }
        self.has_room(logins, Room::Hashes, subject, now);
    }

    /// Forgets the logins of which no token is accepted, ever.
    fn make_room(&self, logins: &mut Logins, now: Duration) {
        let over = logins.families.iter().filter(|(_, family)| !self.is_alive(family, now));
        let over: Vec<FamilyId> = over.map(|(id, _)| *id).collect();
        over.iter().for_each(|id| logins.forget(id));
    }

    fn is_alive(&self, family: &Family, now: Duration) -> bool {
        !family.ended && !self.is_over(family, now)
    }

    /// Over by time.
    fn is_over(&self, family: &Family, now: Duration) -> bool {
        let RefreshLimits { idle, login, .. } = self.limits;
        now >= family.last_used.saturating_add(idle) || now >= family.began.saturating_add(login)
    }

    fn lock(&self) -> MutexGuard<'_, Logins> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RefreshStore {
    /// How many logins: not whose.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshStore")
            .field("limits", &self.limits)
            .field("logins", &self.lock().families.len())
            .finish()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody who reads the store's memory, or a dump of it, finds no token that the store would take.
    #[test]
    fn no_token_can_be_read_from_the_store() {
        let store = RefreshStore::new(RefreshLimits::default(), Clock::settable(0));
        let first = store.log_in("alice").expect("a token");
        let second = store.refresh(first.expose()).expect("another").token;
        let logins = store.lock();
        let (id, family) = logins.families.iter().next().expect("a login");
        assert_eq!(family.given.len(), 2);
        for (token, stored) in [first, second].iter().zip(&family.given) {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.expose()).expect("base64url");
            let (public, secret) = bytes.split_at(FAMILY);
            assert_eq!(public, id);
            assert_ne!(secret, stored);
            assert_eq!(digest(&SHA256, secret).as_ref(), stored);
        }
    }
}
