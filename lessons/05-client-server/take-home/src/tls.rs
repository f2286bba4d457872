//! A server certificate that can be replaced while the server runs.
//!
//! The mistake this prevents: a certificate that is read at the start and expires in a running
//! server.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use careful_tls::identity::ServerIdentity;
use careful_tls::provider::crypto_provider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The chain and key that the next handshake uses.
pub struct CurrentIdentity(RwLock<Arc<CertifiedKey>>);

// ANCHOR: identity
impl CurrentIdentity {
    /// The first one.
    ///
    /// # Errors
    /// The key belongs to another certificate, or is none that can be used.
    pub fn new(identity: ServerIdentity) -> Result<Arc<Self>, rustls::Error> {
        Ok(Arc::new(Self(RwLock::new(certified(identity)?))))
    }

    /// Another one, from the next handshake on. Connections that are open stay open.
    ///
    /// # Errors
    /// As [`new`](Self::new): then the old one stays.
    pub fn replace(&self, identity: ServerIdentity) -> Result<(), rustls::Error> {
        let identity = certified(identity)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = identity;
        Ok(())
    }
}

impl ResolvesServerCert for CurrentIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
// ANCHOR_END: identity

/// Checks that chain and key belong together.
fn certified(identity: ServerIdentity) -> Result<Arc<CertifiedKey>, rustls::Error> {
    let ServerIdentity { chain, key } = identity;
    CertifiedKey::from_der(chain, key, &crypto_provider()).map(Arc::new)
}

impl fmt::Debug for CurrentIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CurrentIdentity")
    }
}
