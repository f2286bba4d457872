//! What looks at connections and what attacks them. Nothing in here is to be taken home.

pub mod careless;
pub mod certificate;
pub mod early_data;
pub mod echo;
pub mod explain;
pub mod forged;
pub mod handshake;
pub mod ladder;
pub mod not_tls;
pub mod record;
pub mod small_loop;

use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use shared::{Identity, crypto_provider};

/// The name that servers of the lab have.
pub const SERVER: &str = "bank.test";

/// Both versions of rustls.
pub const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
/// TLS 1.2 alone.
pub const ONLY_1_2: &[&SupportedProtocolVersion] = &[&TLS12];
/// TLS 1.3 alone.
pub const ONLY_1_3: &[&SupportedProtocolVersion] = &[&TLS13];

/// A server with these versions, and no protocol of its own.
pub fn server(
    identity: &Identity,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ServerConfig, rustls::Error> {
    ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_single_cert(identity.chain(), identity.key())
}

/// A client with these versions, and no protocol of its own.
pub fn client(
    roots: Arc<RootCertStore>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, rustls::Error> {
    Ok(ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(versions)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
