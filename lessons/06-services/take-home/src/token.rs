//! The user for whom a service calls: an access token that is bound to the service's certificate
//! (RFC 8705 section 3). With the feature `token`.
//!
//! The mistakes this prevents: a service that was broken into sends a user's token on to another
//! service, in its own name; a handler that checks the token and not who brought it.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::response::{IntoResponse, Response};
use careful_tokens::bearer::{NoToken, bearer_token, refuse};
use careful_tokens::claims::{Claims, NoMore};
use careful_tokens::verifier::{Refused, Verifier};
use http::request::Parts;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::caller::{Connected, Unknown, now};
use crate::identity::ServiceId;

/// The service that is calling, and the claims of the token that it brought: put it among a
/// handler's arguments. `T` holds the claims of your own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnBehalf<T = NoMore> {
    /// Which service is calling, by its certificate.
    pub service: ServiceId,
    /// For whom, by its token. The token is bound to that certificate.
    pub claims: Claims<T>,
}

/// Why the request is refused. For your log: the caller learns which of the three it is.
#[derive(Debug, Error)]
pub enum Refusal {
    /// 403. Nobody knows which service is calling.
    #[error("no identity of a service")]
    Caller(#[from] Unknown),
    /// 401. There is no token.
    #[error("no token")]
    NoToken(#[from] NoToken),
    /// 401, or 503 if the verifier has no keys. The token is refused, a bearer token and one that
    /// is bound to another certificate among them.
    #[error("the token is refused")]
    Token(#[from] Refused),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Caller(unknown) => unknown.into_response(),
            Self::NoToken(none) => refuse(none),
            Self::Token(refused) => refuse(&refused),
        }
    }
}

// ANCHOR: on_behalf
impl<S, T> FromRequestParts<S> for OnBehalf<T>
where
    S: Sync,
    Arc<Verifier>: FromRef<S>,
    T: DeserializeOwned,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let connected = parts.extensions.get::<Connected>().ok_or(Unknown::NotVerified)?;
        let service = connected.service(now())?.clone();
        let token = bearer_token(&parts.headers)?;
        let verifier = Arc::<Verifier>::from_ref(state);
        let claims = verifier.verify_bound(token, connected.leaf())?;
        Ok(Self { service, claims })
    }
}
// ANCHOR_END: on_behalf
