//! A service that answers lines of text: over plain TCP, which is the mistake of this lesson, or over
//! TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::lines::{LineError, LineLimits, read_line};

/// More connections wait in the listener's queue.
const MAX_CONNECTIONS: usize = 16;
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// How long to wait after an error of accept: out of file descriptors, it would return at once again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers one line. The second argument is who has logged in on this connection.
pub type Clerk = Arc<dyn Fn(&str, &mut Option<String>) -> String + Send + Sync>;

/// A running service on loopback. Dropping it closes its port and its connections.
pub struct Service {
    address: SocketAddr,
    outcomes: mpsc::UnboundedReceiver<Result<(), ServeError>>,
    accepting: AbortHandle,
}

/// How a connection ended, if not in order.
#[derive(Debug, Error)]
pub enum ServeError {
    /// TLS: the handshake failed.
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    /// TLS: no handshake in time.
    #[error("expected a TLS handshake within {} seconds, none came", HANDSHAKE_DEADLINE.as_secs())]
    HandshakeTooSlow,
    /// The client's request was no line.
    #[error("no request")]
    Line(#[from] LineError),
    /// The answer could not be sent.
    #[error("the answer could not be sent")]
    Io(#[from] io::Error),
}

impl Service {
    /// Opens a port on loopback and serves: over TLS, if a configuration is given.
    ///
    /// # Errors
    /// No port could be opened.
    pub async fn start(clerk: Clerk, tls: Option<Arc<rustls::ServerConfig>>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (report, outcomes) = mpsc::unbounded_channel();
        let tls = tls.map(TlsAcceptor::from);
        let accepting = tokio::spawn(accept(listener, tls, clerk, report)).abort_handle();
        Ok(Self { address, outcomes, accepting })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next connection to end, and says how it ended.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn outcome(&mut self) -> Result<(), ServeError> {
        // The accepting task holds the sender for as long as the service lives.
        self.outcomes.recv().await.unwrap_or(Ok(()))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    clerk: Clerk,
    report: mpsc::UnboundedSender<Result<(), ServeError>>,
) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    // The permit comes first: who is not accepted yet costs no task and no handshake.
    while let Ok(permit) = permits.clone().acquire_owned().await {
        let Ok((tcp, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (tls, clerk, report) = (tls.clone(), clerk.clone(), report.clone());
        connections.spawn(async move {
            // Nobody listens once the lesson has seen enough.
            let _ = report.send(connection(tcp, tls, clerk).await);
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(tcp: TcpStream, tls: Option<TlsAcceptor>, clerk: Clerk) -> Result<(), ServeError> {
    let Some(tls) = tls else { return serve(tcp, clerk).await };
    let handshake = tokio::time::timeout(HANDSHAKE_DEADLINE, tls.accept(tcp)).await;
    let stream =
        handshake.map_err(|_elapsed| ServeError::HandshakeTooSlow)?.map_err(ServeError::Handshake)?;
    serve(stream, clerk).await
}

// ANCHOR: serve
/// Serves one connection until the client closes it. The stream may be TCP or TLS.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, clerk: Clerk) -> Result<(), ServeError> {
    let mut stream = BufReader::new(stream);
    let mut user = None;
    while let Some(request) = read_line(&mut stream, LineLimits::default()).await? {
        let answer = clerk(&request, &mut user);
        stream.write_all(format!("{answer}\n").as_bytes()).await?;
        stream.flush().await?;
    }
    stream.shutdown().await?;
    Ok(())
}
// ANCHOR_END: serve
