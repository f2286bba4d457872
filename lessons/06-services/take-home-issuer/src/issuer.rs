//! Certificates whose name, purpose and life the issuer decides, and lists of those that it
//! takes back.
//!
//! The mistakes this prevents: a certificate for CA:TRUE, for ten years or for somebody else's
//! name, because the request asked for it; serial numbers that can be guessed or repeat; a list
//! without a date until when it is good.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::rand;
use rcgen::{
    CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, Issuer as Signer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use thiserror::Error;
use time::OffsetDateTime;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::request::ProvedKey;

/// How long before now a certificate becomes valid, because clocks differ.
const BACKDATED: Duration = Duration::from_secs(60);

/// Why there is no certificate or no list.
#[derive(Debug, Error)]
pub enum IssueError {
    /// rcgen couldn't make it.
    #[error("the certificate or the list could not be made")]
    Make(#[from] rcgen::Error),
    /// The system has no randomness.
    #[error("no serial number could be made")]
    Random,
    /// The first certificate of the chain isn't that of a CA with the signer's key, name and key
    /// identifier.
    #[error("the chain doesn't begin with the certificate of the issuer's key and name")]
    Chain,
    /// The requester neither calls nor is called.
    #[error("the service neither calls others nor has a DNS name: it needs no certificate")]
    NoPurpose,
    /// This CA's own certificate has ended, or `life` is shorter than a second.
    #[error("the issuer's own certificate has ended: it needs a new one")]
    Ended,
    /// A time after the year 9999.
    #[error("the time cannot be written into a certificate")]
    Time,
    /// This issuer has issued no certificate with that serial number.
    #[error("no certificate with this serial number was issued here")]
    Unknown,
}

/// What a service may be. The issuer decides it from what it knows of the requester.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlement {
    /// The service's identity, `spiffe://trust-domain/path`.
    pub id: String,
    /// The DNS names under which others connect to it. With at least one, it may be a server
    /// (`serverAuth`).
    pub dns_names: Vec<String>,
    /// Whether it calls other services (`clientAuth`). If it doesn't, then its stolen key can't
    /// call them either.
    pub calls: bool,
}

/// A certificate that was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The leaf, then this issuer's own certificate and those above it, without the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's serial number, big-endian: what revokes it.
    pub serial: Vec<u8>,
}

/// An intermediate CA that issues to services.
pub struct Issuer {
    signer: Signer<'static, KeyPair>,
    above: Vec<CertificateDer<'static>>,
    life: Duration,
    key_id: Vec<u8>,
    /// When this CA's certificate ends.
    end: u64,
    state: State,
}

/// What an issuer has to remember. Write it to a disk after each change, before the certificate or
/// the list leaves the issuer. An issuer that starts without it can't revoke what it issued
/// before, its first list takes every revocation back, and services that have a list with a larger
/// number refuse that list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// By serial number, big-endian.
    pub issued: BTreeMap<Vec<u8>, Record>,
    /// The number of the last list.
    pub lists: u64,
}

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The service's identity.
    pub id: String,
    /// When it ends, in seconds since 1970.
    pub end: u64,
    /// When it was revoked, if it was, in seconds since 1970.
    pub revoked: Option<u64>,
}

impl Issuer {
    /// `signer` holds this CA's key, and `chain` begins with its certificate. rcgen makes a signer
    /// from the parameters of a certificate (`Issuer::new`), or, with its feature `x509-parser`,
    /// from the certificate (`Issuer::from_ca_cert_pem`). Certificates live for `life`: hours or
    /// days.
    ///
    /// # Errors
    /// [`IssueError::Chain`]
    pub fn new(
        signer: Signer<'static, KeyPair>,
        chain: Vec<CertificateDer<'static>>,
        life: Duration,
        state: State,
    ) -> Result<Self, IssueError> {
        let (key_id, end) = own(chain.first().ok_or(IssueError::Chain)?, &signer)?;
        Ok(Self { signer, above: chain, life, key_id, end, state })
    }

    /// What to write to a disk.
    pub fn state(&self) -> &State {
        &self.state
    }

