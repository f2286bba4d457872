//! Serial numbers that are refused from now on.
//!
//! The mistake this prevents: a certificate revocation list is checked in the handshake and
//! nowhere else. A connection that is open goes on, and a session that is resumed carries no
//! certificate at all (RFC 8446 section 2.2). So this list is asked for each request.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use rustls_pki_types::CertificateRevocationListDer;
use thiserror::Error;
use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

/// Why lists were not taken. Those before are kept.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotTaken {
    /// One of them cannot be parsed.
    #[error("a revocation list cannot be parsed; the lists before are kept")]
    Unreadable,
    /// One of them is past its nextUpdate, has none, or is from the future.
    #[error("a revocation list is not valid now; the lists before are kept")]
    NotCurrent,
    /// One of them has a smaller CRL number than the one of that issuer before it, or none
    /// (RFC 5280 section 5.2.3).
    #[error("a revocation list is older than the one before it, which is kept")]
    Older,
}

/// Which certificates are refused, by issuer and serial number. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Revoked(Arc<RwLock<Lists>>);

#[derive(Debug, Default)]
struct Lists {
    revoked: HashSet<Certificate>,
    /// By issuer: the number of its newest list.
    numbers: HashMap<Vec<u8>, BigUint>,
}

/// The issuer's name, DER, and the serial number, big-endian: together they are unique (RFC 5280
/// section 4.1.2.2).
pub(crate) type Certificate = (Vec<u8>, Vec<u8>);

/// The key of a certificate in the lists, made once for a connection.
pub(crate) fn certificate(issuer: &[u8], serial: &[u8]) -> Certificate {
    (issuer.to_vec(), positive(serial))
}

impl Revoked {
    /// Nothing is revoked yet.
    pub fn new() -> Self {
        Self::default()
    }

    // ANCHOR: replace
    /// From now on, exactly what these lists say. Their dates and numbers are checked here, and
    /// their signatures are not, which rustls checks in each handshake. So load them from where
    /// nobody else can write.
    ///
    /// # Errors
    /// See [`NotTaken`]. Nothing has changed then.
    pub fn replace<'a>(
        &self,
        lists: impl IntoIterator<Item = &'a CertificateRevocationListDer<'a>>,
    ) -> Result<(), NotTaken> {
        let now = i64::try_from(crate::caller::now()).unwrap_or(i64::MAX);
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut new = Lists { numbers: all.numbers.clone(), ..Lists::default() };
        for list in lists {
            let parsed =
                CertificateRevocationList::from_der(list).map_err(|_| NotTaken::Unreadable)?;
            let (b"", list) = parsed else { return Err(NotTaken::Unreadable) };
            let until = list.next_update().ok_or(NotTaken::NotCurrent)?.timestamp();
            if !(list.last_update().timestamp()..=until).contains(&now) {
                return Err(NotTaken::NotCurrent);
            }
            let issuer = list.issuer().as_raw().to_vec();
            let number = list.crl_number().ok_or(NotTaken::Older)?;
            if new.numbers.get(&issuer).is_some_and(|newest| number < newest) {
                return Err(NotTaken::Older);
            }
            new.numbers.insert(issuer.clone(), number.clone());
            let serials = list.iter_revoked_certificates();
            new.revoked.extend(serials.map(|entry| (issuer.clone(), positive(entry.raw_serial()))));
        }
        *all = new;
        Ok(())
    }
    // ANCHOR_END: replace

    /// Whether this certificate is on a list.
    pub fn contains(&self, issuer: &[u8], serial: &[u8]) -> bool {
        self.has(&certificate(issuer, serial))
    }

    pub(crate) fn has(&self, certificate: &Certificate) -> bool {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.revoked.contains(certificate)
    }
}

/// A serial number without the zero that DER puts before a first bit of 1.
fn positive(serial: &[u8]) -> Vec<u8> {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.get(zeros..).unwrap_or_default().to_vec()
}
