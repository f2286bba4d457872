//! Accounts and messages in one file, durable before anybody is told so.
//!
//! The mistakes this prevents: an acknowledgement before the disk has it; a message that is lost,
//! or stored twice, when a client tries again; a mailbox that grows until the disk is full; a disk
//! that stops the server's other work.
//!
//! One thread writes. It takes all jobs that wait, carries them out in one transaction, and answers
//! them after its commit: so 64 clients that send at once wait for one commit, not for 64 (group
//! commit).

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use aws_lc_rs::digest::{SHA256, digest};
use careful_tokens::clock::Clock;
use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::protocol::{Bytes, Delivery, MAX_FRAME, MessageId, Name};

const ACCOUNTS: TableDefinition<&str, &[u8]> = TableDefinition::new("accounts");
const BOXES: TableDefinition<&str, &[u8]> = TableDefinition::new("boxes");
/// By recipient and number.
const MESSAGES: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("messages");
/// By sender and id: what was stored, so that it is not stored twice.
const IDS: TableDefinition<(&str, [u8; 16]), &[u8]> = TableDefinition::new("ids");
/// By the second of expiry, sender and id.
const EXPIRY: TableDefinition<(u64, &str, [u8; 16]), ()> = TableDefinition::new("expiry");

/// What one frame may hold of messages, in bytes of JSON, with room for the rest.
const PAGE: usize = MAX_FRAME - 1024;
/// What the database may keep in memory of its file, in bytes.
const CACHE: usize = 16 * 1024 * 1024;
/// Jobs in one transaction, and expired messages that one takes away.
const BATCH: usize = 256;

/// What the store may grow to.
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    /// Accounts.
    pub accounts: u64,
    /// Messages in a mailbox.
    pub messages: u64,
    /// Bytes in a mailbox, as they were sealed.
    pub bytes: u64,
    /// Messages of one sender that have not expired, in all mailboxes, read or not.
    pub sent: u64,
    /// How long a message is kept, in seconds.
    pub keep: u64,
    /// Jobs that may wait for the disk.
    pub waiting: usize,
}

