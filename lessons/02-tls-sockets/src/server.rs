//! An accept loop for TLS that strangers cannot stop.
//!
//! The mistakes this prevents, each found in servers that follow a tutorial:
//! - the handshake is awaited in the loop, so one silent client stops everybody;
//! - connections are not counted, so a flood takes all memory;
//! - an error of `accept` ends the server, or makes it spin;
//! - the process just exits, and every peer sees a truncated stream.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustls::ServerConfig;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// How long to wait after an error of accept: out of file descriptors, it would return at
/// once again, with the connection still in the queue.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What strangers may cost. Choose each for your service.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once, handshakes among them. More wait in the listener's queue.
    pub connections: usize,
    /// Connections at once from one IP address. More are closed at once.
    pub per_address: usize,
    /// From the accepted connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// How long a shutdown waits for connections to end by themselves.
    pub shutdown: Duration,
}

impl Default for Limits {
    /// 1,024 connections, 64 from one address, 5 seconds for each deadline.
    fn default() -> Self {
        let seconds = Duration::from_secs(5);
        Self { connections: 1024, per_address: 64, handshake: seconds, shutdown: seconds }
    }
}

/// A client that has shaken hands.
pub struct Connection {
    /// The encrypted stream.
    pub stream: TlsStream<TcpStream>,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Cancelled when the server shuts down: finish what you do, start nothing new.
    pub stopping: CancellationToken,
}

/// What the server has to tell, for a log.
#[derive(Debug)]
pub enum Event {
    /// No handshake.
    Refused(SocketAddr, Refused),
    /// The system gave no connection.
    AcceptFailed(io::Error),
}

/// Why a client did not get a connection.
#[derive(Debug, Error)]
pub enum Refused {
    /// rustls or the client ended the handshake.
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    /// Not done in time.
    #[error("expected a TLS handshake within {0:?}, not done")]
    TooSlow(Duration),
    /// Over [`Limits::per_address`].
    #[error("expected at most {0} connections from this address, came another one")]
    TooMany(usize),
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had to be cut at the end of [`Limits::shutdown`].
    pub cut: usize,
}

/// A running server.
pub struct TlsServer {
    address: SocketAddr,
    stop: CancellationToken,
    accepting: JoinHandle<Drained>,
}

impl TlsServer {
    // ANCHOR: start
    /// Serves each connection with `handler`, as a task of its own. `observe` is told what
    /// goes wrong; it must not block.
    ///
    /// # Errors
    /// The listener has no address.
    pub fn start<H, S>(
        listener: TcpListener,
        config: Arc<ServerConfig>,
        limits: Limits,
        observe: impl Fn(Event) + Clone + Send + 'static,
        handler: H,
    ) -> io::Result<Self>
    where
        H: Fn(Connection) -> S + Clone + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let accept =
            accept(listener, config.into(), limits, stop.clone(), observe, handler);
        Ok(Self { address, stop, accepting: tokio::spawn(accept) })
    }
    // ANCHOR_END: start

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts nobody any more, tells the handlers to stop, waits for them until
    /// [`Limits::shutdown`], and cuts the rest.
    pub async fn shut_down(mut self) -> Drained {
        self.stop.cancel();
        // The loop ends by itself within the deadline; a panic in it has cut everything.
        (&mut self.accepting).await.unwrap_or(Drained { cut: 0 })
    }
}

impl Drop for TlsServer {
    /// Without [`shut_down`](Self::shut_down), everything is cut.
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

// ANCHOR: accept
async fn accept<H, S>(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    limits: Limits,
    stop: CancellationToken,
    observe: impl Fn(Event) + Clone + Send + 'static,
    handler: H,
) -> Drained
where
    H: Fn(Connection) -> S + Clone + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(limits.connections));
    let addresses = Addresses::default();
    let mut tasks = JoinSet::new();
    loop {
        // The permit comes first: who is not accepted yet costs no task and no handshake.
        let next = async {
            let permit = permits.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            // Finished tasks are taken out while nobody comes, too.
            Some(_finished) = tasks.join_next() => continue,
            () = stop.cancelled() => break,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                observe(Event::AcceptFailed(error));
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = addresses.enter(peer.ip(), limits.per_address) else {
            observe(Event::Refused(peer, Refused::TooMany(limits.per_address)));
            continue;
        };
        let connection = serve(tcp, peer, acceptor.clone(), limits, stop.clone());
        let (observe, handler) = (observe.clone(), handler.clone());
        tasks.spawn(async move {
            match connection.await {
                Ok(Some(connection)) => handler(connection).await,
                Ok(None) => {}
                Err(refused) => observe(Event::Refused(peer, refused)),
            }
            drop((permit, place));
        });
    }
    drop(listener);
    drain(tasks, limits.shutdown).await
}
// ANCHOR_END: accept

// ANCHOR: handshake
/// The handshake, within its deadline; none if the server stops meanwhile.
async fn serve(
    tcp: TcpStream,
    peer: SocketAddr,
    acceptor: TlsAcceptor,
    limits: Limits,
    stopping: CancellationToken,
) -> Result<Option<Connection>, Refused> {
    // Small answers leave at once.
    tcp.set_nodelay(true).map_err(Refused::Handshake)?;
    let handshake = tokio::time::timeout(limits.handshake, acceptor.accept(tcp));
    let stream = tokio::select! {
        done = handshake => done.map_err(|_elapsed| Refused::TooSlow(limits.handshake))?,
        () = stopping.cancelled() => return Ok(None),
    };
    let stream = stream.map_err(Refused::Handshake)?;
    Ok(Some(Connection { stream, peer, stopping }))
}
// ANCHOR_END: handshake

async fn drain(mut tasks: JoinSet<()>, patience: Duration) -> Drained {
    let finish = async { while tasks.join_next().await.is_some() {} };
    // In time or not, what is left is counted and cut.
    let _in_time = tokio::time::timeout(patience, finish).await;
    while tasks.try_join_next().is_some() {}
    let cut = tasks.len();
    tasks.shutdown().await;
    Drained { cut }
}

/// Connections by address.
#[derive(Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection's place; dropping it gives it back.
struct Place {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    fn enter(&self, address: IpAddr, most: usize) -> Option<Place> {
        let mut counts = self.lock();
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place { addresses: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.addresses.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            // An address that is gone leaves nothing behind: the map cannot grow for ever.
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}
