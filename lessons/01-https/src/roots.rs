//! Loading the CA certificates that a client trusts.
//!
//! The mistake this prevents: `reqwest::Certificate::from_pem(b"garbage")` is `Ok`, and
//! so is the client built with it. It trusts nobody, and says so only at the first
//! connection, as `UnknownIssuer` (observed with reqwest 0.13.5). Here an empty or broken
//! file is an error when it is read, and the error says which file and what is wrong with
//! it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use thiserror::Error;

/// The largest file that is read, in bytes. The bundle of all public CAs takes a quarter
/// of it.
pub const MAX_FILE: u64 = 1024 * 1024;

/// At least one CA certificate, each of which rustls can use as a trust anchor.
///
/// It cannot be empty: a client that trusts nobody is a mistake, not a setting.
#[derive(Clone)]
pub struct Roots {
    certificates: Vec<CertificateDer<'static>>,
}

/// Why a file of CA certificates cannot be used.
#[derive(Debug, Error)]
#[error("cannot use the CA file {}", path.display())]
pub struct RootsFileError {
    path: PathBuf,
    source: RootsError,
}

/// Why bytes cannot be used as CA certificates.
#[derive(Debug, Error)]
pub enum RootsError {
    /// The file cannot be opened or read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// More than [`MAX_FILE`].
    #[error("expected at most {MAX_FILE} bytes, came more: is it the right file?")]
    TooLarge,
    /// A PEM section that begins and does not end.
    #[error(
        "expected an END line for each BEGIN line, but the text ends before: is it cut off?"
    )]
    CutOff,
    /// A PEM section that is not base64, or otherwise broken.
    #[error("expected PEM, but it is broken")]
    Pem(#[source] pem::Error),
    /// No PEM section at all: an empty file, DER, or anything else.
    #[error("expected at least one \"-----BEGIN CERTIFICATE-----\", found none")]
    NoCertificate,
    /// A private key, or another thing that clients have no business with.
    #[error(
        "expected certificates only, found a PEM section of another kind ({0}): never hand out a CA's key"
    )]
    OtherSection(&'static str),
    /// A certificate that rustls cannot parse. The first certificate is number 1.
    #[error("certificate {number} cannot be used as a trust anchor")]
    Certificate {
        /// Its place in the file, from 1.
        number: usize,
        /// What rustls says.
        source: rustls::Error,
    },
}

impl Roots {
    /// Reads every certificate of a PEM file.
    ///
    /// # Errors
    /// The path, and below it the [`RootsError`].
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, RootsFileError> {
        let path = path.as_ref();
        let read = || {
            let mut bytes = Vec::new();
            // One byte more than the limit tells a file of the limit from a longer one.
            File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let roots =
            read().map_err(RootsError::Read).and_then(|bytes| Self::from_pem(&bytes));
        roots.map_err(|source| RootsFileError { path: path.to_owned(), source })
    }

    // ANCHOR: from_pem
    /// Reads every certificate of a PEM text.
    ///
    /// # Errors
    /// See [`RootsError`]. One bad section is enough: a CA file is all good or it is not
    /// used.
    pub fn from_pem(text: &[u8]) -> Result<Self, RootsError> {
        if text.len() as u64 > MAX_FILE {
            return Err(RootsError::TooLarge);
        }
        let mut certificates = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
            let (kind, der) = section.map_err(|error| match error {
                pem::Error::MissingSectionEnd { .. } => RootsError::CutOff,
                other => RootsError::Pem(other),
            })?;
            match kind {
                SectionKind::Certificate => certificates.push(CertificateDer::from(der)),
                other => return Err(RootsError::OtherSection(name(other))),
            }
        }
        Self::from_der(certificates)
    }

    /// Takes certificates in DER.
    ///
    /// # Errors
    /// [`RootsError::NoCertificate`], [`RootsError::Certificate`]
    pub fn from_der(
        certificates: Vec<CertificateDer<'static>>,
    ) -> Result<Self, RootsError> {
        let mut store = RootCertStore::empty();
        for (index, certificate) in certificates.iter().enumerate() {
            let number = index + 1;
            store
                .add(certificate.clone())
                .map_err(|source| RootsError::Certificate { number, source })?;
        }
        match certificates.is_empty() {
            true => Err(RootsError::NoCertificate),
            false => Ok(Self { certificates }),
        }
    }
    // ANCHOR_END: from_pem

    /// These and the others.
    pub fn and(mut self, others: Self) -> Self {
        self.certificates.extend(others.certificates);
        self
    }

    /// How many there are: at least one.
    pub fn count(&self) -> usize {
        self.certificates.len()
    }

    /// For [`reqwest::ClientBuilder::tls_certs_only`].
    pub(crate) fn to_reqwest(&self) -> Result<Vec<reqwest::Certificate>, reqwest::Error> {
        self.certificates.iter().map(|der| reqwest::Certificate::from_der(der)).collect()
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("certificates", &self.certificates.len()).finish()
    }
}

fn name(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::PrivateKey
        | SectionKind::RsaPrivateKey
        | SectionKind::EcPrivateKey => "a private key",
        SectionKind::PublicKey => "a public key",
        SectionKind::Crl => "a revocation list",
        SectionKind::Csr => "a certificate request",
        _ => "unknown",
    }
}
