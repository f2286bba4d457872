//! Why something was not stored, and why there is no store.

use std::io;
use std::sync::Arc;

use thiserror::Error;

/// Why something was not stored, or not found.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// An account of that name is there.
    #[error("the name is in use")]
    Taken,
    /// There is no such account.
    #[error("no account of that name")]
    NoAccount,
    /// The account was changed since it was read.
    #[error("the account was changed meanwhile")]
    Changed,
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
    #[error("the database is damaged: stop the server, and run `mailbox-server --check`")]
    Broken,
}

impl StoreError {
    /// Whether the database is to blame, and not what was asked of it.
    pub(super) fn is_a_fault(&self) -> bool {
        matches!(self, Self::Database(_) | Self::Broken)
    }
}

/// Every error of redb is one of the database.
impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Database(Arc::new(error.into()))
    }
}

/// Why there is no store. The file is left as it is.
#[derive(Debug, Error)]
pub enum OpenStoreError {
    /// The file cannot be made or opened.
    #[error("the database file cannot be opened")]
    File(#[source] io::Error),
    /// A process has it open.
    #[error("the database is in use: does another server run on this folder?")]
    InUse,
    /// No bytes.
    #[error(
        "the database is an empty file: restore it from a copy, or delete it to begin with an empty mailbox"
    )]
    Empty,
    /// Another program's file.
    #[error("the file is not a mailbox's database: another program wrote it")]
    Alien,
    /// Damaged, or cut off.
    #[error("the database is damaged: restore it from a copy")]
    Damaged(#[source] Option<redb::Error>),
    /// A later version of redb or of this program wrote it.
    #[error("a later version wrote the database: use that version")]
    Newer,
    /// Another program wrote it.
    #[error(
        "the database has a table {0:?} that this version does not know: it is of another program, or a later version wrote it"
    )]
    OtherTable(String),
    /// It cannot be read or written now, because the disk is full or broken.
    #[error("the database failed when it was opened")]
    Database(#[source] redb::Error),
    /// The system gave no thread.
    #[error("the writing thread cannot be started")]
    Thread(#[source] io::Error),
}
