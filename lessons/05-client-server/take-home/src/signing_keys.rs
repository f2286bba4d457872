//! The keys that sign access tokens, in a file: the newest signs, all of them verify.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use careful_files::{FileError, ReplaceError, if_there};
use careful_tokens::keys::{Algorithm, KeyError, KeyId, SigningKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::protocol::Secret;

/// Keys that are kept: the newest, and the one before it, whose tokens have not expired.
const KEPT: usize = 2;

/// The largest file, in bytes. Two keys take a few hundred.
const MAX_FILE: u64 = 64 * 1024;

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum SigningKeysError {
    /// The file cannot be read.
    #[error("the file of the signing keys cannot be read")]
    Read(#[from] FileError),
    /// The file cannot be written.
    #[error("the file of the signing keys cannot be written")]
    Write(#[from] ReplaceError),
    /// There is a file, and no key in it.
    #[error("expected a signing key in the file, found none")]
    None,
    /// It holds something else.
    #[error("expected signing keys in the file, found something else")]
    Broken,
    /// A key that cannot be used.
    #[error("a signing key cannot be used")]
    Key(#[from] KeyError),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    id: String,
    /// The private key in base64. Wiped when it is dropped.
    pkcs8: Secret,
}

/// Reads the keys, the newest last. For a server that runs: keys that are gone by accident must not
/// be replaced by others.
///
/// # Errors
/// See [`SigningKeysError`]. There are none, or no file.
pub fn load(path: &Path) -> Result<Vec<SigningKey>, SigningKeysError> {
    match parse(&careful_files::read_private(path, MAX_FILE)?)? {
        stored if stored.is_empty() => Err(SigningKeysError::None),
        stored => stored.iter().map(key).collect(),
    }
}

/// Reads the keys, the newest last; makes the file with one key if it is not there.
///
/// # Errors
/// See [`SigningKeysError`].
pub fn load_or_make(path: &Path) -> Result<Vec<SigningKey>, SigningKeysError> {
    let stored = read(path)?;
    if stored.is_empty() {
        return Ok(rotate(path)?.keys);
    }
    stored.iter().map(key).collect()
}

/// The keys after a rotation.
pub struct Rotated {
    /// The newest last.
    pub keys: Vec<SigningKey>,
    /// If not, the file is written, but after a power loss the one before it may be there instead. Don't
    /// rotate again for that: it would drop the key in use.
    pub synced: bool,
}

// ANCHOR: rotate
/// Adds a new key, which signs from the next reload on; the one before it still verifies, older
/// ones go. Wait for a token's lifetime between two rotations.
///
/// # Errors
/// See [`SigningKeysError`]: then the file is as it was.
pub fn rotate(path: &Path) -> Result<Rotated, SigningKeysError> {
    let mut stored = read(path)?;
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| KeyError::NoRandom)?;
    let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let new = SigningKey::ed25519(KeyId::new(&id)?)?;
    stored.push(Stored { id, pkcs8: Secret::new(BASE64_STANDARD.encode(new.expose())) });
    let old = stored.len().saturating_sub(KEPT);
    stored.drain(..old);
    let json = serde_json::to_vec(&stored).map_err(|_| SigningKeysError::Broken)?;
    let json = Zeroizing::new(json);
    let synced = ReplaceError::in_place(careful_files::replace(path, &json))?;
    Ok(Rotated { keys: stored.iter().map(key).collect::<Result<_, _>>()?, synced })
}
// ANCHOR_END: rotate

fn read(path: &Path) -> Result<Vec<Stored>, SigningKeysError> {
    match if_there(careful_files::read_private(path, MAX_FILE))? {
        Some(json) => parse(&json),
        None => Ok(Vec::new()),
    }
}

fn parse(json: &[u8]) -> Result<Vec<Stored>, SigningKeysError> {
    serde_json::from_slice(json).map_err(|_| SigningKeysError::Broken)
}

fn key(stored: &Stored) -> Result<SigningKey, SigningKeysError> {
    let id = KeyId::new(&stored.id)?;
    let pkcs8 = BASE64_STANDARD.decode(stored.pkcs8.expose());
    let pkcs8 = Zeroizing::new(pkcs8.map_err(|_| SigningKeysError::Broken)?);
    Ok(SigningKey::from_pkcs8(id, Algorithm::EdDsa, &pkcs8)?)
}
