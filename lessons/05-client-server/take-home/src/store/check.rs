//! An operator's check of a database that no server has open: every page, every value and every count.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{ReadableDatabase, ReadableTable};

use super::error::{OpenStoreError, StoreError};
use super::open::{OPENING, open_file};
use super::records::{Account, MailboxCounts, StoredId, StoredMessage};
use super::tables::{ACCOUNTS, COUNTS, EXPIRY, IDS, MESSAGES, sha256};
use crate::protocol::Name;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Accounts.
    pub accounts: u64,
    /// Messages in all mailboxes.
    pub messages: u64,
    /// The bytes of their boxes.
    pub bytes: u64,
    /// What is wrong, a sentence each. Nothing of it was changed.
    pub faults: Vec<String>,
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accounts, messages, bytes, faults } = self;
        writeln!(f, "{accounts} accounts, {messages} letters of {bytes} bytes")?;
        faults.iter().try_for_each(|fault| writeln!(f, "FAULT: {fault}"))
    }
}

/// Checks a database: the checksum of every page, then each value, and that the counts are those of what
/// is there. It reads everything, so it takes its time. redb repairs what it can of its own pages; copy the file
/// first if you want to keep it as it is.
///
/// # Errors
/// It can't be opened, or its pages are damaged: see [`OpenStoreError`].
pub fn check(path: &Path) -> Result<Checked, OpenStoreError> {
    let database = open_file(path)?;
    // Moved: closing it can panic, too.
    let work = move || {
        let mut database = database;
        let whole = database.check_integrity();
        let whole = whole.map_err(|error| OpenStoreError::Damaged(Some(error.into())))?;
        let mut checked = contents(&database).unwrap_or_else(|error| Checked {
            faults: vec![format!("the values cannot be read: {error}")],
            ..Checked::default()
        });
        if !whole {
            checked.faults.insert(0, "the pages were not whole, and were repaired".to_owned());
        }
        Ok(checked)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(OPENING.to_owned());
        let guarded = move || catch_unwind(AssertUnwindSafe(work));
        let thread = thread.spawn_scoped(scope, guarded).map_err(OpenStoreError::Thread)?;
        match thread.join() {
            Ok(Ok(done)) => done,
            Ok(Err(_panic)) | Err(_panic) => Err(OpenStoreError::Damaged(None)),
        }
    })
}

fn contents(database: &redb::Database) -> Result<Checked, StoreError> {
    let transaction = database.begin_read()?;
    let mut checked = Checked::default();
    let mut counts = BTreeMap::<String, MailboxCounts>::new();
    let mut fault = |text: String| checked.faults.push(text);
    let mut accounts = 0;
    for entry in transaction.open_table(ACCOUNTS)?.iter()? {
        let (name, value) = entry?;
        accounts += 1;
        if Account::from_bytes(value.value()).is_err() || Name::new(name.value()).is_err() {
            fault(format!("the account {:?} is not one", name.value()));
        }
    }
    let (mut messages, mut bytes) = (0, 0);
    let table = transaction.open_table(MESSAGES)?;
    for entry in table.iter()? {
        let (key, value) = entry?;
        let (of, number) = key.value();
        messages += 1;
        let Ok(message) = StoredMessage::from_bytes(value.value()) else {
            fault(format!("letter {number} in the mailbox of {of:?} is not one"));
            continue;
        };
        let counted = counts.entry(of.to_owned()).or_default();
        counted.messages += 1;
        counted.bytes += message.sealed.len() as u64;
        bytes += message.sealed.len() as u64;
        counted.last = counted.last.max(number);
    }
    let ids = transaction.open_table(IDS)?;
    for entry in transaction.open_table(EXPIRY)?.iter()? {
        let (key, _) = entry?;
        let (_, sender, id) = key.value();
        counts.entry(sender.to_owned()).or_default().sent += 1;
        let stored = ids.get((sender, id))?;
        let stored = stored.map(|value| StoredId::from_bytes(value.value()));
        let Some(Ok(StoredId { to, number, hash })) = stored else {
            fault(format!("what {sender:?} sent has no id that can be read"));
            continue;
        };
        let there = table.get((to.as_str(), number))?;
        let there = there.map(|value| StoredMessage::from_bytes(value.value()));
        // One that was read is gone. Another sender's may have its number, if the account was deleted
        // and registered again.
        if let Some(Ok(message)) = there
            && message.from.as_str() == sender
            && message.id.0 == id
            && sha256(&message.sealed) != hash
        {
            fault(format!("letter {number} in the mailbox of {to} is not what {sender:?} sent"));
        }
    }
    let table = transaction.open_table(COUNTS)?;
    for entry in table.iter()? {
        let (name, value) = entry?;
        let found = counts.remove(name.value()).unwrap_or_default();
        match MailboxCounts::from_bytes(value.value()) {
            Err(_) => fault(format!("the counts of {:?} cannot be read", name.value())),
            // Numbers of letters that were read are not used again.
            Ok(said) if said == (MailboxCounts { last: said.last.max(found.last), ..found }) => {}
            Ok(_) => {
                fault(format!("the counts of {:?} are not those of its letters", name.value()))
            }
        }
    }
    for name in counts.into_keys() {
        fault(format!("the counts of {name:?} are missing"));
    }
    Ok(Checked { accounts, messages, bytes, ..checked })
}
