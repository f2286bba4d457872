//! The Authorization header (RFC 6750 section 2.1), read strictly, and the one answer to whatever
//! token is refused.
//!
//! The mistakes this prevents: a token in the URL, where every log has it; two headers of which two
//! programs read different ones; an answer that tells an attacker how far she came; a client that throws a good token
//! away, and storms its issuer for another one, because the issuer is down.

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use thiserror::Error;

use crate::verifier::{LONGEST_TOKEN, Reason, Refused};

/// Why there is no token. For your log.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoToken {
    /// No header.
    #[error("no Authorization header")]
    Missing,
    /// More than one.
    #[error("expected one Authorization header, got more")]
    Twice,
    /// Another scheme, or no text.
    #[error("expected the scheme Bearer")]
    Scheme,
    /// Not the characters of a token, or too many.
    #[error("expected a token of at most {LONGEST_TOKEN} characters of base64url")]
    Form,
}

// ANCHOR: bearer
/// The token of a request: one header, the scheme Bearer in any case, one space, and the characters
/// that a signed token has.
///
/// # Errors
/// See [`NoToken`].
pub fn bearer_token(headers: &HeaderMap) -> Result<&str, NoToken> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(NoToken::Missing)?;
    if values.next().is_some() {
        return Err(NoToken::Twice);
    }
    let text = value.to_str().map_err(|_| NoToken::Scheme)?;
    let (scheme, token) = text.split_once(' ').ok_or(NoToken::Scheme)?;
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(NoToken::Scheme);
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match (1..=LONGEST_TOKEN).contains(&token.len()) && token.bytes().all(fits) {
        true => Ok(token),
        false => Err(NoToken::Form),
    }
}
// ANCHOR_END: bearer

// ANCHOR: unauthorized
/// What the answer to a refused request says. Nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// The request had no token.
    NoToken,
    /// The verifier refused the token, for whatever reason.
    InvalidToken,
    /// The token is good, but its scope doesn't allow this request. A new token with the same scope won't help.
    InsufficientScope,
    /// The verifier has no keys, so it can't judge the token. The client should keep the token and try again.
    Unavailable,
}

/// The number of seconds after which a client whose token couldn't be checked may try again.
const TRY_AGAIN: &str = "30";

/// 401, 403 (RFC 6750 section 3.1) or 503 (RFC 9110 section 15.6.4) with an empty body, of whatever type your server
/// has. After the scheme there MUST be a parameter (RFC 6750 section 3).
pub fn refuse<B: Default>(challenge: impl Into<Challenge>) -> Response<B> {
    let (status, name, says) = match challenge.into() {
        Challenge::NoToken => (StatusCode::UNAUTHORIZED, WWW_AUTHENTICATE, "Bearer realm=\"api\""),
        Challenge::InvalidToken => {
            (StatusCode::UNAUTHORIZED, WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")
        }
        Challenge::InsufficientScope => {
            (StatusCode::FORBIDDEN, WWW_AUTHENTICATE, "Bearer error=\"insufficient_scope\"")
        }
        Challenge::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, RETRY_AFTER, TRY_AGAIN),
    };
    let mut response = Response::new(B::default());
    *response.status_mut() = status;
    response.headers_mut().insert(name, HeaderValue::from_static(says));
    response
}
// ANCHOR_END: unauthorized

impl From<NoToken> for Challenge {
    fn from(none: NoToken) -> Self {
        match none {
            NoToken::Missing | NoToken::Twice | NoToken::Scheme => Self::NoToken,
            // RFC 6750 section 3.1: "malformed" is one of the ways to be invalid.
            NoToken::Form => Self::InvalidToken,
        }
    }
}

impl From<&Refused> for Challenge {
    fn from(refused: &Refused) -> Self {
        match refused.reason() {
            Reason::NoKeys => Self::Unavailable,
            _whatever => Self::InvalidToken,
        }
    }
}
