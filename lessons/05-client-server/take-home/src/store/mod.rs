//! Accounts and messages in one file, durable before anybody is told so.
//!
//! The mistakes this prevents: an acknowledgement before the disk has it; a message that is lost,
//! or stored twice, when a client tries again; a mailbox that grows until the disk is full; a disk
//! that stops the server's other work.
//!
//! One thread writes. It takes all jobs that wait, carries them out in one transaction, and answers
//! them after its commit: so 64 clients that send at once wait for one commit, not for 64 (group
//! commit).

mod error;
mod limits;
mod tables;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use careful_tokens::clock::Clock;
use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase};
use tokio::sync::{mpsc, oneshot};

pub use self::error::{OpenStoreError, StoreError};
pub use self::limits::StoreLimits;
use self::tables::{ACCOUNTS, MESSAGES, StoredMessage, from_json, make_tables};
pub use self::tables::{Account, NewMessage};
use self::writer::{Change, Done, Job, Order, write_all};
use crate::protocol::{Delivery, MAX_FRAME, Name};

/// What one frame may hold of messages, in bytes of JSON, with room for the rest.
const PAGE: usize = MAX_FRAME - 1024;
/// What the database may keep in memory of its file, in bytes.
const CACHE: usize = 16 * 1024 * 1024;

/// The store. Clones share it; the last one ends the writing thread.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    orders: mpsc::Sender<Order>,
    writer: Arc<Writer>,
}

/// Waits for the thread when the store is closed: the database's file is free then.
struct Writer(Mutex<Option<JoinHandle<()>>>);

impl Store {
    /// Opens the file, or makes it, readable for its owner alone. Must not be called on an async
    /// thread that has other work.
    ///
    /// # Errors
    /// See [`OpenStoreError`].
    pub fn open(path: &Path, limits: StoreLimits, clock: Clock) -> Result<Self, OpenStoreError> {
        let file = careful_files::open_or_create_private(path).map_err(OpenStoreError::File)?;
        let failed = |error: redb::Error| OpenStoreError::Database(error);
        // Takes the file for itself: a second server on it is refused.
        let backend = FileBackend::new(file).map_err(|error| failed(error.into()))?;
        let database = Database::builder()
            .set_cache_size(CACHE)
            .create_with_backend(backend)
            .map_err(|error| failed(error.into()))?;
        make_tables(&database)?;
        // A commit does not tell that there is such a file.
        careful_files::sync_folder_of(path).map_err(OpenStoreError::File)?;
        let database = Arc::new(database);
        let (orders, waiting) = mpsc::channel(limits.waiting.max(1));
        let for_thread = database.clone();
        let writer = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || write_all(&for_thread, limits, &clock, waiting))
            .map_err(OpenStoreError::Thread)?;
        let writer = Arc::new(Writer(Mutex::new(Some(writer))));
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
        let thread = writer.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic there was reported by its hook.
            let _ = thread.join();
        }
    }
}
