//! Why something could not be done.

use std::io;
use std::path::PathBuf;

use careful_files::{FileError, ReplaceError};
use thiserror::Error;

use super::outbox::MAX_OUTBOX;
use crate::client::ClientError;
use crate::protocol::{Name, Refusal};
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
    /// Without its state, an account has neither the keys that it has pinned nor the numbers of its
    /// letters.
    #[error(
        "{} is missing, which holds the pinned keys, the numbers of letters and those that wait. Restore it from \
         the copy that the rest came from. If there is none: mailbox --as {name} start-over",
        file.display()
    )]
    NoState {
        /// Where it should be.
        file: PathBuf,
        /// Whose it is.
        name: Name,
    },
    /// The other half: the state of an account without its key.
    #[error(
        "{} is missing, and its state is there: restore account.json from the copy that the rest came from. Only if \
         there is none, move the folder away",
        .0.display()
    )]
    NoIdentity(PathBuf),
    /// Of two copies.
    #[error(
        "the state in {} belongs to another key of {name}: restore both files of the account from one copy. If \
         there is none: mailbox --as {name} start-over",
        folder.display()
    )]
    NotOneAccount {
        /// Where both are.
        folder: PathBuf,
        /// Whose they are.
        name: Name,
    },
    /// There is an account already.
    #[error("there is an account already in {}", .0.display())]
    Exists(PathBuf),
    /// The server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A letter was not sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The key that the server gives cannot be used.
    #[error("the server gives a key for {0} that cannot be used")]
    BadKey(Name),
    /// The key that the server gives is not the one that is pinned.
    #[error(
        "THE KEY OF {name} HAS CHANGED, so nothing was sent to {name}, and letters from {name} stay on the server. \
         Pinned: {pinned}. Offered: {offered}. Ask {name} for the fingerprint, for example by telephone, and not \
         through this mailbox. If it is the offered one, run: mailbox --as {own} trust {name} FINGERPRINT"
    )]
    KeyChanged {
        /// Who has pinned it.
        own: Name,
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
    /// What was compared has not the form of a fingerprint.
    #[error("expected a fingerprint, eight groups of four hexadecimal digits, got {0:?}")]
    NotAFingerprint(String),
    /// The server has made the change, and the account's file could not be written: it still has both, the one
    /// before and the new one, and [`Account::settle`](super::Account::settle) finds out.
    #[error("the server has made the change, but it could not be written down here")]
    Done(#[source] Box<AccountError>),
    /// A change of the key whose answer was lost, and that could not be settled now.
    #[error("it is not known whether the server has taken the new key: connect to it first")]
    Unsettled(#[source] Box<AccountError>),
    /// Letters wait that are sealed by the key that is to be changed: afterwards nobody could open them.
    #[error("letters sealed with the old key are still waiting to be sent: {0}")]
    LettersWait(usize),
    /// Too many letters wait to be sent.
    #[error("expected at most {MAX_OUTBOX} letters that wait to be sent")]
    OutboxFull,
    /// The system has no random bytes.
    #[error("the system gave no random bytes")]
    NoRandom,
}

impl AccountError {
    /// Whether a request that must not come twice may have been carried out, after this error of
    /// [`change_password`](super::Account::change_password) and the like: its answer was lost or couldn't be
    /// understood, or the server had a problem on the way. Else it certainly was not.
    pub fn may_have_been_done(&self) -> bool {
        match self {
            Self::Done(_) => true,
            Self::Client(error) => match error {
                ClientError::Lost(_) | ClientError::Closed | ClientError::Unexpected(_) => true,
                ClientError::Refused { because, .. } => *because == Refusal::Unavailable,
                ClientError::Connect(_) | ClientError::NoLogin => false,
            },
            _ => false,
        }
    }
}

// ANCHOR: fate
/// What became of a letter that was not simply sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The server has it. Only the note of that failed: the next program sends it again, and the server
    /// stores it once.
    Sent,
    /// It waits in the account's folder, and goes with the next letter or [`Account::send_waiting`]. The
    /// server may have it already; it will be there once.
    ///
    /// [`Account::send_waiting`]: super::Account::send_waiting
    Kept,
    /// It is nowhere: neither on the server nor in the folder.
    NotKept,
}

/// A letter was not simply sent.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct SendError {
    /// What became of it.
    pub fate: Fate,
    /// Why.
    #[source]
    pub error: AccountError,
}
// ANCHOR_END: fate
