//! A token that only one holder can use: the one with the private key of a TLS client certificate
//! (RFC 8705 section 3).
//!
//! The mistake this prevents: a bound token that a server takes as a bearer token, because it does
//! not look.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

/// The claim `cnf`: the hash of the holder's certificate. Any other kind of confirmation is
/// refused, since nobody here could check it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
}

impl Confirmation {
    // ANCHOR: thumbprint
    /// The holder of this certificate: SHA-256 over its DER bytes, in base64url (RFC 8705 section
    /// 3.1).
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Self {
        let hash = digest(&SHA256, certificate.as_ref());
        Self { thumbprint: BASE64_URL_SAFE_NO_PAD.encode(hash) }
    }
    // ANCHOR_END: thumbprint

    /// Whether this is its holder's certificate: that of the TLS connection on which the token
    /// came.
    pub fn fits(&self, certificate: &CertificateDer<'_>) -> bool {
        // A hash of something public: an ordinary comparison tells nobody anything.
        *self == Self::of_certificate(certificate)
    }
}
