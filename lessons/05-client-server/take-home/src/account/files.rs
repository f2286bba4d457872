//! The two files of an account: the identity, which changes when you say so, and the state, which
//! changes with each letter. They belong together: see [`AccountError::NoState`] and
//! [`AccountError::NotOneAccount`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use careful_encryption::public_key::PublicKey;
use careful_files::{FileError, ReplaceError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::AccountError;
use super::numbers::Received;
use super::outbox::Outgoing;
use crate::protocol::{Bytes, Name, Secret};

/// The largest file of an account, in bytes: a full outbox takes a tenth of it.
const MAX_FILE: u64 = 64 * 1024 * 1024;
pub(super) const IDENTITY: &str = "account.json";
pub(super) const STATE: &str = "state.json";

/// Where the files of an account are. [`Disk`] is what it says; another one is for tests of what happens
/// when the disk fails.
pub trait Storage: Send + Sync {
    /// Reads a file of at most `limit` bytes, if only its owner can.
    ///
    /// # Errors
    /// See [`FileError`].
    fn read(&self, path: &Path, limit: u64) -> Result<zeroize::Zeroizing<Vec<u8>>, FileError>;

    /// Replaces a file, as a whole or not at all.
    ///
    /// # Errors
    /// See [`ReplaceError`].
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), ReplaceError>;
}

/// The disk, by [`careful_files`].
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl Storage for Disk {
    fn read(&self, path: &Path, limit: u64) -> Result<zeroize::Zeroizing<Vec<u8>>, FileError> {
        careful_files::read_private(path, limit)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), ReplaceError> {
        careful_files::replace(path, bytes)
    }
}

/// Who the account is.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) name: Name,
    pub(super) password: Secret,
    /// The private key. Wiped when it is dropped, as the password is.
    pub(super) key: Secret,
    /// A password that the server was asked to take. Whether it did isn't known if the answer was lost, so
    /// both are kept until one of them has worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next_password: Option<Secret>,
    /// The same for a private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next_key: Option<Secret>,
}

/// The part that does.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// The number in the mailbox up to which everything was read, of this run: a server that was
    /// restored from a backup counts from a smaller one, and what was not deleted is deleted then.
    #[serde(skip)]
    pub(super) read: u64,
    /// The public key that this belongs to: so a state that was restored next to another key is noticed.
    #[serde(default)]
    pub(super) owner: Option<Bytes>,
    /// Whether the account had another key before: letters that were sealed for that one cannot be
    /// opened.
    #[serde(default)]
    pub(super) had_another_key: bool,
    pub(super) peers: BTreeMap<Name, Peer>,
    pub(super) outbox: Vec<Outgoing>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Peer {
    /// Pinned.
    pub(super) key: Bytes,
    /// The number of the last letter to them. It only grows, whatever key they have.
    pub(super) sent: u64,
    /// What came from them under each key that was ever pinned, by its hexadecimal digits: a sender
    /// with another key starts a new count, and an earlier key does not make old letters new.
    pub(super) received: BTreeMap<String, Received>,
}

impl Peer {
    pub(super) fn new(key: &PublicKey) -> Self {
        Self { key: Bytes(key.to_bytes()), sent: 0, received: BTreeMap::new() }
    }

    /// The keys that were pinned before this one.
    pub(super) fn earlier_keys(&self) -> impl Iterator<Item = PublicKey> {
        self.received.keys().filter(|key| **key != hex(&self.key.0)).filter_map(|key| unhex(key))
    }
}

/// The digits by which [`Peer::received`] names a key.
pub(super) fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(key: &str) -> Option<PublicKey> {
    let digits = |at: usize| u8::from_str_radix(key.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..key.len()).step_by(2).map(digits).collect();
    PublicKey::from_bytes(&bytes?).ok()
}

pub(super) fn read<T: DeserializeOwned>(
    storage: &dyn Storage,
    path: &Path,
) -> Result<T, AccountError> {
    let json =
        storage.read(path, MAX_FILE).map_err(|error| AccountError::Read(path.to_owned(), error))?;
    serde_json::from_slice(&json).map_err(|_| AccountError::Broken(path.to_owned()))
}

/// What could not be read again is not written.
pub(super) fn write(storage: &dyn Storage, path: PathBuf, json: &[u8]) -> Result<(), AccountError> {
    let written = match json.len() as u64 > MAX_FILE {
        true => Err(ReplaceError::Write(io::ErrorKind::FileTooLarge.into())),
        false => storage.replace(&path, json),
    };
    written.map_err(|error| AccountError::Write(path, error))
}
