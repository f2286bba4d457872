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

/// Why there is no store.
#[derive(Debug, Error)]
pub enum OpenStoreError {
    /// The file cannot be made or opened.
    #[error("the database file cannot be opened")]
    File(#[source] io::Error),
    /// It is no database, is broken, or another server has it open.
    #[error("the database cannot be opened: does another server use it?")]
    Database(#[source] redb::Error),
    /// Another program, or a later version of this one, wrote it. It is left as it is.
    #[error(
        "the database has a table {0:?} that this version does not know: expected a file of its own, or a later \
         version"
    )]
    OtherTable(String),
    /// The system gave no thread.
    #[error("the writing thread cannot be started")]
    Thread(#[source] io::Error),
}
