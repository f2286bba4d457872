//! The tables of the database: what is in them, and each change to them, within one transaction.

use aws_lc_rs::digest::{SHA256, digest};
use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};

use super::error::StoreError;
use super::limits::StoreLimits;
use super::records::{Account, Generation, MailboxCounts, StoredId, StoredMessage};
use crate::protocol::{Bytes, MessageId, Name};

// The names are in files that last: under another one, a table would be empty.
pub(super) const ACCOUNTS: TableDefinition<&str, &[u8]> = TableDefinition::new("accounts");
/// By account: how much its mailbox holds, and how much it has sent.
pub(super) const COUNTS: TableDefinition<&str, &[u8]> = TableDefinition::new("boxes");
/// By recipient and number.
pub(super) const MESSAGES: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("messages");
/// By sender and id: what was stored, so that it is not stored twice.
pub(super) const IDS: TableDefinition<(&str, [u8; 16]), &[u8]> = TableDefinition::new("ids");
/// By the second of expiry (of the store's clock), sender and id.
pub(super) const EXPIRY: TableDefinition<(u64, &str, [u8; 16]), ()> =
    TableDefinition::new("expiry");
/// The file's format, and what time it is on the store's clock.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
pub(super) const FORMAT: &str = "format";
pub(super) const CLOCK: &str = "clock";

/// Expired messages that one transaction takes away.
const EXPIRED_AT_ONCE: usize = 256;

/// A message to be stored.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Who sends it.
    pub from: Name,
    /// For whom.
    pub to: Name,
    /// The sender's id for it.
    pub id: MessageId,
    /// The box.
    pub sealed: Vec<u8>,
}

/// What changes in an account. All that was issued to it before ends, so it always gets a new generation.
#[derive(Clone, Debug)]
pub struct AccountChange {
    /// The account must still have this one: otherwise it is another account by now, or was changed
    /// meanwhile.
    pub from: Generation,
    /// What its tokens must carry from now on.
    pub to: Generation,
    /// The hash of another password.
    pub password: Option<String>,
    /// Another public key.
    pub key: Option<Bytes>,
}

