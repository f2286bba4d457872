//! Logins, counted by account and by network: the failed ones, because they may be guesses, and the good ones,
//! because each costs the work of a hash.
//!
//! The mistakes this prevents: a login that lets everybody guess for as long as they like; a few accounts with
//! the right password that keep the server busy, so that nobody else gets in; a lock that lasts for an hour
//! longer, because somebody corrected the time.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use careful_tls::server::network;
use careful_tokens::clock::Clock;

use crate::protocol::Name;

/// How many logins, in how long. A network is what [`network`] says.
#[derive(Clone, Copy, Debug)]
pub struct AttemptLimits {
    /// Failed logins of one account, from wherever they come.
    pub account: u32,
    /// Failed logins and registrations from one network, for whatever account.
    pub address: u32,
    /// Logins and refreshes of one account that succeed.
    pub logins_of_account: u32,
    /// Logins and refreshes from one network that succeed.
    pub logins_from_address: u32,
    /// After this time they are forgotten.
    pub window: Duration,
    /// Accounts and networks that are remembered.
    pub remembered: usize,
}

impl Default for AttemptLimits {
    /// Failed ones: 10 for an account and 50 from a network in 15 minutes. Good ones: 300 and 1,000, which
    /// are 25 seconds of one processor for a hash of 25 ms. 100,000 accounts and as many networks are remembered.
    fn default() -> Self {
        Self {
            account: 10,
            address: 50,
            logins_of_account: 300,
            logins_from_address: 1000,
            window: Duration::from_secs(15 * 60),
            remembered: 100_000,
        }
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
    networks: HashMap<IpAddr, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// When the window began, by [`Clock::elapsed`].
    since: Duration,
    failed: u32,
    succeeded: u32,
}

impl Attempts {
    /// None yet.
    pub fn new(limits: AttemptLimits, clock: Clock) -> Self {
        Self { limits, clock, counts: Mutex::default() }
    }

    // ANCHOR: begin
    /// Counts an attempt as failed before it is made: many at once cannot all pass the same check.
    /// `false` if there were too many, or too many are remembered.
    pub fn begin(&self, account: &Name, address: IpAddr) -> bool {
        let mut counts = self.lock();
        let Some((of_account, from_network)) = self.both(&mut counts, account, address) else {
            return false;
        };
        let most = self.limits;
        if of_account.failed >= most.account
            || from_network.failed >= most.address
            || of_account.succeeded >= most.logins_of_account
            || from_network.succeeded >= most.logins_from_address
        {
            return false;
        }
        of_account.failed += 1;
        from_network.failed += 1;
        true
    }
    // ANCHOR_END: begin

    /// Counts an attempt that has no account, by its network alone: nobody can use up another one's
    /// attempts by it.
    pub fn begin_without_account(&self, address: IpAddr) -> bool {
        let mut counts = self.lock();
        match self.count(&mut counts.networks, network(address)) {
            Some(count) if count.failed < self.limits.address => {
                count.failed += 1;
                true
            }
            _ => false,
        }
    }

    /// Whether one more refresh may come from there: it costs little, but not nothing.
    pub fn begin_refresh(&self, address: IpAddr) -> bool {
        let mut counts = self.lock();
        match self.count(&mut counts.networks, network(address)) {
            Some(count) if count.succeeded < self.limits.logins_from_address => {
                count.succeeded += 1;
                true
            }
            _ => false,
        }
    }

    /// Whether this account may refresh once more.
    pub fn refreshed(&self, account: &Name) -> bool {
        let mut counts = self.lock();
        match self.count(&mut counts.accounts, account.clone()) {
            Some(count) if count.succeeded < self.limits.logins_of_account => {
                count.succeeded += 1;
                true
            }
            _ => false,
        }
    }

    /// The attempt succeeded: it counts as such, and no longer as failed.
    pub fn succeeded(&self, account: &Name, address: IpAddr) {
        self.settle(account, address, 1);
    }

    /// The attempt was not made, so it doesn't count.
    pub fn not_made(&self, account: &Name, address: IpAddr) {
        self.settle(account, address, 0);
    }

    fn settle(&self, account: &Name, address: IpAddr, succeeded: u32) {
        let mut counts = self.lock();
        let Counts { accounts, networks } = &mut *counts;
        let counts = [accounts.get_mut(account), networks.get_mut(&network(address))];
        for count in counts.into_iter().flatten() {
            count.failed = count.failed.saturating_sub(1);
            count.succeeded = count.succeeded.saturating_add(succeeded);
        }
    }

    fn both<'c>(
        &self,
        counts: &'c mut Counts,
        account: &Name,
        address: IpAddr,
    ) -> Option<(&'c mut Count, &'c mut Count)> {
        let Counts { accounts, networks } = counts;
        let of_account = self.count(accounts, account.clone())?;
        Some((of_account, self.count(networks, network(address))?))
    }

    /// The count of one key, from zero if its window is over; none if there is no room.
    fn count<'c, K: Eq + Hash>(
        &self,
        counts: &'c mut HashMap<K, Count>,
        key: K,
    ) -> Option<&'c mut Count> {
        let now = self.clock.elapsed();
        let AttemptLimits { window, remembered, .. } = self.limits;
        let over = |count: &Count| now >= count.since.saturating_add(window);
        if counts.len() >= remembered && !counts.contains_key(&key) {
            counts.retain(|_, count| !over(count) && count.failed + count.succeeded > 0);
            if counts.len() >= remembered {
                return None;
            }
        }
        let fresh = Count { since: now, ..Count::default() };
        let count = counts.entry(key).or_insert(fresh);
        if over(count) {
            *count = fresh;
        }
        Some(count)
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
