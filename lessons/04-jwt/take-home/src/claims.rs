//! What a token says, with types.
//!
//! The mistake this prevents: a claim that is checked if it is there, and if it has the expected
//! type. jsonwebtoken skips it otherwise (observed with 11.1.0); here both are errors.

use serde::{Deserialize, Deserializer, Serialize};

use crate::binding::Confirmation;

/// The names that [`Claims`] has itself: an application's own claims need others.
pub(crate) const REGISTERED: [&str; 8] = ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "cnf"];

// ANCHOR: claims
/// The claims of an access token, and `T`, those of your own. All of them are required but `nbf`
/// and `cnf`; each has one type. Times are in seconds since 1970. (RFC 7519 section 4.1.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims<T = NoMore> {
    /// Who issued it.
    pub iss: String,
    /// About whom it is.
    pub sub: String,
    /// For whom it is: one audience, not a list.
    pub aud: String,
    /// From then on it must not be accepted.
    pub exp: u64,
    /// When it was issued.
    pub iat: u64,
    /// Before then it must not be accepted.
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Its own id, unique for its issuer.
    pub jti: String,
    /// Who alone may use it; none for a bearer token.
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// Your own.
    #[serde(flatten)]
    pub more: T,
}
// ANCHOR_END: claims

/// No claims of your own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoMore {}

/// A claim that is there has a value: `null` is of the wrong type.
pub(crate) fn there<'de, D, V>(deserializer: D) -> Result<Option<V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    V::deserialize(deserializer).map(Some)
}
