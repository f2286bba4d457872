//! Servers that stop, each at another phase of a request, and one that never stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use shared::LoopbackServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::{LAB_DEADLINE, tls_server};

/// Where the server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// It accepts the connection and never answers the ClientHello.
    Handshake,
    /// It reads the request and never answers.
    Header,
    /// It sends 10 of 1,000 announced bytes.
    Body,
    /// It sends a byte of the body every 10 milliseconds, without end.
    Drip,
    /// It never stops: a body without end, as fast as it is read.
    Flood,
    /// It sends 10 bytes of a body that ends with the connection, and closes TCP without
    /// close_notify.
    Cut,
}

const DRIP: Duration = Duration::from_millis(10);
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789";
/// The body ends with the connection: only TLS can tell an end from a cut.
const OPEN_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0123456789";
const ENDLESS_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A server that stops, and how far it came.
pub struct StallingServer {
    server: LoopbackServer,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    requests: AtomicUsize,
    body: AtomicUsize,
}

impl StallingServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Requests that it has read. One that stops before has read none.
    pub fn requests(&self) -> usize {
        self.progress.requests.load(Ordering::SeqCst)
    }

    /// Bytes of the body that it has sent.
    pub fn body(&self) -> usize {
        self.progress.body.load(Ordering::SeqCst)
    }
}

impl Stall {
    /// Starts such a server.
    pub async fn start(self, tls: Arc<ServerConfig>) -> io::Result<StallingServer> {
        let progress = Arc::new(Progress::default());
        let server = if self == Stall::Handshake {
            LoopbackServer::start(|silent: TcpStream| async move {
                tokio::time::sleep(LAB_DEADLINE).await;
                drop(silent);
            })
            .await?
        } else {
            let progress = progress.clone();
            tls_server(tls, move |stream| self.answer(stream, progress.clone())).await?
        };
        Ok(StallingServer { server, progress })
    }

    async fn answer(
        self,
        mut stream: TlsStream<TcpStream>,
        progress: Arc<Progress>,
    ) -> io::Result<()> {
        // The client's request, header and all, comes in one piece here.
        let _read = stream.read(&mut [0; 4096]).await?;
        progress.requests.fetch_add(1, Ordering::SeqCst);
        let sent = |bytes: usize| progress.body.fetch_add(bytes, Ordering::SeqCst);
        match self {
            Stall::Handshake | Stall::Header => {}
            Stall::Cut => {
                stream.write_all(OPEN_HEAD).await?;
                stream.flush().await?;
                sent(10);
                // Dropped, not shut down.
                return Ok(());
            }
            Stall::Body => {
                stream.write_all(HEAD).await?;
                sent(10);
            }
            Stall::Drip => {
                stream.write_all(HEAD).await?;
                sent(10);
                loop {
                    stream.flush().await?;
                    tokio::time::sleep(DRIP).await;
                    stream.write_all(b".").await?;
                    sent(1);
                }
            }
            Stall::Flood => {
                stream.write_all(ENDLESS_HEAD).await?;
                let chunk = [b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat();
                loop {
                    stream.write_all(&chunk).await?;
                    sent(0x1000);
                }
            }
        }
        stream.flush().await?;
        tokio::time::sleep(LAB_DEADLINE).await;
        Ok(())
    }
}