impl Default for Quotas {
    /// 10,000 accounts; 1,000 messages or 16 MiB in a mailbox; 10,000 messages of one sender; 30
    /// days; 1,024 jobs. All mailboxes full are 160 GiB: choose what your disk holds.
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

/// Why something was not stored, or not found.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// An account of that name is there.
    #[error("the name is in use")]
    Taken,
    /// There is no such account.
    #[error("no account of that name")]
    NoAccount,
    /// A message of that id and other content is there.
    #[error("another message has that id")]
    Conflict,
    /// A quota is used up.
    #[error("expected no more than {0}")]
    Full(&'static str),
    /// Too many jobs wait.
    #[error("too many jobs wait for the disk")]
    Busy,
    /// The database failed: the disk is full or broken. Nothing of the job is stored, or nobody was
    /// told so.
    #[error("the database failed")]
    Database(#[source] Arc<redb::Error>),
    /// The writing thread has ended.
    #[error("the store is closed")]
    Closed,
    /// What the database holds is not what this program wrote. It is left as it is.
    #[error("the database holds something else")]
    Broken,
}

impl StoreError {
    /// Whether the database is to blame, and not what was asked of it.
    fn is_a_fault(&self) -> bool {
        matches!(self, Self::Database(_) | Self::Broken)
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl From<redb::StorageError> for StoreError {
    fn from(error: redb::StorageError) -> Self {
        redb::Error::from(error).into()
    }
}

impl From<redb::TableError> for StoreError {
    fn from(error: redb::TableError) -> Self {
        redb::Error::from(error).into()
    }
}

impl From<redb::TransactionError> for StoreError {
    fn from(error: redb::TransactionError) -> Self {
        redb::Error::from(error).into()
    }
}

impl From<redb::CommitError> for StoreError {
    fn from(error: redb::CommitError) -> Self {
        redb::Error::from(error).into()
    }
}

/// Why there is no store.
#[derive(Debug, Error)]
pub enum OpenStoreError {
    /// The file cannot be made or opened.
    #[error("the database file cannot be opened")]
    File(#[source] io::Error),
    /// It is no database, is broken, or another server has it open.
    #[error("the database cannot be opened: does another server use it?")]
    Database(#[source] redb::Error),
    /// The system gave no thread.
    #[error("the writing thread cannot be started")]
    Thread(#[source] io::Error),
}

#[derive(Serialize, Deserialize)]
struct StoredMessage {
    from: Name,
    id: MessageId,
    sealed: Bytes,
}

#[derive(Serialize, Deserialize)]
struct StoredId {
    to: Name,
    number: u64,
    hash: Bytes,
}

/// What is counted of an account.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Mailbox {
    /// The number of the last message that came. Numbers are not used again.
    last: u64,
    messages: u64,
    bytes: u64,
    /// Messages that this account sent, and that have not expired.
    sent: u64,
}

/// A change, and who waits for it.
struct Job {
    change: Change,
    answer: oneshot::Sender<Result<Done, StoreError>>,
}

enum Change {
    Register(Name, Account),
    Put(NewMessage),
    Delete(Name, Vec<u64>),
    /// Nothing but what every batch does first: it forgets what has expired.
    Forget,
}

/// What a change came to.
#[derive(Clone, Copy)]
enum Done {
    Registered,
    Stored { again: bool },
    Deleted(usize),
    Forgotten,
}

enum Order {
    Do(Job),
    /// The last one.
    Close,
}

/// The store. Clones share it; the last one ends the writing thread.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    orders: mpsc::Sender<Order>,
    writer: Arc<Writer>,
}

/// Waits for the thread when the store is closed: the database's file is free then.
struct Writer(std::sync::Mutex<Option<JoinHandle<()>>>);

impl Store {
    /// Opens the file, or makes it, readable for its owner alone. Must not be called on an async
    /// thread that has other work.
    ///
    /// # Errors
    /// See [`OpenStoreError`].
    pub fn open(path: &Path, quotas: Quotas, clock: Clock) -> Result<Self, OpenStoreError> {
        let file = careful_files::open_or_create_private(path).map_err(OpenStoreError::File)?;
        let failed = |error: redb::Error| OpenStoreError::Database(error);
        // Takes the file for itself: a second server on it is refused.
        let backend = FileBackend::new(file).map_err(|error| failed(error.into()))?;
        let database = Database::builder()
            .set_cache_size(CACHE)
            .create_with_backend(backend)
            .map_err(|error| failed(error.into()))?;
        make_tables(&database).map_err(OpenStoreError::Database)?;
        // A commit does not tell that there is such a file.
        careful_files::sync_folder_of(path).map_err(OpenStoreError::File)?;
        let database = Arc::new(database);
        let (orders, waiting) = mpsc::channel(quotas.waiting.max(1));
        let for_thread = database.clone();
        let writer = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || write_all(&for_thread, quotas, &clock, waiting))
            .map_err(OpenStoreError::Thread)?;
        let writer = Arc::new(Writer(std::sync::Mutex::new(Some(writer))));
        Ok(Self { database, orders, writer })
    }

    /// A new account.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn register(&self, name: Name, account: Account) -> Result<(), StoreError> {
        self.change(Change::Register(name, account)).await.map(drop)
    }

    /// Stores a message. When this returns, it is on the disk; `true` if it was there already.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn put(&self, message: NewMessage) -> Result<bool, StoreError> {
        let done = self.change(Change::Put(message)).await?;
        Ok(matches!(done, Done::Stored { again: true }))
    }

    /// Deletes messages of a mailbox; how many were there. Their ids are remembered until they
    /// expire, so that a late repetition does not bring them back.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete(&self, of: Name, numbers: Vec<u64>) -> Result<usize, StoreError> {
        match self.change(Change::Delete(of, numbers)).await? {
            Done::Deleted(count) => Ok(count),
            _ => Ok(0),
        }
    }

    /// An account.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn account(&self, name: Name) -> Result<Option<Account>, StoreError> {
        self.read(move |database| {
            let accounts = database.begin_read()?.open_table(ACCOUNTS)?;
            accounts.get(name.as_str())?.map(|json| from_json(json.value())).transpose()
        })
        .await
    }

