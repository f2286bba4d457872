//! Loading the CA certificates that a client trusts.
//!
//! The mistake this prevents: `reqwest::Certificate::from_pem(b"garbage")` is `Ok`, and
//! so is the client built with it. It trusts nobody, and says so only at the first
//! connection, as `UnknownIssuer` (observed with reqwest 0.13.5). Here an empty or broken
//! file is an error when it is read, and the error says which file and what is wrong with
//! it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use careful_files::FileError;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name, X509Version};

use crate::pem::{PemError, certificates};

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

/// Why bytes cannot be used as CA certificates. None of these holds a byte of the file but names out of
/// certificates: what lies in it may be a key.
#[derive(Debug, Error)]
pub enum RootsError {
    /// The file cannot be read, or is larger than [`MAX_FILE`].
    #[error(transparent)]
    File(#[from] FileError),
    /// It is no PEM of certificates.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A certificate that rustls cannot parse.
    #[error("certificate {number} cannot be used as a trust anchor")]
    Certificate {
        /// Its place in the file, from 1.
        number: usize,
        /// What rustls says.
        source: rustls::Error,
    },
    /// As a trust anchor its key could vouch for every name.
    #[error("certificate {number}, {subject}, doesn't belong to a CA: {why}")]
    NotACa {
        /// Its place in the file, from 1.
        number: usize,
        /// Whose it is.
        subject: String,
        /// Why not, and what to do.
        why: NotACa,
    },
}

/// Why a certificate is not a CA's (RFC 5280 sections 4.2.1.3 and 4.2.1.9), and what to do.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotACa {
    /// Old bundles of Java and Windows have such roots.
    #[error(
        "it is of X.509 version 1, which cannot say so. Use the CA's root of version 3, or remove it from the file"
    )]
    Version1,
    /// A server's own.
    #[error(
        "it signed itself, as a server's own certificate does. Make a CA, and let it issue a certificate for the server"
    )]
    SelfSigned,
    /// A server's certificate, say.
    #[error("{0} issued it. Trust that CA's certificate instead")]
    IssuedBy(String),
    /// rustls can parse it, and x509-parser, which looks at more of it, cannot.
    #[error("parts of it cannot be parsed. Ask the CA for another one")]
    Unreadable,
    /// A CA whose key may sign something else.
    #[error("its key usage lacks keyCertSign. Use the CA's certificate for issuing")]
    KeyUsage,
}

impl Roots {
    /// Reads every certificate of a PEM file.
    ///
    /// # Errors
    /// The path, and below it the [`RootsError`].
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, RootsFileError> {
        let path = path.as_ref();
        careful_files::read(path, MAX_FILE)
            .map_err(RootsError::from)
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
            return Err(FileError::TooLarge { limit: MAX_FILE }.into());
        }
        let certificates = certificates(text)?;
        Self::from_der(certificates)
    }
    // ANCHOR_END: from_pem

    /// Takes certificates in DER.
    ///
    /// # Errors
    /// [`PemError::NoCertificate`], [`RootsError::Certificate`], [`RootsError::NotACa`]
    pub fn from_der(certificates: Vec<CertificateDer<'static>>) -> Result<Self, RootsError> {
        let mut store = RootCertStore::empty();
        for (index, certificate) in certificates.iter().enumerate() {
            let number = index + 1;
            let parsed = store.add(certificate.clone());
            parsed.map_err(|source| RootsError::Certificate { number, source })?;
            if let Some((subject, why)) = not_a_ca(certificate) {
                return Err(RootsError::NotACa { number, subject, why });
            }
        }
        match certificates.is_empty() {
            true => Err(PemError::NoCertificate(None).into()),
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

    /// For a rustls configuration.
    pub fn to_store(&self) -> Arc<RootCertStore> {
        let mut store = RootCertStore::empty();
        // Each was parsed when it was loaded, so none is ignored here.
        store.add_parsable_certificates(self.certificates.iter().cloned());
        Arc::new(store)
    }

    /// The certificates in DER, for a library that takes them one by one.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("certificates", &self.certificates.len()).finish()
    }
}

/// Why a certificate must not sign others: it needs CA:TRUE, and keyCertSign if it has a key usage. rustls does
/// not ask this of a trust anchor.
fn not_a_ca(certificate: &[u8]) -> Option<(String, NotACa)> {
    let Ok((_rest, parsed)) = X509Certificate::from_der(certificate) else {
        return Some(("without a name".to_owned(), NotACa::Unreadable));
    };
    let (subject, issuer) = (printable(parsed.subject()), printable(parsed.issuer()));
    let constraints = parsed.basic_constraints().ok().flatten();
    let usage = parsed.key_usage().ok().flatten();
    let why = if constraints.is_some_and(|constraints| constraints.value.ca) {
        match usage.is_none_or(|usage| usage.value.key_cert_sign()) {
            true => return None,
            false => NotACa::KeyUsage,
        }
    } else if parsed.version() == X509Version::V1 {
        NotACa::Version1
    } else if parsed.subject() == parsed.issuer() {
        NotACa::SelfSigned
    } else {
        NotACa::IssuedBy(issuer)
    };
    Some((subject, why))
}

/// A certificate holds whatever its maker likes, and this is on its way to a terminal.
fn printable(name: &X509Name<'_>) -> String {
    let text = name.to_string();
    let shown: String = text.escape_debug().take(100).collect();
    if shown.is_empty() { "without a name".to_owned() } else { format!("\"{shown}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_to_trust_is_an_error() {
        let refused = Roots::from_der(Vec::new());
        assert!(
            matches!(refused, Err(RootsError::Pem(PemError::NoCertificate(None)))),
            "{refused:?}"
        );
    }

    #[test]
    fn what_is_no_certificate_is_refused_by_its_number() {
        let refused = Roots::from_der(vec![CertificateDer::from(vec![0x30, 0])]);
        assert!(matches!(refused, Err(RootsError::Certificate { number: 1, .. })), "{refused:?}");
    }

    #[test]
    fn a_text_over_the_limit_is_refused_before_it_is_parsed() {
        let refused = Roots::from_pem(&vec![b'x'; MAX_FILE as usize + 1]);
        assert!(matches!(refused, Err(RootsError::File(FileError::TooLarge { .. }))));
    }

    #[test]
    fn a_missing_file_is_named() {
        let refused = Roots::from_pem_file("no/such/ca.pem").expect_err("no file");
        assert_eq!(refused.to_string(), "cannot use the CA file no/such/ca.pem");
    }
}
