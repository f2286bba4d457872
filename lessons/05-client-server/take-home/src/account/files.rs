//! The two files of an account: the identity, which does not change, and the state, which does.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use careful_encryption::public_key::PublicKey;
use careful_files::ReplaceError;
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

/// The part that does not change.
#[derive(Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) name: Name,
    pub(super) password: Secret,
    pub(super) key: Bytes,
}

/// The part that does.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// The number in the mailbox up to which everything was read, of this run: a server that was
    /// restored from a backup counts from a smaller one, and what was not deleted is deleted then.
    #[serde(skip)]
    pub(super) read: u64,
    pub(super) peers: BTreeMap<Name, Peer>,
    pub(super) outbox: Vec<Outgoing>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Peer {
    /// Pinned.
    pub(super) key: Bytes,
    /// The number of the last letter to them. It only grows, whatever key they have.
    pub(super) sent: u64,
    /// What came from them under each key that was ever pinned, by its hexadecimal digits: whoever
    /// has another key starts a new count, and an earlier key does not make old letters new.
    pub(super) received: BTreeMap<String, Received>,
}

impl Peer {
    pub(super) fn new(key: &PublicKey) -> Self {
        Self { key: Bytes(key.to_bytes()), sent: 0, received: BTreeMap::new() }
    }
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, AccountError> {
    let json = careful_files::read_private(path, MAX_FILE)
        .map_err(|error| AccountError::Read(path.to_owned(), error))?;
    serde_json::from_slice(&json).map_err(|_| AccountError::Broken(path.to_owned()))
}

pub(super) fn write(path: PathBuf, json: &[u8]) -> Result<(), AccountError> {
    // What could not be read again is not written.
    let written = match json.len() as u64 > MAX_FILE {
        true => Err(ReplaceError::Write(io::ErrorKind::FileTooLarge.into())),
        false => careful_files::replace(&path, json),
    };
    written.map_err(|error| AccountError::Write(path, error))
}
