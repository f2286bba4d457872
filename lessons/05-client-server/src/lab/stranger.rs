//! A client that sends whatever bytes it likes, over a good TLS connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use careful_tls::config::client_config;
use careful_tls::stream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::programs::LAB_NAME;
use careful_mailbox::frames::{FrameDeadlines, Frames};
use careful_mailbox::protocol::{ALPN, Request, Response};

const DEADLINE: Duration = Duration::from_secs(10);

/// A TLS connection to a mailbox server.
pub async fn connect(
    address: SocketAddr,
    roots: Arc<RootCertStore>,
) -> anyhow::Result<TlsStream<TcpStream>> {
    connect_with(client_config(roots, ALPN)?, address).await
}

/// With a configuration that remembers sessions.
pub async fn connect_with(
    config: Arc<ClientConfig>,
    address: SocketAddr,
) -> anyhow::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(LAB_NAME)?;
    Ok(stream::connect(config, address, name, DEADLINE).await?)
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

/// The same from an address of this machine: on Linux and Windows all of 127.0.0.0/8 are. To the server, each is
/// a network of its own.
pub async fn connect_from(
    source: IpAddr,
    address: SocketAddr,
    roots: Arc<RootCertStore>,
) -> anyhow::Result<Frames<TlsStream<TcpStream>>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(source, 0))?;
    let handshake = async {
        let tcp = socket.connect(address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(LAB_NAME)?;
        let connector = TlsConnector::from(client_config(roots, ALPN)?);
        anyhow::Ok(connector.connect(name, tcp).await?)
    };
    let stream = tokio::time::timeout(DEADLINE, handshake).await??;
    let deadlines = FrameDeadlines { idle: DEADLINE, frame: DEADLINE, write: DEADLINE };
    Ok(Frames::new(stream, deadlines))
}

/// One request and its answer.
pub async fn ask(
    frames: &mut Frames<TlsStream<TcpStream>>,
    request: &Request,
) -> anyhow::Result<Response> {
    frames.send(request).await?;
    frames.receive().await?.context("the server closed the connection")
}
