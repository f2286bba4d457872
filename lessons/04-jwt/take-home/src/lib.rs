//! Tokens: JSON Web Tokens (RFC 7519) that say who asks, and what keeps them from being talked into
//! anything.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`profile`] | what issuer and verifier agree on |
//! | [`keys`] | keys with one id and one algorithm each |
//! | [`claims`] | what a token says, with types |
//! | [`issuer`] | makes tokens |
//! | [`verifier`] | accepts them, or refuses with one answer |
//! | [`jwks`] | the keys in public |
//! | [`remote`] | a verifier whose keys come from the issuer |
//! | [`denylist`] | tokens refused before they expire |
//! | [`refresh`] | refresh tokens that are used once |
//! | [`binding`] | a token for one holder only |
//! | [`bearer`] | the Authorization header, and 401 |
//! | [`clock`] | a clock that tests can set |
#![warn(missing_docs)]

pub mod bearer;
pub mod binding;
pub mod claims;
pub mod clock;
pub mod denylist;
pub mod issuer;
pub mod jwks;
pub mod keys;
pub mod profile;
pub mod refresh;
pub mod remote;
pub mod verifier;
