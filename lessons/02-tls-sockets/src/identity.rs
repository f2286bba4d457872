//! A server's certificate chain and private key, from PEM files.
//!
//! The mistakes this prevents: a key that every user of the machine can read; a file that
//! holds something else, and an error that says neither which file nor what.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use https::pem::{PemError, certificates};
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use zeroize::Zeroizing;

/// The largest file that is read, in bytes. A chain takes a few thousand.
pub const MAX_FILE: u64 = 256 * 1024;

/// A chain, leaf first, and the leaf's private key.
pub struct ServerIdentity {
    /// The leaf, then the intermediates.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

/// Why a file cannot be used: its path, and below it the reason.
#[derive(Debug, Error)]
#[error("cannot use the file {}", path.display())]
pub struct IdentityError {
    path: PathBuf,
    source: FileError,
}

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be opened or read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// More than [`MAX_FILE`].
    #[error("expected at most {MAX_FILE} bytes, came more: is it the right file?")]
    TooLarge,
    /// A folder, a pipe, a device: reading it might never end.
    #[error("expected a file, found something else")]
    NoFile,
    /// It is no PEM of certificates.
    #[error(transparent)]
    Chain(#[from] PemError),
    /// A PEM section that is cut off or not base64. What it holds is not told: it may be a key.
    #[error("expected a private key in PEM, but it is broken or cut off")]
    BrokenKey,
    /// No key in a file for a key, or more than one.
    #[error("expected one private key, found {0}")]
    Keys(usize),
    /// A key behind a passphrase, which nobody is there to type.
    #[error(
        "expected an unencrypted private key, found one with a passphrase: remove it with `openssl pkey`, and protect the file"
    )]
    EncryptedKey,
    /// Others than the owner have a right to the file. The mode is octal.
    #[error(
        "expected that only the owner can read the key, but its mode is {mode:03o}: run `chmod 600` on it"
    )]
    ReadableByOthers {
        /// The permission bits.
        mode: u32,
    },
}

impl ServerIdentity {
    // ANCHOR: from_pem_files
    /// Reads a chain and a key. Whether they belong together is checked when a
    /// configuration is built of them.
    ///
    /// On Unix the key's file must give no right to anybody but its owner; on Windows the
    /// rights are not checked. This function's own copy of the
    /// file is wiped from memory; those of the parser and of rustls are not.
    ///
    /// # Errors
    /// The path of the file that cannot be used, and below it the [`FileError`].
    pub fn from_pem_files(chain: &Path, key: &Path) -> Result<Self, IdentityError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| IdentityError { path, source }
        };
        Ok(Self {
            chain: read_chain(chain).map_err(at(chain))?,
            key: read_key(key).map_err(at(key))?,
        })
    }
    // ANCHOR_END: from_pem_files
}

/// Without the key.
impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerIdentity")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    Ok(certificates(&read(open(path)?)?)?)
}

// ANCHOR: read_key
fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    let file = open(path)?;
    // The rights of the open file, not of the path, which may lead elsewhere by now.
    owner_only(&file)?;
    let text = read(file)?;
    let contains = |mark: &[u8]| text.windows(mark.len()).any(|window| window == mark);
    if ENCRYPTED.into_iter().any(contains) {
        return Err(FileError::EncryptedKey);
    }
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&text) {
        let (kind, der) = section.map_err(|_| FileError::BrokenKey)?;
        keys.extend(PrivateKeyDer::from_pem(kind, der));
    }
    match <[_; 1]>::try_from(keys) {
        Ok([key]) => Ok(key),
        Err(keys) => Err(FileError::Keys(keys.len())),
    }
}

/// With a passphrase: PKCS#8 (RFC 5958 section 3), and OpenSSL's older way.
const ENCRYPTED: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];
// ANCHOR_END: read_key

fn open(path: &Path) -> Result<File, FileError> {
    // Before it is opened: to open a pipe that nobody writes to waits for ever.
    if !std::fs::metadata(path).map_err(FileError::Read)?.is_file() {
        return Err(FileError::NoFile);
    }
    let file = File::open(path).map_err(FileError::Read)?;
    // And after: the path may have led elsewhere by then.
    match file.metadata().map_err(FileError::Read)?.is_file() {
        true => Ok(file),
        false => Err(FileError::NoFile),
    }
}

fn read(file: File) -> Result<Zeroizing<Vec<u8>>, FileError> {
    // As large as it can get from the start: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 1));
    file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(FileError::Read)?;
    match text.len() as u64 > MAX_FILE {
        true => Err(FileError::TooLarge),
        false => Ok(text),
    }
}

#[cfg(unix)]
fn owner_only(file: &File) -> Result<(), FileError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata().map_err(FileError::Read)?.permissions().mode() & 0o777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(FileError::ReadableByOthers { mode }),
    }
}

#[cfg(not(unix))]
fn owner_only(_file: &File) -> Result<(), FileError> {
    Ok(())
}
