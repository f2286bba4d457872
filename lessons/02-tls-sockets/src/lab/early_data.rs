//! A server that pays for each order that it is sent, also for one in early data.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection};
use shared::LoopbackServer;
use shared::tls_records::record_length;
use tokio::sync::mpsc;

use super::handshake::Negotiated;

/// What the server pays for: 11 bytes.
pub const ORDER: &[u8] = b"PAY 100 bob";
/// For each read and write.
const DEADLINE: Duration = Duration::from_secs(5);

/// A running server. It speaks to rustls itself: tokio-rustls hands out a stream only after
/// the handshake, and early data comes before.
pub struct PayServer {
    server: LoopbackServer,
    paid: Arc<AtomicUsize>,
    ended: mpsc::UnboundedReceiver<io::Result<Negotiated>>,
}

impl PayServer {
    /// Opens a port.
    pub async fn start(config: ServerConfig) -> io::Result<Self> {
        let config = Arc::new(config);
        let paid = Arc::new(AtomicUsize::new(0));
        let (report, ended) = mpsc::unbounded_channel();
        let count = paid.clone();
        let server = LoopbackServer::start(move |tcp| {
            let (config, count, report) = (config.clone(), count.clone(), report.clone());
            async move {
                let serving = tokio::task::spawn_blocking(move || {
                    let tcp = tcp.into_std()?;
                    tcp.set_nonblocking(false)?;
                    serve(tcp, config, &count)
                });
                // Nobody listens once the lesson has seen enough.
                let _ = report.send(serving.await.unwrap_or_else(|panic| Err(panic.into())));
            }
        });
        Ok(Self { server: server.await?, paid, ended })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// How often it paid.
    pub fn paid(&self) -> usize {
        self.paid.load(Ordering::SeqCst)
    }

    /// Waits for the next connection to end, and says how.
    pub async fn outcome(&mut self) -> io::Result<Negotiated> {
        self.ended.recv().await.unwrap_or(Err(io::ErrorKind::NotConnected.into()))
    }
}

// ANCHOR: serve
fn serve(
    mut tcp: TcpStream,
    config: Arc<ServerConfig>,
    paid: &AtomicUsize,
) -> io::Result<Negotiated> {
    tcp.set_read_timeout(Some(DEADLINE))?;
    tcp.set_write_timeout(Some(DEADLINE))?;
    let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut order = Vec::new();
    while tls.is_handshaking() {
        if tls.wants_write() {
            tls.write_tls(&mut tcp)?;
            continue;
        }
        if tls.read_tls(&mut tcp)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let processed = tls.process_new_packets();
        // Early data is here before the client has proved that it is not a recording.
        if let Some(mut early) = tls.early_data() {
            let came = early.read_to_end(&mut order)?;
            if came > 0 && order == ORDER {
                paid.fetch_add(1, Ordering::SeqCst);
            }
        }
        processed.map_err(io::Error::other)?;
    }
    // ANCHOR_END: serve
    let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
    if order.is_empty() {
        order.resize(ORDER.len(), 0);
        stream.read_exact(&mut order)?;
        if order == ORDER {
            paid.fetch_add(1, Ordering::SeqCst);
        }
    }
    stream.write_all(b"paid")?;
    stream.conn.send_close_notify();
    stream.flush()?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(Negotiated::on(&tls))
}

/// The client's bytes up to and with its first encrypted record: what is needed to send
/// early data, and nothing that a fresh connection could not accept.
pub fn first_flight(to_server: &[u8]) -> &[u8] {
    let mut end = 0;
    while let Some(length) = record_length(&to_server[end..]) {
        let encrypted = to_server[end] == 23;
        end = (end + length).min(to_server.len());
        if encrypted || end == to_server.len() {
            break;
        }
    }
    &to_server[..end]
}
