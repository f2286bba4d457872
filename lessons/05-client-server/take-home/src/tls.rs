//! A server certificate that can be replaced while the server runs.
//!
//! The mistakes this prevents: a certificate that is read at the start and expires in a running
//! server; one that is loaded, and refused by every client; a session of before that goes on under an identity
//! that was replaced.

use std::sync::Arc;

use careful_certificates::leaf::Leaf;
use careful_tls::config::server_config;
use careful_tls::identity::{ServerIdentity, UnfitIdentity};
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;

use crate::protocol::ALPN;

/// Why an identity is not used. The one before it stays.
#[derive(Debug, Error)]
pub enum IdentityRefused {
    /// The server's name is not one.
    #[error("expected a server's name, got {0:?}")]
    Name(String),
    /// Clients would refuse it.
    #[error("clients would refuse the certificate")]
    Unfit(#[from] UnfitIdentity),
    /// The key belongs to another certificate, or cannot be used.
    #[error("the certificate and the key cannot be used")]
    Tls(#[from] rustls::Error),
}

// ANCHOR: identity
/// A configuration for this identity, after [`ServerIdentity::check`]. It
/// has a new memory of sessions: what was begun under another certificate cannot be resumed under this one.
///
/// # Errors
/// See [`IdentityRefused`].
pub fn checked_config(
    identity: ServerIdentity,
    name: &str,
    now: u64,
) -> Result<(Arc<ServerConfig>, Leaf), IdentityRefused> {
    let parsed = ServerName::try_from(name);
    let parsed = parsed.map_err(|_| IdentityRefused::Name(name.to_owned()))?;
    let leaf = identity.check(&parsed, now)?;
    Ok((server_config(identity, ALPN)?, leaf))
}
// ANCHOR_END: identity
