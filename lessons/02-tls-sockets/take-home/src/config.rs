//! TLS 1.3 for a server and for a client, with an application protocol that both check.
//!
//! The mistake this prevents: ALPN is configured on one side only, or not at all, and two
//! programs that speak different protocols shake hands as if nothing were wrong (observed
//! with rustls 0.23.46).

use std::sync::Arc;

use rustls::version::TLS13;
use rustls::{ClientConfig, CommonState, RootCertStore, ServerConfig};
use thiserror::Error;

use crate::identity::ServerIdentity;
use crate::provider::crypto_provider;

// ANCHOR: server_config
/// A server that proves who it is with `identity`, and speaks `protocol` over TLS 1.3.
/// The server asks for no client certificate, so the application has to find out who the client is.
/// No early data (0-RTT) is accepted: it can be replayed (RFC 8446 section 8).
///
/// # Errors
/// The chain is empty, its leaf cannot be parsed, or the key belongs to another certificate. The
/// intermediates are not looked at: only a client's check does that.
pub fn server_config(
    identity: ServerIdentity,
    protocol: &[u8],
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = vec![protocol.to_vec()];
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// A client that trusts `roots` and nobody else, and speaks `protocol` over TLS 1.3.
///
/// # Errors
/// Never with this crate's provider. Another provider may lack TLS 1.3.
pub fn client_config(
    roots: Arc<RootCertStore>,
    protocol: &[u8],
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}
// ANCHOR_END: server_config

/// The peer did not agree on the protocol.
#[derive(Debug, Error)]
#[error("expected the application protocol {expected}, but the peer agreed on {agreed}")]
pub struct WrongProtocol {
    expected: String,
    agreed: String,
}

// ANCHOR: require_protocol
/// Checks what ALPN agreed on: one of `expected`, the list of a configuration. rustls refuses
/// two lists that have nothing in common, and accepts a peer that has no list at all: then
/// nothing was agreed on. An empty list expects nothing.
///
/// # Errors
/// None of them was agreed on.
pub fn require_protocol(tls: &CommonState, expected: &[Vec<u8>]) -> Result<(), WrongProtocol> {
    let agreed = tls.alpn_protocol();
    if expected.is_empty() || expected.iter().any(|name| agreed == Some(name.as_slice())) {
        return Ok(());
    }
    let names = expected.iter().map(|name| name.escape_ascii().to_string());
    Err(WrongProtocol {
        expected: names.collect::<Vec<_>>().join(" or "),
        agreed: agreed.map_or("none".to_owned(), |name| name.escape_ascii().to_string()),
    })
}
// ANCHOR_END: require_protocol
