//! The accept loop of every server, false server and relay of the laboratory.
//!
//! The mistake this prevents: a loop that waits for one client before it accepts the
//! next. Here each connection is a task of its own, their number is bounded, and dropping
//! the server ends all of them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

/// Connections at once; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 64;
/// How long to wait after an error of accept: out of file descriptors, it would return at
/// once again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A server on 127.0.0.1, on a port that the system chose. Dropping it closes the port
/// and every connection.
pub struct LoopbackServer {
    address: SocketAddr,
    accepting: AbortHandle,
}

impl LoopbackServer {
    /// Opens a port and calls `serve` for each connection, in the order of accepting;
    /// what it returns runs as a task.
    pub async fn start<F, S>(serve: F) -> io::Result<Self>
    where
        F: FnMut(TcpStream) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        Self::start_on(0, serve).await
    }

    /// The same on a port of your choice; 0 lets the system choose.
    pub async fn start_on<F, S>(port: u16, serve: F) -> io::Result<Self>
    where
        F: FnMut(TcpStream) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        Ok(Self { address, accepting: tokio::spawn(accept(listener, serve)).abort_handle() })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for LoopbackServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept<F, S>(listener: TcpListener, mut serve: F)
where
    F: FnMut(TcpStream) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Owned by this task, so that aborting it aborts every connection.
    let mut connections = JoinSet::new();
    // The permit comes first: who is not accepted yet costs no task and no handshake.
    while let Ok(permit) = permits.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let connection = serve(stream);
        connections.spawn(async move {
            connection.await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// A port of 127.0.0.1 on which nobody listens. Nobody else gets it for as long as this lives, so
/// a client is refused, and doesn't reach a server that was started meanwhile.
pub struct ClosedPort(TcpSocket);

impl ClosedPort {
    /// A port that the system chose.
    ///
    /// # Errors
    /// There is none.
    pub fn new() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Self(socket))
    }

    /// Where nobody listens.
    ///
    /// # Errors
    /// The system doesn't say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
