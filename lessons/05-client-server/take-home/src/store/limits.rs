//! What the store may grow to.

/// What the store may grow to.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// Accounts, and names of deleted ones while a message that they sent has not expired.
    pub accounts: u64,
    /// Messages in a mailbox.
    pub messages: u64,
    /// Bytes in a mailbox, as they were sealed.
    pub bytes: u64,
    /// Messages of one sender that have not expired, in all mailboxes, read or not.
    pub sent: u64,
    /// How long a message is kept, in seconds in which the store is open.
    pub keep: u64,
    /// Jobs that may wait for the disk.
    pub waiting: usize,
}

impl Default for StoreLimits {
    /// 10,000 accounts; 1,000 messages or 16 MiB in a mailbox; 10,000 messages of one sender; 30
    /// days; 1,024 jobs.
    ///
    /// On the disk, a mailbox of 16 MiB in the largest messages took 25.6 MiB, and one of 1,000 of the smallest
    /// 0.5 MiB (redb 4.1.0, twenty of each in one file: `just bench 5`). So all mailboxes full are 250 GiB: choose
    /// what your disk holds.
    fn default() -> Self {
        Self {
            accounts: 10_000,
            messages: 1000,
            bytes: 16 * 1024 * 1024,
            sent: 10_000,
            keep: 30 * 24 * 60 * 60,
            waiting: 1024,
        }
    }
}
