//! The one name that a certificate gives a service.
//!
//! The mistakes this prevents: the common name is read, which isn't an identity (RFC 9525
//! section 2); a name is compared by its end; a certificate with several names is whichever of
//! them the program happens to look at; a name that only looks like another one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The longest SPIFFE ID, in bytes (SPIFFE-ID section 2.3), and the longest DNS name (RFC 1035
/// section 2.3.4).
const LONGEST_ID: usize = 2048;
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// A service: `spiffe://trust-domain/path`, or a DNS name. Two are equal if they are the same,
/// byte by byte. Clones are cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(Arc<str>);

/// Why a text is no service's name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotAServiceId {
    /// Longer than 2,048 bytes (SPIFFE) or 253 (DNS), or empty.
    #[error("expected 1 to {0} bytes, got {1}")]
    Length(usize, usize),
    /// A wildcard is a rule and not a name.
    #[error("a name with a wildcard stands for many services: name each of them")]
    Wildcard,
    /// Another scheme, a user, a port, a query or a fragment (SPIFFE-ID section 2).
    #[error("expected spiffe://trust-domain/path, and nothing more")]
    NotSpiffe,
    /// An upper-case letter, a dot at the end, or a character that no name of a service has.
    #[error("expected lower-case letters, digits, hyphens and dots in a name")]
    NotAName,
    /// An empty segment, `.` or `..`, or a character that a path may not have (SPIFFE-ID section
    /// 2.2).
    #[error("the path of the SPIFFE ID has a part that is not allowed")]
    Path,
}

/// Why a certificate isn't the certificate of one service.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotAService {
    /// It cannot be parsed, or a subject alternative name in it can't.
    #[error("the certificate cannot be parsed")]
    Unreadable,
    /// It may sign certificates or lists, by its basic constraints or by its key usage
    /// (X509-SVID section 5.2).
    #[error("the certificate belongs to a CA")]
    Ca,
    /// It has no SAN that names a service. Its common name doesn't count.
    #[error("the certificate names no service in its subject alternative name")]
    NoName,
    /// More than one URI (X509-SVID section 2 demands exactly one), or more than one DNS name
    /// and no URI.
    #[error("the certificate has {0} names for a service: expected one")]
    SeveralNames(usize),
    /// Its one name isn't a service's.
    #[error("the certificate's name is not a service's")]
    Name(#[from] NotAServiceId),
}

impl ServiceId {
    // ANCHOR: of_certificate
    /// The service that this certificate names, DER. Verify the certificate first: this only
    /// reads it.
    ///
    /// With a URI, the certificate has exactly one, which is a SPIFFE ID (X509-SVID section 2),
    /// and its DNS names are for those who connect to it. Without a URI, it has exactly one DNS
    /// name.
    ///
    /// # Errors
    /// See [`NotAService`].
    pub fn of_certificate(der: &[u8]) -> Result<Self, NotAService> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| NotAService::Unreadable)?;
        if !rest.is_empty() {
            return Err(NotAService::Unreadable);
        }
        let usage = certificate.key_usage().map_err(|_| NotAService::Unreadable)?;
        let signs =
            usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign());
        if certificate.is_ca() || signs {
            return Err(NotAService::Ca);
        }
        let names = certificate.subject_alternative_name().map_err(|_| NotAService::Unreadable)?;
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        let (mut uris, mut dns) = (Vec::new(), Vec::new());
        for name in names {
            match name {
                GeneralName::URI(uri) => uris.push(*uri),
                GeneralName::DNSName(name) => dns.push(*name),
                // A name that can't be parsed makes the whole certificate unreadable.
                GeneralName::Invalid(..) => return Err(NotAService::Unreadable),
                _ => {}
            }
        }
        match (uris.as_slice(), dns.as_slice()) {
            ([uri], _) if uri.starts_with("spiffe://") => Ok(uri.parse()?),
            ([_], _) => Err(NotAServiceId::NotSpiffe.into()),
            ([], [name]) => Ok(name.parse()?),
            ([], []) => Err(NotAService::NoName),
            ([], names) => Err(NotAService::SeveralNames(names.len())),
            (uris, _) => Err(NotAService::SeveralNames(uris.len())),
        }
    }
    // ANCHOR_END: of_certificate

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trust domain of a SPIFFE ID; none for a DNS name.
    pub fn trust_domain(&self) -> Option<&str> {
        self.0.strip_prefix("spiffe://")?.split('/').next()
    }
}

// ANCHOR: parse
impl FromStr for ServiceId {
    type Err = NotAServiceId;

