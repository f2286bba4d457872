//! The caller's identity in a handler.
//!
//! The mistakes this prevents: a handler that knows *that* somebody was verified, and not *who*;
//! a service that is started without TLS for a test, and then serves everybody; a certificate
//! that expires or is revoked while its connection is open.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use careful_certificates::leaf::Leaf;
use http::StatusCode;
use http::request::Parts;
use rustls_pki_types::CertificateDer;
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::{NotAService, ServiceId};
use crate::revoked::{Certificate, Revoked, certificate};

/// What the TLS handshake of a connection has proved, for all of its requests.
/// [`serve`](crate::serve) puts it into the extensions of each request; nobody else can make
/// one.
#[derive(Clone, Debug)]
pub struct Connected(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: Result<ServiceId, Unknown>,
    leaf: CertificateDer<'static>,
    certificate: Certificate,
    not_after: u64,
    revoked: Revoked,
}

/// Why nobody knows who is calling. For your log: the caller gets 403 and nothing else.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unknown {
    /// The request came on no TLS connection that [`serve`](crate::serve) has made, or without a
    /// certificate.
    #[error("the request came without a verified certificate")]
    NotVerified,
    /// The certificate names no service, or several.
    #[error("the certificate must name exactly one service")]
    NoIdentity(#[from] NotAService),
    /// It has expired, at this time in seconds since 1970.
    #[error("the certificate expired at {0}")]
    Expired(u64),
    /// It is on a list now.
    #[error("the certificate was revoked")]
    Revoked,
}

/// 403 with an empty body, whatever the reason.
impl IntoResponse for Unknown {
    fn into_response(self) -> Response {
        let mut answer = StatusCode::FORBIDDEN.into_response();
        // For the log of `serve`. It isn't sent.
        answer.extensions_mut().insert(self);
        answer
    }
}

impl Connected {
    /// From the chain that rustls has verified, leaf first; none if it asked for no certificate.
    pub(crate) fn of(chain: Option<&[CertificateDer<'_>]>, revoked: Revoked) -> Option<Self> {
        let leaf = chain?.first()?.clone().into_owned();
        let (_, parsed) = X509Certificate::from_der(&leaf).ok()?;
        let certificate = certificate(parsed.issuer().as_raw(), parsed.raw_serial());
        let not_after = Leaf::from_der(&leaf).ok()?.not_after;
        let id = ServiceId::of_certificate(&leaf).map_err(Unknown::from);
        Some(Self(Arc::new(Inner { id, leaf, certificate, not_after, revoked })))
    }

    // ANCHOR: service
    /// Whether the certificate still counts at `now`, in seconds since 1970.
    /// [`serve`](crate::serve) asks this before each request reaches the router.
    ///
    /// # Errors
    /// [`Unknown::Revoked`], [`Unknown::Expired`]
    pub fn counts(&self, now: u64) -> Result<(), Unknown> {
        let inner = &*self.0;
        if inner.revoked.has(&inner.certificate) {
            return Err(Unknown::Revoked);
        }
        match now > inner.not_after {
            true => Err(Unknown::Expired(inner.not_after)),
            false => Ok(()),
        }
    }

    /// Who is calling, at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// See [`Unknown`].
    pub fn service(&self, now: u64) -> Result<&ServiceId, Unknown> {
        self.counts(now)?;
        self.0.id.as_ref().map_err(Clone::clone)
    }
    // ANCHOR_END: service

    /// The verified leaf, DER, for example to compare it with a token that is bound to it (RFC
    /// 8705 section 3).
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.0.leaf
    }
}

/// The service that is calling: put it among a handler's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(pub ServiceId);

// ANCHOR: extractor
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Unknown;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Unknown> {
        // Without TLS there is nothing here, and so nobody.
        let connected = parts.extensions.get::<Connected>().ok_or(Unknown::NotVerified)?;
        connected.service(now()).cloned().map(Caller)
    }
}
// ANCHOR_END: extractor

/// Seconds since 1970. A clock before that refuses nobody's certificate here; rustls has refused
/// all of them.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
