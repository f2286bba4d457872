//! A server's certificate chain and private key, from PEM files.
//!
//! The mistakes this prevents: a key that every user of the machine can read; a file that
//! holds something else, and an error that says neither which file nor what; a certificate for another
//! name, or of another year, that a server takes and every client refuses.

use std::fmt;
use std::path::{Path, PathBuf};

use careful_certificates::leaf::{Leaf, LeafError};
use careful_certificates::pem::{KeyError, PemError, certificates, private_key};
use careful_files::FileError;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
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

/// Why clients would refuse an identity.
#[derive(Debug, Error)]
pub enum UnfitIdentity {
    /// The chain is empty, or its leaf cannot be parsed.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// rustls cannot parse the leaf.
    #[error("the leaf cannot be used")]
    Certificate(#[source] rustls::Error),
    /// For another server.
    #[error("the certificate is not for {0}: it is for {1}")]
    Name(String, String),
    /// Not yet, if this machine's clock is right.
    #[error(
        "the certificate is valid from {0} on, and this machine's clock says {1}: is the clock right?"
    )]
    NotYet(String, String),
    /// No longer, if this machine's clock is right.
    #[error(
        "the certificate expired at {0}, and this machine's clock says {1}: renew it, or set the clock"
    )]
    Expired(String, String),
}

impl ServerIdentity {
    // ANCHOR: check
    /// Checks what every client checks, as far as a server can: that the leaf is for this name, and valid
    /// at `now`, in seconds since 1970. Who issued it, only clients can tell.
    ///
    /// # Errors
    /// See [`UnfitIdentity`].
    pub fn check(&self, name: &ServerName<'_>, now: u64) -> Result<Leaf, UnfitIdentity> {
        let der = self.chain.first().ok_or(LeafError::None)?;
        let leaf = Leaf::from_der(der)?;
        let parsed = ParsedCertificate::try_from(der).map_err(UnfitIdentity::Certificate)?;
        if verify_server_name(&parsed, name).is_err() {
            return Err(UnfitIdentity::Name(name.to_str().into_owned(), leaf.names.join(", ")));
        }
        let times = |at: &str| (at.to_owned(), careful_certificates::leaf::date(now));
        if now < leaf.not_before {
            let (from, now) = times(&leaf.not_before_text());
            return Err(UnfitIdentity::NotYet(from, now));
        }
        if now > leaf.not_after {
            let (until, now) = times(&leaf.not_after_text());
            return Err(UnfitIdentity::Expired(until, now));
        }
        Ok(leaf)
    }
    // ANCHOR_END: check

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
