//! Accounts and messages in one file, durable before anybody is told so.
//!
//! The mistakes this prevents: an acknowledgement before the disk has it; a message that is lost,
//! or stored twice, when a client tries again; a mailbox that grows until the disk is full; a disk
//! that stops the server's other work; a wrong date that deletes everybody's letters.
//!
//! One thread writes. It takes all jobs that wait, carries them out in one transaction, and answers
//! them after its commit: so 64 clients that send at once wait for one commit, not for 64 (group
//! commit).

mod check;
mod error;
mod limits;
mod open;
mod records;
mod tables;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use careful_tokens::clock::Clock;
use redb::{Database, ReadableDatabase};
use tokio::sync::{mpsc, oneshot};

pub use self::check::{Checked, check};
pub use self::error::{OpenStoreError, StoreError};
pub use self::limits::StoreLimits;
pub use self::open::OPENING;
pub use self::records::{Account, Generation};
use self::records::{StoreClock, StoredMessage};
use self::tables::{ACCOUNTS, MESSAGES};
pub use self::tables::{AccountChange, NewMessage};
use self::writer::{Change, Done, Job, Order, write_all};
use crate::protocol::{Bytes, Delivery, MAX_FRAME, Name};

/// What one frame may hold of messages, in bytes of JSON, with room for the rest.
const PAGE: usize = MAX_FRAME - 1024;

/// The store. Clones share it; the last one ends the writing thread.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    orders: mpsc::Sender<Order>,
    writer: Arc<Writer>,
    commits: Arc<AtomicU64>,
}

/// Waits for the thread when the store is closed: the database's file is free then.
struct Writer(Mutex<Option<JoinHandle<()>>>);

impl Store {
    /// Opens the file, or makes it, readable for its owner alone. Must not be called on an async
    /// thread that has other work.
    ///
    /// # Errors
    /// See [`OpenStoreError`]. A panic of redb, which some damaged files bring about, is caught and
    /// returned as an error; a panic hook sees it on a thread named [`OPENING`].
    pub fn open(path: &Path, limits: StoreLimits, clock: Clock) -> Result<Self, OpenStoreError> {
        let (database, time) = open::open(path, limits)?;
        // A commit does not tell that there is such a file.
        match careful_files::sync_folder_of(path) {
            Err(error) if careful_files::cannot_sync_folders(&error) => {
                tracing::warn!(
                    "the file system can't sync folders: a power loss may take the file's name"
                );
            }
            synced => synced.map_err(OpenStoreError::File)?,
        }
        let database = Arc::new(database);
        let (orders, waiting) = mpsc::channel(limits.waiting.max(1));
        let (for_thread, commits) = (database.clone(), Arc::<AtomicU64>::default());
        let (clock, counter) = (StoreClock::new(time, clock), commits.clone());
        let writer = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || write_all(&for_thread, limits, &clock, waiting, &counter))
            .map_err(OpenStoreError::Thread)?;
        let writer = Arc::new(Writer(Mutex::new(Some(writer))));
        Ok(Self { database, orders, writer, commits })
    }

    /// How many transactions were committed since it was opened, for a counter of your own. Changes that
    /// wait at the same time share one.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// A new account.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn register(&self, name: Name, account: Account) -> Result<(), StoreError> {
        self.change(Change::Register(name, account)).await.map(drop)
    }

    /// Changes an account.
    ///
    /// # Errors
    /// See [`StoreError`]. [`StoreError::Changed`] if it isn't of the generation any more that the change
    /// is made for.
    pub async fn change_account(&self, name: Name, to: AccountChange) -> Result<(), StoreError> {
        self.change(Change::Account(name, to)).await.map(drop)
    }

    /// Deletes an account of this generation, and the messages in its mailbox.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn remove_account(&self, name: Name, is: Generation) -> Result<(), StoreError> {
        self.change(Change::Remove(name, is)).await.map(drop)
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
            let account = accounts.get(name.as_str())?;
            account.map(|bytes| Account::from_bytes(bytes.value())).transpose()
        })
        .await
    }

    /// How many messages lie in all mailboxes.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn waiting(&self) -> Result<u64, StoreError> {
        self.read(|database| {
            use redb::ReadableTableMetadata;
            Ok(database.begin_read()?.open_table(MESSAGES)?.len()?)
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
                let (key, bytes) = entry?;
                let StoredMessage { from, id, sealed } = StoredMessage::from_bytes(bytes.value())?;
                // In base64, next to two names of members, a number of up to 20 digits, and an id.
                size += sealed.len().div_ceil(3) * 4 + from.as_str().len() + 128;
                if size > PAGE && !page.is_empty() {
                    return Ok((page, true));
                }
                let (_, number) = key.value();
                page.push(Delivery { number, from, id, sealed: Bytes(sealed) });
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
        // redb panics at some damaged pages. The hook has reported it.
        done.map_err(|_panicked| StoreError::Broken)?
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
        let Self { database, orders, writer, .. } = self;
        // If it fails, the thread has ended.
        let _ = orders.blocking_send(Order::Close);
        drop((database, orders));
        let thread = writer.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic there was reported by its hook.
            let _ = thread.join();
        }
    }
}
