//! A server's certificate chain and private key, from PEM files.
//!
//! The mistakes this prevents: a key that every user of the machine can read; a file that
//! holds something else, and an error that says neither which file nor what; a certificate for another
//! name, or of another year, that a server takes and every client refuses.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use careful_certificates::leaf::{Leaf, LeafError, date};
use careful_certificates::pem::{KeyError, PemError, certificates, private_key};
use careful_files::FileError;
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use thiserror::Error;

use crate::provider::crypto_provider;

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
    /// rustls accepts it from no server, by which CA it may be: it is for clients alone (RFC 5280 section 4.2.1.12) or
    /// a CA's, for example.
    #[error("clients with rustls accept this certificate from no server")]
    NoServers(#[source] rustls::Error),
    /// No certificate of the chain issued the leaf.
    #[error(
        "after the certificate come others, and none of them issued it: send the CA's that did, and no others"
    )]
    NotIssued,
    /// The one that issued the leaf has expired, or is not yet valid.
    #[error(
        "the intermediate that issued the certificate is valid from {0} until {1}, and this machine's clock says {2}"
    )]
    Intermediate(String, String, String),
}

impl ServerIdentity {
    // ANCHOR: check
    /// Checks what a client with rustls checks, as far as a server can: that the leaf is for this name, valid
    /// at `now`, in seconds since 1970, and a server's (RFC 5280 section 4.2.1.12); and if others come after
    /// it, that one of them issued it and is valid, too. Whether clients trust that one, only they can tell,
    /// and whether something was revoked.
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
        let times = |at: &str| (at.to_owned(), date(now));
        if now < leaf.not_before {
            let (from, now) = times(&leaf.not_before_text());
            return Err(UnfitIdentity::NotYet(from, now));
        }
        if now > leaf.not_after {
            let (until, now) = times(&leaf.not_after_text());
            return Err(UnfitIdentity::Expired(until, now));
        }
        self.check_issuer(&parsed, now)?;
        Ok(leaf)
    }
    // ANCHOR_END: check

    /// With each of the others in the place of a root.
    fn check_issuer(&self, leaf: &ParsedCertificate<'_>, now: u64) -> Result<(), UnfitIdentity> {
        use rustls::CertificateError::{BadSignature, UnknownIssuer};
        let others = self.chain.get(1..).unwrap_or_default();
        let provider = crypto_provider();
        let algorithms = provider.signature_verification_algorithms.all;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let issued_by = |roots: &RootCertStore| {
            verify_server_cert_signed_by_trust_anchor(leaf, roots, &[], time, algorithms)
        };
        // Without a root, all is looked at but the issuer.
        match issued_by(&RootCertStore::empty()) {
            Ok(()) | Err(rustls::Error::InvalidCertificate(UnknownIssuer)) => {}
            Err(error) => return Err(UnfitIdentity::NoServers(error)),
        }
        for other in others {
            let mut roots = RootCertStore::empty();
            // Clients pass over what they cannot parse.
            if roots.add(other.clone()).is_err() {
                continue;
            }
            match issued_by(&roots) {
                Ok(()) => {}
                Err(rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature)) => continue,
                Err(error) => return Err(UnfitIdentity::NoServers(error)),
            }
            let issuer = Leaf::from_der(other)?;
            if (issuer.not_before..=issuer.not_after).contains(&now) {
                return Ok(());
            }
            let (from, until) = (issuer.not_before_text(), issuer.not_after_text());
            return Err(UnfitIdentity::Intermediate(from, until, date(now)));
        }
        if others.is_empty() { Ok(()) } else { Err(UnfitIdentity::NotIssued) }
    }

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
