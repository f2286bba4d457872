//! Failed logins, counted by account and by address.
//!
//! The mistake this prevents: a login that lets everybody guess for as long as he likes.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use careful_tokens::clock::Clock;

use crate::protocol::Name;

/// How many failures, in how long.
#[derive(Clone, Copy, Debug)]
pub struct AttemptLimits {
    /// For one account, from wherever they come.
    pub account: u32,
    /// From one address, for whatever account.
    pub address: u32,
    /// After so many seconds they are forgotten.
    pub window: u64,
    /// Accounts and addresses that are remembered.
    pub remembered: usize,
}

impl Default for AttemptLimits {
    /// 10 for an account and 50 from an address in 15 minutes; 100,000 of each.
    fn default() -> Self {
        Self { account: 10, address: 50, window: 15 * 60, remembered: 100_000 }
    }
}

/// Counts attempts.
#[derive(Debug)]
pub struct Attempts {
    limits: AttemptLimits,
    clock: Clock,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    accounts: HashMap<Name, Count>,
    addresses: HashMap<IpAddr, Count>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    /// When the window began.
    since: u64,
    attempts: u32,
}

impl Attempts {
    /// None yet.
    pub fn new(limits: AttemptLimits, clock: Clock) -> Self {
        Self { limits, clock, counts: Mutex::default() }
    }

    // ANCHOR: begin
    /// Counts an attempt before it is made: many at once cannot all pass the same check. `false` if
    /// there were too many, or too many are remembered.
    pub fn begin(&self, account: &Name, address: IpAddr) -> bool {
        let now = self.clock.now();
        let AttemptLimits { account: most, address: most_here, window, remembered } = self.limits;
        let mut counts = self.lock();
        let Counts { accounts, addresses } = &mut *counts;
        let address = careful_tls::server::network(address);
        let by_account = count(accounts, account.clone(), now, window, remembered);
        let by_address = count(addresses, address, now, window, remembered);
        let (Some(by_account), Some(by_address)) = (by_account, by_address) else { return false };
        if by_account.attempts >= most || by_address.attempts >= most_here {
            return false;
        }
        by_account.attempts += 1;
        by_address.attempts += 1;
        true
    }
    // ANCHOR_END: begin

    /// Counts an attempt that has no account, by its address alone: nobody can use up another one's
    /// attempts by it.
    pub fn begin_without_account(&self, address: IpAddr) -> bool {
        let now = self.clock.now();
        let AttemptLimits { address: most, window, remembered, .. } = self.limits;
        let mut counts = self.lock();
        let address = careful_tls::server::network(address);
        match count(&mut counts.addresses, address, now, window, remembered) {
            Some(count) if count.attempts < most => {
                count.attempts += 1;
                true
            }
            _ => false,
        }
    }

    /// The attempt succeeded, or was not made: it does not count.
    pub fn succeeded(&self, account: &Name, address: IpAddr) {
        let mut counts = self.lock();
        let address = careful_tls::server::network(address);
        if let Some(count) = counts.accounts.get_mut(account) {
            count.attempts = count.attempts.saturating_sub(1);
        }
        if let Some(count) = counts.addresses.get_mut(&address) {
            count.attempts = count.attempts.saturating_sub(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The count of one key, from zero if its window is over; none if there is no room.
fn count<K: Eq + Hash>(
    counts: &mut HashMap<K, Count>,
    key: K,
    now: u64,
    window: u64,
    remembered: usize,
) -> Option<&mut Count> {
    let over = |count: &Count| now >= count.since.saturating_add(window);
    if counts.len() >= remembered && !counts.contains_key(&key) {
        counts.retain(|_, count| !over(count) && count.attempts > 0);
        if counts.len() >= remembered {
            return None;
        }
    }
    let count = counts.entry(key).or_insert(Count { since: now, attempts: 0 });
    if over(count) {
        *count = Count { since: now, attempts: 0 };
    }
    Some(count)
}