    /// Exactly as a certificate has it: nothing is trimmed, lower-cased, decoded or normalized.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('*') {
            return Err(NotAServiceId::Wildcard);
        }
        match text.strip_prefix("spiffe://") {
            Some(id) => {
                length(text, LONGEST_ID)?;
                let (domain, path) = id.split_once('/').ok_or(NotAServiceId::NotSpiffe)?;
                trust_domain(domain)?;
                path.split('/').try_for_each(segment)?;
            }
            None => dns_name(text)?,
        }
        Ok(Self(text.into()))
    }
}
// ANCHOR_END: parse

fn length(text: &str, most: usize) -> Result<(), NotAServiceId> {
    match text.len() {
        1.. if text.len() <= most => Ok(()),
        got => Err(NotAServiceId::Length(most, got)),
    }
}

/// SPIFFE-ID section 2.1: letters in lower case, digits, dots, hyphens and underscores.
fn trust_domain(domain: &str) -> Result<(), NotAServiceId> {
    length(domain, 255)?;
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    // A user or a port would be another authority.
    match domain.bytes().all(allowed) {
        true => Ok(()),
        false if domain.contains(['@', ':', '?', '#']) => Err(NotAServiceId::NotSpiffe),
        false => Err(NotAServiceId::NotAName),
    }
}

/// SPIFFE-ID section 2.2: letters, digits, dots, hyphens and underscores; no empty segment, and
/// none that is relative.
fn segment(segment: &str) -> Result<(), NotAServiceId> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    match segment {
        "" | "." | ".." => Err(NotAServiceId::Path),
        _ if segment.contains(['?', '#']) => Err(NotAServiceId::NotSpiffe),
        _ if segment.bytes().all(allowed) => Ok(()),
        _ => Err(NotAServiceId::Path),
    }
}

/// RFC 1123 section 2.1, in lower case and without a dot at the end, so that a name has one form.
fn dns_name(name: &str) -> Result<(), NotAServiceId> {
    length(name, LONGEST_NAME)?;
    let label = |label: &str| {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    match name.split('.').all(label) {
        true => Ok(()),
        false => Err(NotAServiceId::NotAName),
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_form() {
        for good in [
            "billing.bank.test",
            "a",
            "xn--bcher-kva.test",
            "spiffe://bank.test/billing",
            "spiffe://bank.test/ns/prod/sa/Billing_2.1",
            "spiffe://b_1.bank-2.test/x",
        ] {
            assert_eq!(good.parse::<ServiceId>().map(|id| id.to_string()), Ok(good.to_owned()));
        }
    }

    #[test]
    fn what_is_not_quite_a_name_is_none() {
        use NotAServiceId::{Length, NotAName, NotSpiffe, Path, Wildcard};
        let long = format!("{}.test", "a".repeat(250));
        let long_id = format!("spiffe://bank.test/{}", "a".repeat(2048));
        for (text, why) in [
            ("", Length(253, 0)),
            (long.as_str(), Length(253, 255)),
            (long_id.as_str(), Length(2048, 2067)),
            ("*.bank.test", Wildcard),
            ("spiffe://bank.test/*", Wildcard),
            ("Billing.bank.test", NotAName),
            ("billing.bank.test.", NotAName),
            ("billing..bank.test", NotAName),
            ("-billing.bank.test", NotAName),
            ("billing_1.bank.test", NotAName),
            ("bücher.test", NotAName),
            ("billing.bank.test\0.evil.test", NotAName),
            (" billing.bank.test", NotAName),
            ("https://bank.test/billing", NotAName),
            ("SPIFFE://bank.test/billing", NotAName),
            ("spiffe://bank.test", NotSpiffe),
            ("spiffe://bank.test/", Path),
            ("spiffe:///billing", Length(255, 0)),
            ("spiffe://Bank.test/billing", NotAName),
            ("spiffe://user@bank.test/billing", NotSpiffe),
            ("spiffe://bank.test:443/billing", NotSpiffe),
            ("spiffe://bank.test/billing?x=1", NotSpiffe),
            ("spiffe://bank.test/billing#x", NotSpiffe),
            ("spiffe://bank.test/billing/", Path),
            ("spiffe://bank.test//billing", Path),
            ("spiffe://bank.test/../billing", Path),
            ("spiffe://bank.test/./billing", Path),
            ("spiffe://bank.test/b%69lling", Path),
            ("spiffe://bank.test/billing\0", Path),
        ] {
            assert_eq!(text.parse::<ServiceId>(), Err(why), "{text:?}");
        }
    }

    #[test]
    fn only_a_spiffe_id_has_a_trust_domain() {
        let id: ServiceId = "spiffe://bank.test/billing".parse().expect("a name");
        assert_eq!(id.trust_domain(), Some("bank.test"));
        let id: ServiceId = "billing.bank.test".parse().expect("a name");
        assert_eq!(id.trust_domain(), None);
    }
}
