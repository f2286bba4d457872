//! Tokens that are refused before they expire, by their id.
//!
//! The mistake this prevents: a list that grows for ever, or that forgets a token while the verifier
//! would still accept it.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, MutexGuard};

use thiserror::Error;

/// A list of token ids, of limited size. Shared by all verifiers of a service; several machines need
/// one in a database that they share.
#[derive(Debug)]
pub struct DenyList {
    most: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    ids: HashSet<String>,
    /// The same ids by the second from which on they need not be remembered.
    by_end: BTreeSet<(u64, String)>,
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
    /// Remembers an id until `end`, in seconds since 1970; forgets those whose time has come.
    pub(crate) fn deny(&self, id: &str, end: u64, now: u64) -> Result<(), DenyListFull> {
        let mut entries = self.lock();
        while entries.by_end.first().is_some_and(|(end, _)| *end <= now) {
            if let Some((_, id)) = entries.by_end.pop_first() {
                entries.ids.remove(&id);
            }
        }
        if entries.ids.contains(id) {
            return Ok(());
        }
        if entries.ids.len() >= self.most {
            return Err(DenyListFull(self.most));
        }
        entries.ids.insert(id.to_owned());
        entries.by_end.insert((end, id.to_owned()));
        Ok(())
    }
    // ANCHOR_END: deny

    pub(crate) fn has(&self, id: &str) -> bool {
        self.lock().ids.contains(id)
    }

    /// How many tokens it remembers.
    pub fn len(&self) -> usize {
        self.lock().ids.len()
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
