//! Why something could not be done.

use std::io;
use std::path::PathBuf;

use careful_files::{FileError, ReplaceError};
use thiserror::Error;

use super::outbox::MAX_OUTBOX;
use crate::client::ClientError;
use crate::protocol::Name;
use crate::sealed::SealError;

/// Why something could not be done.
#[derive(Debug, Error)]
pub enum AccountError {
    /// The folder cannot be made.
    #[error("the account's folder cannot be made: {}", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// A file of the account cannot be read.
    #[error("the account's file cannot be read: {}", .0.display())]
    Read(PathBuf, #[source] FileError),
    /// A file of the account was not written, or not for certain: see the [`ReplaceError`].
    #[error("the account's file is not safely on the disk: {}", .0.display())]
    Write(PathBuf, #[source] ReplaceError),
    /// A file holds something else.
    #[error("expected an account in this file, found something else: {}", .0.display())]
    Broken(PathBuf),
    /// There is an account already.
    #[error("there is an account already in {}", .0.display())]
    Exists(PathBuf),
    /// The server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A letter was not sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The key that the server gives is none.
    #[error("the server gives a key for {0} that is none")]
    BadKey(Name),
    /// The key that the server gives is not the one that is pinned.
    #[error(
        "THE KEY OF {name} HAS CHANGED, so nothing was sent to or read from {name}. Pinned: {pinned}. \
         Offered: {offered}. Ask {name}, but not by this mailbox, which is right. If it is the \
         offered one: mailbox trust {name}, and that fingerprint"
    )]
    KeyChanged {
        /// Whose.
        name: Name,
        /// The fingerprint of the pinned key.
        pinned: String,
        /// The fingerprint of the other one.
        offered: String,
    },
    /// The key that the server gives is not the one that was compared.
    #[error("the server gives another key for {name} than the one you compared: {offered}")]
    NotCompared {
        /// Whose.
        name: Name,
        /// The fingerprint of what the server gives.
        offered: String,
    },
    /// Too many letters wait to be sent.
    #[error("expected at most {MAX_OUTBOX} letters that wait to be sent")]
    OutboxFull,
    /// The system has no random bytes.
    #[error("the system gave no random bytes")]
    NoRandom,
}