    /// The messages of a mailbox whose number is larger than `after`, as many as fit into one
    /// frame, and whether there are more.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn messages(
        &self,
        of: Name,
        after: u64,
    ) -> Result<(Vec<Delivery>, bool), StoreError> {
        self.read(move |database| {
            let table = database.begin_read()?.open_table(MESSAGES)?;
            let (mut page, mut size) = (Vec::new(), 0);
            let first = after.saturating_add(1);
            for entry in table.range((of.as_str(), first)..=(of.as_str(), u64::MAX))? {
                let (key, json) = entry?;
                // Its number, quotes and commas stand beside it in the frame.
                size += json.value().len() + 64;
                if size > PAGE && !page.is_empty() {
                    return Ok((page, true));
                }
                let StoredMessage { from, id, sealed } = from_json(json.value())?;
                let (_, number) = key.value();
                page.push(Delivery { number, from, id, sealed });
            }
            Ok((page, false))
        })
        .await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = self.database.clone();
        let done = tokio::task::spawn_blocking(move || read(&database)).await;
        done.map_err(|_panicked| StoreError::Closed)?
    }

    async fn change(&self, change: Change) -> Result<Done, StoreError> {
        let (answer, answered) = oneshot::channel();
        let order = Order::Do(Job { change, answer });
        self.orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Takes away messages whose time is over. Every write does it, too; a server calls this now
    /// and then, for the time when nobody writes.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn forget_expired(&self) -> Result<(), StoreError> {
        self.change(Change::Forget).await.map(drop)
    }

    /// Waits until all that was accepted is written. Other clones see [`StoreError::Closed`] when
    /// they write; the file is free when the last of them is gone. For the end of the program;
    /// it blocks.
    pub fn close(self) {
        let Self { database, orders, writer } = self;
        // If it fails, the thread has ended.
        let _ = orders.blocking_send(Order::Close);
        drop((database, orders));
        let thread = writer.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some(thread) = thread {
            // A panic there was reported by its hook.
            let _ = thread.join();
        }
    }
}

fn make_tables(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(ACCOUNTS)?;
    transaction.open_table(BOXES)?;
    transaction.open_table(MESSAGES)?;
    transaction.open_table(IDS)?;
    transaction.open_table(EXPIRY)?;
    Ok(transaction.commit()?)
}

// ANCHOR: write_all
fn write_all(
    database: &Database,
    quotas: Quotas,
    clock: &Clock,
    mut orders: mpsc::Receiver<Order>,
) {
    while let Some(first) = orders.blocking_recv() {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Do(job) => batch.push(job),
                // Nothing is accepted any more; what was accepted is still written.
                Order::Close => orders.close(),
            }
            next = if batch.len() < BATCH { orders.try_recv().ok() } else { None };
        }
        let (changes, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|Job { change, answer }| (change, answer)).unzip();
        let outcomes = write_batch(database, quotas, clock.now(), &changes);
        // Nobody is told anything before the commit is on the disk. A client may have gone by then:
        // what is stored is stored.
        match outcomes {
            Ok(outcomes) => {
                answers.into_iter().zip(outcomes).for_each(|(answer, outcome)| {
                    let _ = answer.send(outcome);
                });
            }
            Err(fault) => answers.into_iter().for_each(|answer| {
                let _ = answer.send(Err(fault.clone()));
            }),
        }
    }
}
// ANCHOR_END: write_all

/// All changes in one transaction, and what each came to, in their order. After a fault there is
/// nothing of any of them: a transaction that is dropped without a commit leaves nothing.
fn write_batch(
    database: &Database,
    quotas: Quotas,
    now: u64,
    changes: &[Change],
) -> Result<Vec<Result<Done, StoreError>>, StoreError> {
    let transaction = database.begin_write()?;
    let mut outcomes = Vec::with_capacity(changes.len());
    {
        let mut tables = Tables::open(&transaction)?;
        tables.forget_expired(now)?;
        for change in changes {
            let outcome = match change {
                Change::Register(name, account) => {
                    tables.register(name, account, quotas).map(|()| Done::Registered)
                }
                Change::Put(message) => {
                    let stored = tables.put(message, quotas, now);
                    stored.map(|again| Done::Stored { again })
                }
                Change::Delete(of, numbers) => tables.delete(of, numbers).map(Done::Deleted),
                Change::Forget => Ok(Done::Forgotten),
            };
            match outcome {
                Err(fault) if fault.is_a_fault() => return Err(fault),
                outcome => outcomes.push(outcome),
            }
        }
    }
    transaction.commit()?;
    Ok(outcomes)
}

