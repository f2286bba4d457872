//! A client that sends whatever bytes it likes, over a good TLS connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use careful_tls::config::client_config;
use careful_tls::stream;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::programs::LAB_NAME;
use careful_mailbox::protocol::ALPN;

const DEADLINE: Duration = Duration::from_secs(10);

/// A TLS connection to a mailbox server.
pub async fn connect(
    address: SocketAddr,
    roots: Arc<RootCertStore>,
) -> anyhow::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(LAB_NAME)?;
    Ok(stream::connect(client_config(roots, ALPN)?, address, name, DEADLINE).await?)
}

/// Sends bytes, and reads until the server closes.
pub async fn send_and_read(
    stream: &mut TlsStream<TcpStream>,
    bytes: &[u8],
) -> anyhow::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let talking = async {
        stream.write_all(bytes).await?;
        stream.flush().await?;
        stream.read_to_end(&mut answer).await
    };
    tokio::time::timeout(DEADLINE, talking).await??;
    Ok(answer)
}
