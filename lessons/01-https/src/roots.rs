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
use rustls::pki_types::pem::PemObject;
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

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

/// Why bytes cannot be used as CA certificates. None of these holds a byte of the file: what
/// lies in it may be a key.
#[derive(Debug, Error)]
pub enum RootsError {
    /// The file cannot be opened or read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// A folder, a pipe, a device: reading it might never end.
    #[error("expected a file, found something else")]
    NoFile,
    /// More than [`MAX_FILE`].
    #[error("expected at most {MAX_FILE} bytes, got more: is it the right file?")]
    TooLarge,
    /// No PEM section at all: an empty file, DER, or anything else.
    #[error("expected at least one \"-----BEGIN CERTIFICATE-----\", found none")]
    NoCertificate,
    /// A private key, or another thing that clients have no business with.
    #[error(
        "expected certificates only, found a section of another kind in line {line}: a CA's key must never be handed out"
    )]
    OtherSection {
        /// Its first line, from 1.
        line: usize,
    },
    /// Text before or after a BEGIN or END, on the same line.
    #[error(
        "expected BEGIN and END CERTIFICATE each on a line of its own, found something else in line {line}"
    )]
    BrokenLine {
        /// The line, from 1.
        line: usize,
    },
    /// A section that begins and does not end, or that is not base64.
    #[error("section {number} is broken or cut off")]
    BrokenSection {
        /// Its place in the file, from 1.
        number: usize,
    },
    /// A certificate that rustls cannot parse.
    #[error("certificate {number} cannot be used as a trust anchor")]
    Certificate {
        /// Its place in the file, from 1.
        number: usize,
        /// What rustls says.
        source: rustls::Error,
    },
    /// A server's certificate, say. As a trust anchor its key could vouch for every name.
    #[error("certificate {number} is no CA's: trust the CA that issued it")]
    NotACa {
        /// Its place in the file, from 1.
        number: usize,
    },
}

impl Roots {
    /// Reads every certificate of a PEM file.
    ///
    /// # Errors
    /// The path, and below it the [`RootsError`].
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, RootsFileError> {
        let path = path.as_ref();
        read(path)
            .and_then(|text| Self::from_pem(&text))
            .map_err(|source| RootsFileError { path: path.to_owned(), source })
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
        let sections = count_sections(text)?;
        let mut certificates = Vec::new();
        for section in CertificateDer::pem_slice_iter(text) {
            let number = certificates.len() + 1;
            certificates.push(section.map_err(|_| RootsError::BrokenSection { number })?);
        }
        if certificates.len() != sections {
            return Err(RootsError::BrokenSection { number: certificates.len() + 1 });
        }
        Self::from_der(certificates)
    }
    // ANCHOR_END: from_pem

    /// Takes certificates in DER.
    ///
    /// # Errors
    /// [`RootsError::NoCertificate`], [`RootsError::Certificate`], [`RootsError::NotACa`]
    pub fn from_der(
        certificates: Vec<CertificateDer<'static>>,
    ) -> Result<Self, RootsError> {
        let mut store = RootCertStore::empty();
        for (index, certificate) in certificates.iter().enumerate() {
            let number = index + 1;
            let parsed = store.add(certificate.clone());
            parsed.map_err(|source| RootsError::Certificate { number, source })?;
            if !is_ca(certificate) {
                return Err(RootsError::NotACa { number });
            }
        }
        match certificates.is_empty() {
            true => Err(RootsError::NoCertificate),
            false => Ok(Self { certificates }),
        }
    }

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

fn read(path: &Path) -> Result<Vec<u8>, RootsError> {
    // Before it is opened: to open a pipe that nobody writes to waits for ever.
    if !std::fs::metadata(path).map_err(RootsError::Read)?.is_file() {
        return Err(RootsError::NoFile);
    }
    let mut text = Vec::new();
    // One byte more than the limit tells a file of the limit from a longer one.
    let file = File::open(path).map_err(RootsError::Read)?;
    file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(RootsError::Read)?;
    Ok(text)
}

// ANCHOR: count_sections
/// Counts the sections, and refuses each line that the PEM parser would skip without a word:
/// a section of another kind, a BEGIN that is indented, behind a byte order mark, or glued to
/// the END before it. A CA that is skipped is a CA that is not trusted, and nobody is told.
fn count_sections(text: &[u8]) -> Result<usize, RootsError> {
    let mut sections = 0;
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii_end();
        let number = index + 1;
        let upper = line.to_ascii_uppercase();
        let contains =
            |mark: &[u8]| upper.windows(mark.len()).any(|window| window == mark);
        match line {
            b"-----BEGIN CERTIFICATE-----" => sections += 1,
            b"-----END CERTIFICATE-----" => {}
            _ if contains(b"CERTIFICATE-----") && !contains(b"TRUSTED") => {
                return Err(RootsError::BrokenLine { line: number });
            }
            _ if contains(b"-----BEGIN") => {
                return Err(RootsError::OtherSection { line: number });
            }
            _ => {}
        }
    }
    Ok(sections)
}
// ANCHOR_END: count_sections

/// Whether a certificate may sign others: CA:TRUE, and keyCertSign if it has a key usage
/// (RFC 5280 sections 4.2.1.9 and 4.2.1.3). rustls does not ask this of a trust anchor.
fn is_ca(certificate: &[u8]) -> bool {
    let Ok((_rest, parsed)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let constraints = parsed.basic_constraints().ok().flatten();
    let usage = parsed.key_usage().ok().flatten();
    constraints.is_some_and(|constraints| constraints.value.ca)
        && usage.is_none_or(|usage| usage.value.key_cert_sign())
}
