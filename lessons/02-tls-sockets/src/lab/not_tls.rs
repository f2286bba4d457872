//! Peers that do not speak TLS.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use http_body_util::Empty;
use hyper::Response;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use shared::{LoopbackServer, Wiretap};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const DEADLINE: Duration = Duration::from_secs(5);

/// A plain HTTP request to a TLS server: the bytes that come back, and the server's error.
pub async fn plain_http_to_tls(server: ServerConfig) -> anyhow::Result<(Vec<u8>, io::Error)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let serving = async {
        let (tcp, _) = listener.accept().await?;
        // The socket stays open until the client has read the alert.
        Ok::<_, io::Error>(acceptor.accept(tcp).into_fallible().await.err())
    };
    let asking = async {
        let mut tcp = TcpStream::connect(address).await?;
        tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
        let mut alert = vec![0; 7];
        tcp.read_exact(&mut alert).await?;
        Ok(alert)
    };
    let both = async { tokio::try_join!(serving, asking) };
    let (refused, alert) = tokio::time::timeout(DEADLINE, both).await??;
    let (error, _socket) = refused.context("the server accepted plain HTTP")?;
    Ok((alert, error))
}

/// A TLS client at a plain HTTP server: the client's error, and the first line that the
/// server answered.
pub async fn tls_to_plain(client: ClientConfig) -> anyhow::Result<(io::Error, String)> {
    let server = plain_http_server().await?;
    let tap = Wiretap::listening_to(server.address()).await?;
    let connector = TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from(super::SERVER)?;
    let tcp = TcpStream::connect(tap.address()).await?;
    let connected = tokio::time::timeout(DEADLINE, connector.connect(name, tcp)).await?;
    let error = connected.err().context("the client accepted plain HTTP")?;
    let wire = tap.recording();
    let answer = wire.connections.first().context("nothing recorded")?.to_client.as_slice();
    let line = answer.split(|&byte| byte == b'\r').next().unwrap_or_default();
    Ok((error, line.escape_ascii().to_string()))
}

/// An HTTP server without TLS.
async fn plain_http_server() -> io::Result<LoopbackServer> {
    LoopbackServer::start(|tcp| async move {
        let service = service_fn(|_request| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        });
        // What the client sends is no HTTP, which is the point.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await;
    })
    .await
}