struct Tables<'t> {
    accounts: Table<'t, &'static str, &'static [u8]>,
    boxes: Table<'t, &'static str, &'static [u8]>,
    messages: Table<'t, (&'static str, u64), &'static [u8]>,
    ids: Table<'t, (&'static str, [u8; 16]), &'static [u8]>,
    expiry: Table<'t, (u64, &'static str, [u8; 16]), ()>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            accounts: transaction.open_table(ACCOUNTS)?,
            boxes: transaction.open_table(BOXES)?,
            messages: transaction.open_table(MESSAGES)?,
            ids: transaction.open_table(IDS)?,
            expiry: transaction.open_table(EXPIRY)?,
        })
    }

    fn register(
        &mut self,
        name: &Name,
        account: &Account,
        quotas: Quotas,
    ) -> Result<(), StoreError> {
        use redb::ReadableTableMetadata;
        if self.accounts.get(name.as_str())?.is_some() {
            return Err(StoreError::Taken);
        }
        if self.accounts.len()? >= quotas.accounts {
            return Err(StoreError::Full("the accounts of this server"));
        }
        self.accounts.insert(name.as_str(), to_json(account).as_slice())?;
        Ok(())
    }

    fn put(&mut self, message: &NewMessage, quotas: Quotas, now: u64) -> Result<bool, StoreError> {
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
        let (mut mailbox, size) = (self.mailbox(recipient)?, sealed.len() as u64);
        if mailbox.messages >= quotas.messages || mailbox.bytes + size > quotas.bytes {
            return Err(StoreError::Full("the recipient's mailbox holds"));
        }
        let sent = self.mailbox(sender)?.sent;
        if sent >= quotas.sent {
            return Err(StoreError::Full("one sender may have on this server"));
        }
        mailbox.last += 1;
        mailbox.messages += 1;
        mailbox.bytes += size;
        let number = mailbox.last;
        self.boxes.insert(recipient, to_json(&mailbox).as_slice())?;
        // Read anew: sender and recipient may be one.
        let mut own = self.mailbox(sender)?;
        own.sent = sent + 1;
        self.boxes.insert(sender, to_json(&own).as_slice())?;
        let stored = StoredMessage { from: from.clone(), id: *id, sealed: Bytes(sealed.clone()) };
        self.messages.insert((recipient, number), to_json(&stored).as_slice())?;
        let stored = StoredId { to: to.clone(), number, hash };
        self.ids.insert((sender, id.0), to_json(&stored).as_slice())?;
        self.expiry.insert((now.saturating_add(quotas.keep), sender, id.0), ())?;
        Ok(false)
    }

    fn delete(&mut self, of: &Name, numbers: &[u64]) -> Result<usize, StoreError> {
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
        let mut mailbox = self.mailbox(of)?;
        mailbox.messages = mailbox.messages.saturating_sub(1);
        mailbox.bytes = mailbox.bytes.saturating_sub(size);
        self.boxes.insert(of, to_json(&mailbox).as_slice())?;
        Ok(true)
    }

    /// Messages and ids whose time is over, some of them at a time.
    fn forget_expired(&mut self, now: u64) -> Result<(), StoreError> {
        for _ in 0..BATCH {
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
                let mut own = self.mailbox(&sender)?;
                own.sent = own.sent.saturating_sub(1);
                self.boxes.insert(sender.as_str(), to_json(&own).as_slice())?;
            }
        }
        Ok(())
    }

    /// A new one if there is none; never in the place of one that cannot be read: its numbers would
    /// begin anew, and new messages take the place of old ones.
    fn mailbox(&self, of: &str) -> Result<Mailbox, StoreError> {
        let mailbox = self.boxes.get(of)?.map(|json| from_json(json.value())).transpose();
        Ok(mailbox?.unwrap_or_default())
    }
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    // Structs of texts and numbers always have a JSON.
    serde_json::to_vec(value).unwrap_or_default()
}

fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(json).map_err(|_| StoreError::Broken)
}