/// The tables of one transaction, and what may be done to them.
pub(super) struct Tables<'t> {
    pub(super) accounts: Table<'t, &'static str, &'static [u8]>,
    pub(super) counts: Table<'t, &'static str, &'static [u8]>,
    pub(super) messages: Table<'t, (&'static str, u64), &'static [u8]>,
    pub(super) ids: Table<'t, (&'static str, [u8; 16]), &'static [u8]>,
    pub(super) expiry: Table<'t, (u64, &'static str, [u8; 16]), ()>,
    pub(super) meta: Table<'t, &'static str, u64>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            accounts: transaction.open_table(ACCOUNTS)?,
            counts: transaction.open_table(COUNTS)?,
            messages: transaction.open_table(MESSAGES)?,
            ids: transaction.open_table(IDS)?,
            expiry: transaction.open_table(EXPIRY)?,
            meta: transaction.open_table(META)?,
        })
    }

    pub(super) fn register(
        &mut self,
        name: &Name,
        account: &Account,
        limits: StoreLimits,
    ) -> Result<(), StoreError> {
        if self.accounts.get(name.as_str())?.is_some() {
            return Err(StoreError::Taken);
        }
        // One that was deleted, and is registered again, is counted already.
        if self.counts.get(name.as_str())?.is_none() && self.names(limits)? >= limits.accounts {
            return Err(StoreError::Full("the accounts of this server"));
        }
        self.accounts.insert(name.as_str(), account.to_bytes()?.as_slice())?;
        Ok(())
    }

    /// Accounts, and names of which only ids of messages are kept: else one who registers, sends and deletes in turn
    /// fills the disk. Exact when that many could be too many.
    fn names(&self, limits: StoreLimits) -> Result<u64, StoreError> {
        let (accounts, counts) = (self.accounts.len()?, self.counts.len()?);
        if accounts.saturating_add(counts) < limits.accounts {
            return Ok(accounts.saturating_add(counts));
        }
        let mut names = accounts;
        for entry in self.counts.iter()? {
            names += u64::from(self.accounts.get(entry?.0.value())?.is_none());
        }
        Ok(names)
    }

    pub(super) fn change(&mut self, name: &Name, change: &AccountChange) -> Result<(), StoreError> {
        let mut account = self.account_of_generation(name, change.from)?;
        account.generation = change.to;
        if let Some(password) = &change.password {
            account.password.clone_from(password);
        }
        if let Some(key) = &change.key {
            account.key.clone_from(key);
        }
        self.accounts.insert(name.as_str(), account.to_bytes()?.as_slice())?;
        Ok(())
    }

    /// An account with its mailbox. Messages that it sent stay where they are, and count for its name
    /// until they expire: a name that is registered again has no new quota.
    pub(super) fn remove(&mut self, name: &Name, is: Generation) -> Result<(), StoreError> {
        self.account_of_generation(name, is)?;
        self.accounts.remove(name.as_str())?;
        let mailbox = (name.as_str(), 0)..=(name.as_str(), u64::MAX);
        self.messages.retain_in(mailbox, |_, _| false)?;
        let sent = self.counts_of(name.as_str())?.sent;
        self.set_counts(name.as_str(), MailboxCounts { sent, ..MailboxCounts::default() })
    }

    fn account_of_generation(&self, name: &Name, is: Generation) -> Result<Account, StoreError> {
        let account = self.accounts.get(name.as_str())?.ok_or(StoreError::NoAccount)?;
        let account = Account::from_bytes(account.value())?;
        if account.generation == is { Ok(account) } else { Err(StoreError::Changed) }
    }

    pub(super) fn put(
        &mut self,
        message: &NewMessage,
        limits: StoreLimits,
        now: u64,
    ) -> Result<bool, StoreError> {
        // ANCHOR: put
        let NewMessage { from, to, id, sealed } = message;
        let (sender, recipient) = (from.as_str(), to.as_str());
        let hash = sha256(sealed);
        if let Some(known) = self.ids.get((sender, id.0))? {
            let known = StoredId::from_bytes(known.value())?;
            // The same one again: an answer was lost on the way.
            let same = known.to == *to && known.hash == hash;
            return if same { Ok(true) } else { Err(StoreError::Conflict) };
        }
        // ANCHOR_END: put
        if self.accounts.get(recipient)?.is_none() {
            return Err(StoreError::NoAccount);
        }
        let (mut mailbox, size) = (self.counts_of(recipient)?, sealed.len() as u64);
        if mailbox.messages >= limits.messages || mailbox.bytes + size > limits.bytes {
            return Err(StoreError::Full("the recipient's mailbox holds"));
        }
        let sent = self.counts_of(sender)?.sent;
        if sent >= limits.sent {
            return Err(StoreError::Full("one sender may have on this server"));
        }
        mailbox.last += 1;
        mailbox.messages += 1;
        mailbox.bytes += size;
        let number = mailbox.last;
        self.set_counts(recipient, mailbox)?;
        // Read again: sender and recipient may be one.
        let own = self.counts_of(sender)?;
        self.set_counts(sender, MailboxCounts { sent: sent + 1, ..own })?;
        let stored = StoredMessage { from: from.clone(), id: *id, sealed: sealed.clone() };
        self.messages.insert((recipient, number), stored.to_bytes().as_slice())?;
        let stored = StoredId { to: to.clone(), number, hash };
        self.ids.insert((sender, id.0), stored.to_bytes().as_slice())?;
        self.expiry.insert((now.saturating_add(limits.keep), sender, id.0), ())?;
        Ok(false)
    }

    pub(super) fn delete(&mut self, of: &Name, numbers: &[u64]) -> Result<usize, StoreError> {
        let mut count = 0;
        for &number in numbers {
            count += usize::from(self.take(of.as_str(), number)?);
        }
        Ok(count)
    }

    /// Takes a message out of a mailbox, if it is there.
    fn take(&mut self, of: &str, number: u64) -> Result<bool, StoreError> {
        let removed = self.messages.remove((of, number))?;
        let removed = removed.map(|bytes| StoredMessage::from_bytes(bytes.value()));
        let Some(message) = removed.transpose()? else { return Ok(false) };
        let size = message.sealed.len() as u64;
        let mut mailbox = self.counts_of(of)?;
        mailbox.messages = mailbox.messages.saturating_sub(1);
        mailbox.bytes = mailbox.bytes.saturating_sub(size);
        self.set_counts(of, mailbox)?;
        Ok(true)
    }

    /// Messages and ids whose time is over, some of them at a time.
    pub(super) fn forget_expired(&mut self, now: u64) -> Result<(), StoreError> {
        for _ in 0..EXPIRED_AT_ONCE {
            let first = self.expiry.first()?.map(|(key, _)| {
                let (end, sender, id) = key.value();
                (end, sender.to_owned(), id)
            });
            let first = first.filter(|(end, _, _)| *end <= now);
            let Some((end, sender, id)) = first else { return Ok(()) };
            self.expiry.remove((end, sender.as_str(), id))?;
            let stored = self.ids.remove((sender.as_str(), id))?;
            let stored = stored.map(|bytes| StoredId::from_bytes(bytes.value()));
            if let Some(StoredId { to, number, hash }) = stored.transpose()? {
                self.take_if(to.as_str(), number, &hash)?;
                let own = self.counts_of(&sender)?;
                let sent = own.sent.saturating_sub(1);
                self.set_counts(&sender, MailboxCounts { sent, ..own })?;
            }
        }
        Ok(())
    }

    /// Of an account that was deleted and registered again, another message may have the number.
    fn take_if(&mut self, of: &str, number: u64, hash: &[u8; 32]) -> Result<(), StoreError> {
        let there = self.messages.get((of, number))?;
        let there = there.map(|bytes| StoredMessage::from_bytes(bytes.value())).transpose()?;
        if there.is_some_and(|message| sha256(&message.sealed) == *hash) {
            self.take(of, number)?;
        }
        Ok(())
    }

    /// New ones if there are none; never in the place of some that cannot be read: the numbers would
    /// begin at 1 again, and new messages take the place of old ones.
    fn counts_of(&self, of: &str) -> Result<MailboxCounts, StoreError> {
        let counts = self.counts.get(of)?;
        let counts = counts.map(|bytes| MailboxCounts::from_bytes(bytes.value())).transpose()?;
        Ok(counts.unwrap_or_default())
    }

    /// Of a name that nobody has any more, nothing is kept when its last message has expired.
    fn set_counts(&mut self, of: &str, counts: MailboxCounts) -> Result<(), StoreError> {
        if counts == MailboxCounts::default() && self.accounts.get(of)?.is_none() {
            self.counts.remove(of)?;
        } else {
            self.counts.insert(of, counts.to_bytes().as_slice())?;
        }
        Ok(())
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
