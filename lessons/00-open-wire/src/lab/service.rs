//! A service that answers lines of text: over plain TCP, which is the mistake of this
//! lesson, or over TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use shared::LoopbackServer;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use careful_lines::{LINE_DEADLINE, LONGEST_LINE, LineError, read_line};

const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Outcomes that nobody has asked about; further ones are not reported.
const MAX_REPORTS: usize = 64;

/// Answers one line. The second argument is who has logged in on this connection.
pub type Clerk = Arc<dyn Fn(&str, &mut Option<String>) -> String + Send + Sync>;

/// A running service on loopback. Dropping it closes its port and its connections.
pub struct Service {
    server: LoopbackServer,
    outcomes: mpsc::Receiver<Result<(), ServeError>>,
}

/// How a connection ended, if not in order.
#[derive(Debug, Error)]
pub enum ServeError {
    /// TLS: the handshake failed.
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    /// TLS: no handshake in time.
    #[error("expected a TLS handshake within {} seconds, got none", HANDSHAKE_DEADLINE.as_secs())]
    HandshakeTooSlow,
    /// The client's request was no line.
    #[error("no request")]
    Line(#[from] LineError),
    /// The client did not read its answer in time.
    #[error("expected the client to read its answer within {} seconds", ANSWER_DEADLINE.as_secs())]
    AnswerTooSlow,
    /// The answer could not be sent.
    #[error("the answer could not be sent")]
    Io(#[from] io::Error),
}

impl Service {
    /// Opens a port on loopback and serves: over TLS, if a configuration is given.
    pub async fn start(clerk: Clerk, tls: Option<Arc<rustls::ServerConfig>>) -> io::Result<Self> {
        Self::start_on(0, clerk, tls).await
    }

    /// The same on a port of your choice.
    pub async fn start_on(
        port: u16,
        clerk: Clerk,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> io::Result<Self> {
        let (report, outcomes) = mpsc::channel(MAX_REPORTS);
        let tls = tls.map(TlsAcceptor::from);
        let server = LoopbackServer::start_on(port, move |tcp| {
            let (tls, clerk, report) = (tls.clone(), clerk.clone(), report.clone());
            async move {
                // Nobody listens once the lesson has seen enough.
                let _ = report.try_send(connection(tcp, tls, clerk).await);
            }
        });
        Ok(Self { server: server.await?, outcomes })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Waits for the next connection to end, and says how it ended.
    pub async fn outcome(&mut self) -> Result<(), ServeError> {
        // The accept loop holds the sender for as long as the service lives.
        self.outcomes.recv().await.unwrap_or(Ok(()))
    }
}

async fn connection(
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
    clerk: Clerk,
) -> Result<(), ServeError> {
    let Some(tls) = tls else { return serve(tcp, clerk).await };
    let handshake = timeout(HANDSHAKE_DEADLINE, tls.accept(tcp)).await;
    let stream = handshake
        .map_err(|_elapsed| ServeError::HandshakeTooSlow)?
        .map_err(ServeError::Handshake)?;
    serve(stream, clerk).await
}

// ANCHOR: serve
/// Serves one connection until the client closes it. The stream may be TCP or TLS.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    clerk: Clerk,
) -> Result<(), ServeError> {
    let mut stream = BufReader::new(stream);
    let mut user = None;
    while let Some(request) = read_line(&mut stream, LONGEST_LINE, LINE_DEADLINE).await? {
        let answer = format!("{}\n", clerk(&request, &mut user));
        let send = async {
            stream.write_all(answer.as_bytes()).await?;
            stream.flush().await
        };
        // A client that reads nothing is not waited for, either.
        timeout(ANSWER_DEADLINE, send).await.map_err(|_elapsed| ServeError::AnswerTooSlow)??;
    }
    stream.shutdown().await?;
    Ok(())
}
// ANCHOR_END: serve
