//! What a server's certificate says, for checks and for a log.
//!
//! The mistake this prevents: a certificate that was replaced, and nobody can tell by which.

use std::net::IpAddr;

use thiserror::Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

/// Why there is nothing to say.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LeafError {
    /// There is no certificate.
    #[error("expected a certificate, found none")]
    None,
    /// It cannot be parsed.
    #[error("the certificate cannot be parsed")]
    Broken,
}

/// A server's certificate, in short. Nothing is verified by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The serial number, in hexadecimal (RFC 5280 section 4.1.2.2).
    pub serial: String,
    /// The first second of its validity, since 1970 (section 4.1.2.5).
    pub not_before: u64,
    /// The last one.
    pub not_after: u64,
    /// The names and addresses that it is for (section 4.2.1.6).
    pub names: Vec<String>,
}

impl Leaf {
    /// Reads one certificate in DER.
    ///
    /// # Errors
    /// [`LeafError::Broken`]
    pub fn from_der(der: &[u8]) -> Result<Self, LeafError> {
        let (_rest, parsed) = X509Certificate::from_der(der).map_err(|_| LeafError::Broken)?;
        let seconds = |time: ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
        let alternative = parsed.subject_alternative_name().map_err(|_| LeafError::Broken)?;
        let names = alternative.map_or(Vec::new(), |names| names.value.general_names.clone());
        Ok(Self {
            serial: parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
            not_before: seconds(parsed.validity().not_before),
            not_after: seconds(parsed.validity().not_after),
            names: names.iter().filter_map(name).collect(),
        })
    }

    /// [`not_before`](Self::not_before) as a date.
    pub fn not_before_text(&self) -> String {
        date(self.not_before)
    }

    /// [`not_after`](Self::not_after) as a date.
    pub fn not_after_text(&self) -> String {
        date(self.not_after)
    }
}

/// A server's name is a DNS name or an address. Escaped, because a certificate can hold anything.
fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.escape_default().to_string()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// Seconds since 1970 as a date, for people: `2026-11-26 05:32:46 UTC`.
pub fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|time| ASN1Time::from_timestamp(time).ok());
    let Some(time) = time.map(|time| time.to_datetime()) else {
        return format!("{seconds} s after 1970");
    };
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_broken() {
        assert_eq!(Leaf::from_der(&[0x30, 0]), Err(LeafError::Broken));
        assert_eq!(Leaf::from_der(b""), Err(LeafError::Broken));
    }

    #[test]
    fn dates_are_for_people() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(1_795_671_166), "2026-11-26 05:32:46 UTC");
        assert_eq!(date(u64::MAX), "18446744073709551615 s after 1970");
    }
}
