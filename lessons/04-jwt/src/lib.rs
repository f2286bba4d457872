//! Tokens: JSON Web Tokens (RFC 7519) that say who asks, and what keeps them from being talked into
//! anything.
//!
//! | module | what you take home |
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
//!
//! [`lab`] holds what attacks them; nothing in there is to be taken home.

pub mod bearer;
pub mod binding;
pub mod claims;
pub mod clock;
pub mod denylist;
pub mod issuer;
pub mod jwks;
pub mod keys;
pub mod lab;
pub mod profile;
pub mod refresh;
pub mod remote;
pub mod verifier;
