//! The identity behind a proxy that ends TLS (RFC 9440).
//!
//! The mistake this prevents: the service believes the header `Client-Cert`, which anybody can
//! write who reaches the service around the proxy, and which the proxy passes on if its own
//! client wrote one.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::request::Parts;
use rustls_pki_types::CertificateDer;

use crate::caller::{Caller, Connected, Unknown, now};
use crate::identity::{NotAService, ServiceId};
use crate::revoked::Revoked;
use crate::rules::Rule;

/// The header of RFC 9440 section 2.2, and the one of section 2.3.
pub const CLIENT_CERT: &str = "client-cert";
const CLIENT_CERT_CHAIN: &str = "client-cert-chain";
/// The longest certificate that is read, in characters of base64.
const LONGEST: usize = 16 * 1024;

/// The one proxy whose word counts. Clones are the same one.
#[derive(Clone, Debug)]
pub struct TrustedProxy(Arc<ServiceId>, Revoked);

impl TrustedProxy {
    /// This service, which has verified the certificate that it passes on. `revoked` is asked for
    /// that certificate with each request, because the client's connection to the proxy may be
    /// older than the list.
    pub fn new(proxy: ServiceId, revoked: Revoked) -> Self {
        Self(Arc::new(proxy), revoked)
    }
}

/// The service in whose name the proxy calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedCaller(pub ServiceId);

// ANCHOR: accept
/// For `axum::middleware::from_fn_with_state`. Takes the header away from every request, and
/// believes it only if the caller is the proxy, by its own certificate.
pub async fn accept(
    State(TrustedProxy(proxy, revoked)): State<TrustedProxy>,
    caller: Result<Caller, Unknown>,
    mut request: Request,
    next: Next,
) -> Response {
    let forwarded = certificate(request.headers());
    request.headers_mut().remove(CLIENT_CERT);
    request.headers_mut().remove(CLIENT_CERT_CHAIN);
    if caller.is_ok_and(|Caller(caller)| caller == *proxy)
        && let Some(forwarded) = forwarded
    {
        let service = forwarded.map_err(Unknown::from).and_then(|leaf| {
            let connected = Connected::of(Some(&[leaf]), revoked).ok_or(NotAService::Unreadable)?;
            connected.service(now()).cloned()
        });
        request.extensions_mut().insert(Forwarded(service));
    }
    next.run(request).await
}
// ANCHOR_END: accept

#[derive(Clone)]
struct Forwarded(Result<ServiceId, Unknown>);

/// Lets the services of the rule pass behind the proxy; all others get 403 with an empty body. Like
/// [`rules::require`](crate::rules::require), which would see the proxy here.
pub async fn require_forwarded(
    State(rule): State<Rule>,
    ForwardedCaller(service): ForwardedCaller,
    request: Request,
    next: Next,
) -> Response {
    rule.pass(service, request, next).await
}

impl<S: Sync> FromRequestParts<S> for ForwardedCaller {
    type Rejection = Unknown;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Unknown> {
        let Forwarded(service) = parts.extensions.get().ok_or(Unknown::NotVerified)?;
        Ok(Self(service.clone()?))
    }
}

/// The certificate of the one header: a byte sequence between colons, in base64 (RFC 9440
/// section 2.1, RFC 8941 section 3.3.5). None if there is no header; an error if there are
/// several, or another text.
fn certificate(headers: &HeaderMap) -> Option<Result<CertificateDer<'static>, NotAService>> {
    let mut values = headers.get_all(CLIENT_CERT).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return Some(Err(NotAService::Unreadable));
    }
    let text = value.to_str().ok().and_then(|text| text.strip_prefix(':')?.strip_suffix(':'));
    let der = text.filter(|text| text.len() <= LONGEST).and_then(|text| STANDARD.decode(text).ok());
    Some(der.map(CertificateDer::from).ok_or(NotAService::Unreadable))
}

/// What a proxy writes: the header's value for this leaf. Remove every header of that name from
/// the request first.
pub fn header(leaf: &CertificateDer<'_>) -> String {
    format!(":{}:", STANDARD.encode(leaf))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_header_is_read_and_nothing_else() {
        let leaf = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CLIENT_CERT, value.parse().expect("a value"));
            }
            certificate(&headers)
        };
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[&header(&leaf)]), Some(Ok(leaf.clone())));
        for wrong in ["", ":", "MAMBAgM=", ":MAMBAgM=", ":MAMBAgM=:;a=1", ":!:", ": MAMBAgM=:"] {
            assert_eq!(read(&[wrong]), Some(Err(NotAService::Unreadable)), "{wrong:?}");
        }
        let two = [header(&leaf), header(&leaf)];
        assert_eq!(read(&[&two[0], &two[1]]), Some(Err(NotAService::Unreadable)));
        // Three bytes are four characters.
        let longest = CertificateDer::from(vec![7; LONGEST / 4 * 3]);
        assert_eq!(read(&[&header(&longest)]), Some(Ok(longest)));
        let longer = CertificateDer::from(vec![7; LONGEST / 4 * 3 + 3]);
        assert_eq!(read(&[&header(&longer)]), Some(Err(NotAService::Unreadable)));
        assert_eq!(LONGEST, 16_384);
    }
}
