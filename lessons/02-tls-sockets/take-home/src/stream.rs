//! Connecting under a deadline, and closing so that what you sent is not lost.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{WrongProtocol, require_protocol};

/// What a peer may still send after a close is read and dropped, up to this many bytes.
const MAX_LATE: u64 = 64 * 1024;
/// How long a peer that is refused after the handshake has for its own close.
pub(crate) const GOODBYE: Duration = Duration::from_secs(1);

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// TCP or TLS failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// Not done within the deadline.
    #[error("expected TCP and the TLS handshake within {0:?}, but they did not finish")]
    TooSlow(Duration),
    /// The server speaks something else.
    #[error("connected, but to another service")]
    Protocol(#[from] WrongProtocol),
}

// ANCHOR: connect
/// TCP, the TLS handshake and the check of the protocol, all within one deadline, in which a host name is looked
/// up, too. A server that speaks another protocol gets a close_notify, and then has one more second to send its own.
///
/// In TLS 1.3 the server may still refuse a client's certificate after this returns: count
/// a connection as accepted after the first answer.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(
    config: Arc<ClientConfig>,
    address: impl ToSocketAddrs,
    name: ServerName<'static>,
    deadline: Duration,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let protocols = config.alpn_protocols.clone();
    let connecting = async {
        let tcp = TcpStream::connect(address).await?;
        // Small messages leave at once: they are requests that somebody waits for.
        tcp.set_nodelay(true)?;
        TlsConnector::from(config).connect(name, tcp).await
    };
    let timely = tokio::time::timeout(deadline, connecting).await;
    let mut stream = timely.map_err(|_elapsed| ConnectError::TooSlow(deadline))??;
    match require_protocol(stream.get_ref().1, &protocols) {
        Ok(()) => Ok(stream),
        Err(wrong) => {
            // A goodbye, so that the server can tell this end from an attacker's. In time or not.
            let _closed = close(&mut stream, GOODBYE).await;
            Err(wrong.into())
        }
    }
}
// ANCHOR_END: connect

// ANCHOR: close
/// Sends close_notify (RFC 8446 section 6.1), then reads until the peer has closed, too.
///
/// Without the reading, bytes of the peer that arrive after the close make the system answer
/// with a reset, which can erase the last message before the peer has read it (RFC 9112
/// section 9.6 says this about HTTP).
///
/// # Errors
/// The connection failed, or the peer did not close within the deadline, or it sent more than 64 KiB
/// meanwhile. What it sent is dropped.
pub async fn close(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    deadline: Duration,
) -> io::Result<()> {
    let closing = async {
        stream.shutdown().await?;
        let mut late = stream.take(MAX_LATE);
        tokio::io::copy(&mut late, &mut tokio::io::sink()).await?;
        // At the limit there is more, which would be answered with a reset.
        if late.limit() == 0 { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) }
    };
    match tokio::time::timeout(deadline, closing).await {
        Ok(closed) => closed,
        Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
    }
}
// ANCHOR_END: close
