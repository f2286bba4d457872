//! Tokens that are refused before they expire, by their issuer and id.
//!
//! The mistake this prevents: a list that only grows, or that forgets a token while a verifier
//! would still accept it, for example because the clock was wrong, and was corrected.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use crate::claims::Claims;
use crate::profile::MOST_LEEWAY;

/// A list of tokens, of limited size. Shared by all verifiers of a service; several machines need
/// one in a database that they share.
#[derive(Debug)]
pub struct DenyList {
    most: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    /// By issuer, then by id, which is unique for its issuer only (RFC 7519 section 4.1.7): the
    /// second from which on it is no longer remembered.
    ends: HashMap<String, HashMap<String, u64>>,
    /// The same, the first to end first.
    by_end: BTreeSet<(u64, String, String)>,
    /// The latest expiry among those that were forgotten.
    forgotten: u64,
}

/// The list is full of tokens that have not expired.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected at most {0} tokens on the deny list: the token was not denied")]
pub struct DenyListFull(usize);

impl DenyList {
    /// An empty list for at most `most` tokens.
    pub fn new(most: usize) -> Self {
        Self { most, entries: Mutex::default() }
    }

    // ANCHOR: deny
    /// Remembers a token for as long as any verifier could accept it, whatever its leeway. Forgets
    /// those whose time has come.
    pub(crate) fn deny<T>(
        &self,
        Claims { iss, jti, exp, .. }: &Claims<T>,
        now: u64,
    ) -> Result<(), DenyListFull> {
        let end = exp.saturating_add(MOST_LEEWAY.as_secs());
        let mut entries = self.lock();
        entries.forget(now);
        match entries.end(iss, jti) {
            Some(later) if later >= end => return Ok(()),
            Some(earlier) => entries.remove(earlier, iss, jti),
            None if entries.by_end.len() >= self.most => {
                return Err(DenyListFull(self.most));
            }
            None => {}
        }
        entries.ends.entry(iss.clone()).or_default().insert(jti.clone(), end);
        entries.by_end.insert((end, iss.clone(), jti.clone()));
        Ok(())
    }

    /// Whether a token is on the list, or expired no later than one that was forgotten. That one had
    /// expired then, so if this one seems to be valid, the clock was set back: the token that was
    /// forgotten would seem so, too.
    pub(crate) fn has<T>(&self, claims: &Claims<T>) -> bool {
        let entries = self.lock();
        claims.exp <= entries.forgotten || entries.end(&claims.iss, &claims.jti).is_some()
    }
    // ANCHOR_END: deny

    /// How many tokens it remembers.
    pub fn len(&self) -> usize {
        self.lock().by_end.len()
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn end(&self, iss: &str, jti: &str) -> Option<u64> {
        self.ends.get(iss)?.get(jti).copied()
    }

    fn forget(&mut self, now: u64) {
        while let Some((end, iss, jti)) = self.by_end.first().cloned()
            && end <= now
        {
            self.remove(end, &iss, &jti);
            self.forgotten = self.forgotten.max(end.saturating_sub(MOST_LEEWAY.as_secs()));
        }
    }

    fn remove(&mut self, end: u64, iss: &str, jti: &str) {
        self.by_end.remove(&(end, iss.to_owned(), jti.to_owned()));
        if let Some(ids) = self.ends.get_mut(iss) {
            ids.remove(jti);
            if ids.is_empty() {
                self.ends.remove(iss);
            }
        }
    }
}
