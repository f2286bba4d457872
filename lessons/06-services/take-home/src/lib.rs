//! Services that know which of them is calling, by certificate, for axum.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`identity`] | the one name that a certificate gives a service |
//! | [`credentials`] | a service's own chain and key, and TLS with client certificates |
//! | [`serve`] | an axum router over the accept loop of `careful-tls`, with limits and deadlines |
//! | [`caller`] | the caller's identity in a handler, checked again for each request |
//! | [`rules`] | who may call what: a table of exact identities |
//! | [`revoked`] | serial numbers that are refused from now on, whatever connection they come on |
//! | [`forwarded`] | the identity behind a proxy that ends TLS (RFC 9440), from that proxy alone |
//! | [`reload`] | what a service shows and whom it trusts, each of which changes alone |
//! | [`renew`] | new certificates in time, with retries, while everything runs |
//! | `token` | with the feature of that name: the user for whom a service calls (RFC 8705) |
#![warn(missing_docs)]

pub mod caller;
pub mod credentials;
pub mod forwarded;
pub mod identity;
pub mod reload;
pub mod renew;
pub mod revoked;
pub mod rules;
pub mod serve;
#[cfg(feature = "token")]
pub mod token;
