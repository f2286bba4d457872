//! Servers that stop, each at another phase of a request, and one that never stops.

use std::io;
use std::sync::Arc;
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
    /// It sends a byte of the body every 20 milliseconds, for ever.
    Drip,
    /// It never stops: a body without end, as fast as it is read.
    Flood,
    /// It sends 10 of 1,000 announced bytes and closes TCP without close_notify.
    Cut,
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789";
const ENDLESS_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

impl Stall {
    /// Starts such a server.
    ///
    /// # Errors
    /// No port could be opened.
    pub async fn start(self, tls: Arc<ServerConfig>) -> io::Result<LoopbackServer> {
        if self == Stall::Handshake {
            return LoopbackServer::start(|silent: TcpStream| async move {
                tokio::time::sleep(LAB_DEADLINE).await;
                drop(silent);
            })
            .await;
        }
        tls_server(tls, move |stream| self.answer(stream)).await
    }

    async fn answer(self, mut stream: TlsStream<TcpStream>) -> io::Result<()> {
        // The client's request, header and all, comes in one piece here.
        let _read = stream.read(&mut [0; 4096]).await?;
        match self {
            Stall::Handshake | Stall::Header => {}
            Stall::Cut => {
                stream.write_all(HEAD).await?;
                stream.flush().await?;
                // Dropped, not shut down.
                return Ok(());
            }
            Stall::Body => stream.write_all(HEAD).await?,
            Stall::Drip => {
                stream.write_all(HEAD).await?;
                loop {
                    stream.flush().await?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    stream.write_all(b".").await?;
                }
            }
            Stall::Flood => {
                stream.write_all(ENDLESS_HEAD).await?;
                let chunk = [b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat();
                loop {
                    stream.write_all(&chunk).await?;
                }
            }
        }
        stream.flush().await?;
        tokio::time::sleep(LAB_DEADLINE).await;
        Ok(())
    }
}
