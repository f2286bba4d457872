//! Tokens that are refused before they expire, by their issuer and id.
//!
//! The mistakes this prevents: a list that only grows, that forgets a token while a verifier would
//! still accept it, for example because the clock was wrong, and was corrected, or that then denies
//! everybody's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// By issuer, then by id, which is unique for its issuer only (RFC 7519 section 4.1.7).
    denied: HashMap<String, HashMap<String, Denied>>,
    /// The same, the first to end first.
    by_end: BTreeSet<(u64, String, String)>,
    forgotten: Spans,
}

#[derive(Clone, Copy, Debug)]
struct Denied {
    /// When it was issued, or the earliest of that if several have the id.
    iat: u64,
    /// The second from which on no verifier accepts it while the clock is right.
    end: u64,
}

/// Times of tokens that were forgotten: spans that don't overlap, each by its first second, with its last.
#[derive(Debug, Default)]
struct Spans(BTreeMap<u64, u64>);

/// The most spans. While the clock is right, all are of the past, and it's no matter that the nearest become one.
const MOST_SPANS: usize = 64;

/// The list is full of tokens that have not expired.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected at most {0} tokens on the deny list: the token was not denied")]
pub struct DenyListFull(usize);

impl DenyList {
    /// An empty list for at most `most` tokens. Once it was full, it stays so: it forgets one for each that comes.
    pub fn new(most: usize) -> Self {
        Self { most, entries: Mutex::default() }
    }

    // ANCHOR: deny
    /// Remembers a token. When the list is full, it forgets an expired token, which no verifier accepts, whatever
    /// its leeway. If none has expired, it forgets a token that was issued while the clock was ahead.
    pub(crate) fn deny<T>(
        &self,
        Claims { iss, jti, iat, exp, .. }: &Claims<T>,
        now: u64,
    ) -> Result<(), DenyListFull> {
        let mut entries = self.lock();
        let mut new = Denied { iat: *iat, end: exp.saturating_add(MOST_LEEWAY.as_secs()) };
        if let Some(old) = entries.remove(iss, jti) {
            new = Denied { iat: old.iat.min(new.iat), end: old.end.max(new.end) };
        } else if entries.by_end.len() >= self.most && !entries.forget_one(now) {
            return Err(DenyListFull(self.most));
        }
        entries.denied.entry(iss.clone()).or_default().insert(jti.clone(), new);
        entries.by_end.insert((new.end, iss.clone(), jti.clone()));
        Ok(())
    }

    /// True if the token is on the list, or if its lifetime lies within that of a forgotten token. A forgotten
    /// token had expired, so if such a token seems valid now, the clock was set back, and it may be that token.
    pub(crate) fn has<T>(&self, Claims { iss, jti, iat, exp, .. }: &Claims<T>) -> bool {
        let entries = self.lock();
        entries.get(iss, jti).is_some() || entries.forgotten.contain(*iat, *exp)
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
    /// Forgets the one that ended first, if it has ended. If none has, the last of those that are
    /// of a time to come: they were issued while the clock was ahead.
    fn forget_one(&mut self, now: u64) -> bool {
        let leeway = MOST_LEEWAY.as_secs();
        let to_come = |Denied { iat, .. }: Denied| iat > now.saturating_add(leeway);
        let ended = self.by_end.first().filter(|(end, ..)| *end <= now);
        let last =
            || self.by_end.last().filter(|(_, iss, jti)| self.get(iss, jti).is_some_and(to_come));
        let Some((_, iss, jti)) = ended.or_else(last).cloned() else {
            return false;
        };
        if let Some(Denied { iat, end }) = self.remove(&iss, &jti) {
            self.forgotten.add(iat, end.saturating_sub(leeway));
        }
        true
    }

    fn get(&self, iss: &str, jti: &str) -> Option<Denied> {
        self.denied.get(iss)?.get(jti).copied()
    }

    fn remove(&mut self, iss: &str, jti: &str) -> Option<Denied> {
        let ids = self.denied.get_mut(iss)?;
        let removed = ids.remove(jti)?;
        if ids.is_empty() {
            self.denied.remove(iss);
        }
        self.by_end.remove(&(removed.end, iss.to_owned(), jti.to_owned()));
        Some(removed)
    }
}

impl Spans {
    /// Adds the seconds from `first` to `last`. Spans that overlap become one; of too many, the two
    /// that are nearest to each other.
    fn add(&mut self, mut first: u64, mut last: u64) {
        while let Some((&start, &end)) =
            self.0.range(..=last).next_back().filter(|(_, end)| **end >= first)
        {
            self.0.remove(&start);
            (first, last) = (first.min(start), last.max(end));
        }
        self.0.insert(first, last);
        if self.0.len() > MOST_SPANS {
            let gaps = self.0.iter().zip(self.0.iter().skip(1));
            let nearest = gaps.min_by_key(|((_, end), (start, _))| *start - *end);
            if let Some((&start, &end)) = nearest.map(|((first, _), (_, last))| (first, last)) {
                let second = self.0.range(start + 1..).next().map(|(&second, _)| second);
                second.map(|second| self.0.remove(&second));
                self.0.insert(start, end);
            }
        }
    }

    /// Whether all seconds from `first` to `last` are of one span.
    fn contain(&self, first: u64, last: u64) -> bool {
        self.0.range(..=first).next_back().is_some_and(|(_, end)| last <= *end)
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_SPANS, Spans};

    #[test]
    fn spans_that_overlap_are_one() {
        let mut spans = Spans::default();
        for (first, last) in [(10, 20), (40, 50), (20, 25), (60, 70), (45, 65), (62, 63)] {
            spans.add(first, last);
        }
        assert_eq!(spans.0.into_iter().collect::<Vec<_>>(), [(10, 25), (40, 70)]);
    }

    #[test]
    fn a_span_contains_what_is_within_it() {
        let mut spans = Spans::default();
        spans.add(10, 20);
        spans.add(30, 40);
        let contained = [(10, 20), (12, 18), (10, 10), (20, 20), (30, 40)];
        let not = [(9, 15), (15, 21), (15, 35), (21, 29), (41, 42), (0, 9), (9, 41)];
        assert!(contained.iter().all(|(first, last)| spans.contain(*first, *last)));
        assert!(!not.iter().any(|(first, last)| spans.contain(*first, *last)));
    }

    #[test]
    fn of_too_many_spans_the_nearest_two_become_one() {
        let mut spans = Spans::default();
        let most = u64::try_from(MOST_SPANS).unwrap_or_default();
        for span in 0..most {
            spans.add(100 * span, 100 * span + 10);
        }
        assert_eq!(spans.0.len(), MOST_SPANS);
        assert!(!spans.contain(15, 90));
        // 5 s after the third, and 85 s before the fourth.
        spans.add(215, 216);
        assert_eq!(spans.0.len(), MOST_SPANS);
        assert_eq!(spans.0.get(&200), Some(&216));
        assert!((0..most).all(|span| spans.contain(100 * span, 100 * span + 10)));
        // The last two, as well as the first two.
        let end = 100 * (most - 1) + 10;
        spans.add(end + 3, end + 4);
        assert!(spans.contain(end, end + 4) && spans.0.len() == MOST_SPANS);
    }
}
