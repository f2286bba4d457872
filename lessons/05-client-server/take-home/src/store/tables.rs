//! The tables of the database: what is in them, and each change to them, within one transaction.

use aws_lc_rs::digest::{SHA256, digest};
use redb::{
    Database, ReadableDatabase, ReadableTable, Table, TableDefinition, TableHandle,
    WriteTransaction,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{OpenStoreError, StoreError};
use super::limits::StoreLimits;
use crate::protocol::{Bytes, MessageId, Name};

// The names are in files that last: under another one, a table would be empty.
pub(super) const ACCOUNTS: TableDefinition<&str, &[u8]> = TableDefinition::new("accounts");
/// By account: how much its mailbox holds, and how much it has sent.
const COUNTS: TableDefinition<&str, &[u8]> = TableDefinition::new("boxes");
/// By recipient and number.
pub(super) const MESSAGES: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("messages");
/// By sender and id: what was stored, so that it is not stored twice.
const IDS: TableDefinition<(&str, [u8; 16]), &[u8]> = TableDefinition::new("ids");
/// By the second of expiry, sender and id.
const EXPIRY: TableDefinition<(u64, &str, [u8; 16]), ()> = TableDefinition::new("expiry");

/// Expired messages that one transaction takes away.
const EXPIRED_AT_ONCE: usize = 256;

/// What is stored of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The password's hash, in the PHC format.
    pub password: String,
    /// The public key.
    pub key: Bytes,
}

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

#[derive(Serialize, Deserialize)]
pub(super) struct StoredMessage {
    pub(super) from: Name,
    pub(super) id: MessageId,
    pub(super) sealed: Bytes,
}

#[derive(Serialize, Deserialize)]
struct StoredId {
    to: Name,
    number: u64,
    hash: Bytes,
}

/// What is counted of a mailbox and its owner.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct MailboxCounts {
    /// The number of the last message that came. Numbers are not used again.
    last: u64,
    messages: u64,
    bytes: u64,
    /// Messages that this account sent, and that have not expired.
    sent: u64,
}

/// Makes those that are not there yet, and nothing in a database that another program, or a later version of
/// this one, has written.
pub(super) fn make_tables(database: &Database) -> Result<(), OpenStoreError> {
    if let Some(other) = other_table(database).map_err(OpenStoreError::Database)? {
        return Err(OpenStoreError::OtherTable(other));
    }
    make_missing(database).map_err(OpenStoreError::Database)
}

fn other_table(database: &Database) -> Result<Option<String>, redb::Error> {
    let transaction = database.begin_read()?;
    let mut tables = transaction.list_tables()?;
    let ours = [ACCOUNTS.name(), COUNTS.name(), MESSAGES.name(), IDS.name(), EXPIRY.name()];
    let other = tables.find(|table| !ours.contains(&table.name()));
    Ok(other.map(|table| table.name().to_owned()))
}

fn make_missing(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(ACCOUNTS)?;
    transaction.open_table(COUNTS)?;
    transaction.open_table(MESSAGES)?;
    transaction.open_table(IDS)?;
    transaction.open_table(EXPIRY)?;
    Ok(transaction.commit()?)
}

/// The tables of one transaction, and what may be done to them.
pub(super) struct Tables<'t> {
    accounts: Table<'t, &'static str, &'static [u8]>,
    counts: Table<'t, &'static str, &'static [u8]>,
    messages: Table<'t, (&'static str, u64), &'static [u8]>,
    ids: Table<'t, (&'static str, [u8; 16]), &'static [u8]>,
    expiry: Table<'t, (u64, &'static str, [u8; 16]), ()>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            accounts: transaction.open_table(ACCOUNTS)?,
            counts: transaction.open_table(COUNTS)?,
            messages: transaction.open_table(MESSAGES)?,
            ids: transaction.open_table(IDS)?,
            expiry: transaction.open_table(EXPIRY)?,
        })
    }

    pub(super) fn register(
        &mut self,
        name: &Name,
        account: &Account,
        limits: StoreLimits,
    ) -> Result<(), StoreError> {
        use redb::ReadableTableMetadata;
        if self.accounts.get(name.as_str())?.is_some() {
            return Err(StoreError::Taken);
        }
        if self.accounts.len()? >= limits.accounts {
            return Err(StoreError::Full("the accounts of this server"));
        }
        self.accounts.insert(name.as_str(), to_json(account).as_slice())?;
        Ok(())
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
        let hash = Bytes(digest(&SHA256, sealed).as_ref().to_vec());
        if let Some(json) = self.ids.get((sender, id.0))? {
            let known: StoredId = from_json(json.value())?;
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
        self.counts.insert(recipient, to_json(&mailbox).as_slice())?;
        // Read again: sender and recipient may be one.
        let mut own = self.counts_of(sender)?;
        own.sent = sent + 1;
        self.counts.insert(sender, to_json(&own).as_slice())?;
        let stored = StoredMessage { from: from.clone(), id: *id, sealed: Bytes(sealed.clone()) };
        self.messages.insert((recipient, number), to_json(&stored).as_slice())?;
        let stored = StoredId { to: to.clone(), number, hash };
        self.ids.insert((sender, id.0), to_json(&stored).as_slice())?;
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
        let removed = removed.map(|json| from_json::<StoredMessage>(json.value()));
        let Some(message) = removed.transpose()? else { return Ok(false) };
        let size = message.sealed.0.len() as u64;
        let mut mailbox = self.counts_of(of)?;
        mailbox.messages = mailbox.messages.saturating_sub(1);
        mailbox.bytes = mailbox.bytes.saturating_sub(size);
        self.counts.insert(of, to_json(&mailbox).as_slice())?;
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
            let stored = stored.map(|json| from_json::<StoredId>(json.value()));
            if let Some(StoredId { to, number, .. }) = stored.transpose()? {
                self.take(to.as_str(), number)?;
                let mut own = self.counts_of(&sender)?;
                own.sent = own.sent.saturating_sub(1);
                self.counts.insert(sender.as_str(), to_json(&own).as_slice())?;
            }
        }
        Ok(())
    }

    /// A new one if there is none; never in the place of one that cannot be read: its numbers would
    /// begin at 1 again, and new messages take the place of old ones.
    fn counts_of(&self, of: &str) -> Result<MailboxCounts, StoreError> {
        let mailbox = self.counts.get(of)?.map(|json| from_json(json.value())).transpose();
        Ok(mailbox?.unwrap_or_default())
    }
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    // Structs of texts and numbers always have a JSON.
    serde_json::to_vec(value).unwrap_or_default()
}

pub(super) fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(json).map_err(|_| StoreError::Broken)
}