    // ANCHOR: issue
    /// A certificate for this key, with the name and for the purposes that the requester is
    /// entitled to, from now on. From the request comes the key and nothing else.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn issue(
        &mut self,
        key: &ProvedKey,
        entitled: &Entitlement,
        now: u64,
    ) -> Result<Issued, IssueError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        // For people. No program in this course reads the common name.
        params.distinguished_name.push(DnType::CommonName, short_name(&entitled.id));
        params.subject_alt_names = vec![SanType::URI(entitled.id.as_str().try_into()?)];
        for name in &entitled.dns_names {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
        }
        if entitled.calls {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        if !entitled.dns_names.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        // Without one, the certificate would be good for every purpose.
        if params.extended_key_usages.is_empty() {
            return Err(IssueError::NoPurpose);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        // No longer than this CA's own certificate.
        let end = now.saturating_add(self.life.as_secs()).min(self.end);
        if end <= now {
            return Err(IssueError::Ended);
        }
        params.not_before = date(now.saturating_sub(BACKDATED.as_secs()))?;
        params.not_after = date(end)?;
        let serial = serial_number()?;
        params.serial_number = Some(SerialNumber::from(serial.clone()));
        let leaf = params.signed_by(key, &self.signer)?;
        // What has ended can't be revoked any more.
        self.state.issued.retain(|_, record| record.end >= now || record.revoked.is_some());
        let record = Record { id: entitled.id.clone(), end, revoked: None };
        self.state.issued.insert(serial.clone(), record);
        let mut chain = vec![leaf.der().clone()];
        chain.extend(self.above.iter().cloned());
        Ok(Issued { chain, serial })
    }
    // ANCHOR_END: issue

    /// Takes a certificate back: it is on every later list until it would have ended, and on one
    /// after that. More than once is the same as once.
    ///
    /// # Errors
    /// [`IssueError::Unknown`]
    pub fn revoke(&mut self, serial: &[u8], now: u64) -> Result<(), IssueError> {
        let record = self.state.issued.get_mut(serial).ok_or(IssueError::Unknown)?;
        record.revoked.get_or_insert(now);
        Ok(())
    }

    /// Takes back every certificate of this service, and says how many there are. A thief who can
    /// renew has newer ones than the one that was stolen. Refuse renewals for that service, too,
    /// until it has enrolled with a new token.
    pub fn revoke_all(&mut self, id: &str, now: u64) -> usize {
        let of_service = self.state.issued.values_mut().filter(|record| record.id == id);
        of_service.map(|record| record.revoked.get_or_insert(now)).count()
    }

    // ANCHOR: list
    /// The list of what is revoked, good for so long (RFC 5280 section 5). Its number is larger
    /// than that of the list before.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn list(
        &mut self,
        now: u64,
        good_for: Duration,
    ) -> Result<CertificateRevocationListDer<'static>, IssueError> {
        let issued = self.state.issued.iter();
        let revoked = issued.filter_map(|(serial, record)| Some((serial, record.revoked?)));
        let mut revoked_certs = Vec::new();
        for (serial, at) in revoked {
            revoked_certs.push(RevokedCertParams {
                serial_number: SerialNumber::from(serial.clone()),
                revocation_time: date(at)?,
                reason_code: None,
                invalidity_date: None,
            });
        }
        self.state.lists += 1;
        let params = CertificateRevocationListParams {
            this_update: date(now.saturating_sub(BACKDATED.as_secs()))?,
            next_update: date(now.saturating_add(good_for.as_secs()))?,
            crl_number: SerialNumber::from(self.state.lists),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::PreSpecified(self.key_id.clone()),
        };
        let list = params.signed_by(&self.signer)?.der().clone();
        // What has ended was on one list after its end, and is not on the next (RFC 5280
        // section 3.3).
        self.state.issued.retain(|_, record| record.end >= now);
        Ok(list)
    }
    // ANCHOR_END: list
}

/// The subject key identifier of this CA's certificate, if this is its key, and when it ends.
fn own(
    certificate: &[u8],
    signer: &Signer<'static, KeyPair>,
) -> Result<(Vec<u8>, u64), IssueError> {
    // rcgen doesn't tell the signer's name and key identifier, but puts them into what it signs.
    let mut params = CertificateParams::default();
    params.use_authority_key_identifier_extension = true;
    let signed = params.signed_by(signer.key(), signer)?;
    let parse = |der| X509Certificate::from_der(der).map_err(|_| IssueError::Chain);
    let ((_, own), (_, signed)) = (parse(certificate)?, parse(signed.der())?);
    let id = own.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    });
    let id = id.ok_or(IssueError::Chain)?;
    let issuer_id =
        signed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref(),
            _ => None,
        });
    let same = own.public_key().subject_public_key.data == signer.key().public_key_raw()
        && own.subject().as_raw() == signed.issuer().as_raw()
        && issuer_id.is_some_and(|issuer_id| issuer_id.0 == id);
    let end = u64::try_from(own.validity().not_after.timestamp()).unwrap_or(0);
    match same && own.is_ca() {
        true => Ok((id, end)),
        false => Err(IssueError::Chain),
    }
}

/// The last part of the path.
fn short_name(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

fn date(seconds: u64) -> Result<OffsetDateTime, IssueError> {
    let seconds = i64::try_from(seconds).map_err(|_| IssueError::Time)?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| IssueError::Time)
}

/// 126 random bits, positive and of one length (RFC 5280 section 4.1.2.2).
fn serial_number() -> Result<Vec<u8>, IssueError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| IssueError::Random)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn serial_numbers_are_positive_of_one_length_and_never_the_same() {
        let serials: BTreeSet<_> = (0..200).map(|_| serial_number().expect("a number")).collect();
        assert_eq!(serials.len(), 200);
        assert!(serials.iter().all(|serial| serial.len() == 16 && serial[0] & 0xc0 == 0x40));
    }
}
