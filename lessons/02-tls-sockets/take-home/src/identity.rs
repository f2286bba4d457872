//! A server's certificate chain and private key, from PEM files.
//!
//! The mistakes this prevents: a key that every user of the machine can read; a file that
//! holds something else, and an error that says neither which file nor what.

use std::fmt;
use std::path::{Path, PathBuf};

use careful_certificates::pem::{KeyError, PemError, certificates, private_key};
use careful_files::FileError;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

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
    source: IdentityFileError,
}

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum IdentityFileError {
    /// It cannot be read, is larger than [`MAX_FILE`], or holds a key that others can read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It does not hold certificates in PEM.
    #[error(transparent)]
    Chain(#[from] PemError),
    /// It does not hold one private key in PEM.
    #[error(transparent)]
    Key(#[from] KeyError),
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

// ANCHOR: read_key
fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityFileError> {
    Ok(certificates(&careful_files::read(path, MAX_FILE)?)?)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityFileError> {
    Ok(private_key(&careful_files::read_private(path, MAX_FILE)?)?)
}
// ANCHOR_END: read_key
