//! The smallest TLS set-up, for the last part of this lesson. Lesson 2 explains each line
//! and makes it fit for use.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use shared::{Identity, crypto_provider};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The name that the bank's certificate carries, and that its clients ask for.
pub const BANK: &str = "bank.test";

/// A server that proves who it is with `identity`, in TLS 1.3.
pub fn server(identity: &Identity) -> Result<Arc<ServerConfig>, rustls::Error> {
    let config = ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(identity.chain(), identity.key())?;
    Ok(Arc::new(config))
}

// ANCHOR: connect
/// Connects to the bank over an open stream, trusting `roots` and nothing else.
pub async fn connect<S>(roots: Arc<RootCertStore>, stream: S) -> anyhow::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    Ok(connector.connect(ServerName::try_from(BANK)?, stream).await?)
}
// ANCHOR_END: connect
