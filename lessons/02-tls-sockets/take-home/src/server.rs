//! An accept loop for TLS that a stranger cannot stop. (Many strangers, from many addresses, can
//! fill any server: what they cost is bounded here, and no more.)
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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::config::{WrongProtocol, require_protocol};
use crate::stream::{GOODBYE, close};

/// How long to wait after an error of accept: out of file descriptors, it would return at
/// once again, with the connection still in the queue.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How much strangers may take at once. Choose each for your service.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections, handshakes among them. More wait in the listener's queue.
    pub connections: usize,
    /// Connections from one IPv4 address, or from one IPv6 network of 64 bits, which one machine
    /// usually has to itself. More are closed at once.
    pub per_address: usize,
}

impl Default for Limits {
    /// 1,024 connections, 64 of them from one address.
    fn default() -> Self {
        Self { connections: 1024, per_address: 64 }
    }
}

/// How long the server waits. What happens after the handshake has deadlines of its own, in your
/// handler.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From the accepted connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// From [`TlsServer::shut_down`] until the connections that are still open are cut.
    pub shutdown: Duration,
}

impl Default for Deadlines {
    /// 5 seconds for each.
    fn default() -> Self {
        let seconds = Duration::from_secs(5);
        Self { handshake: seconds, shutdown: seconds }
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
    /// It speaks another protocol, or named none.
    #[error("connected, but for another service")]
    Protocol(#[from] WrongProtocol),
    /// Over [`Limits::per_address`].
    #[error("expected at most {0} connections from this address, came another one")]
    TooMany(usize),
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had to be cut at the end of [`Deadlines::shutdown`].
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
    /// Serves each connection with `handler`, as a task of its own, after the handshake and the
    /// check of the protocol. `observe` is told what goes wrong; it must not block.
    ///
    /// # Errors
    /// The listener has no address.
    pub fn start<H, S>(
        listener: TcpListener,
        config: Arc<ServerConfig>,
        limits: Limits,
        deadlines: Deadlines,
        observe: impl Fn(Event) + Clone + Send + 'static,
        handler: H,
    ) -> io::Result<Self>
    where
        H: Fn(Connection) -> S + Clone + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let accept = accept(listener, config, (limits, deadlines), stop.clone(), observe, handler);
        Ok(Self { address, stop, accepting: tokio::spawn(accept) })
    }
    // ANCHOR_END: start

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts nobody any more, tells the handlers to stop, waits for them until
    /// [`Deadlines::shutdown`], and cuts the rest.
    ///
    /// # Errors
    /// The loop had ended before, by a panic: then everything was cut.
    pub async fn shut_down(mut self) -> Result<Drained, JoinError> {
        self.stop.cancel();
        (&mut self.accepting).await
    }

    /// Whether it still accepts connections.
    pub fn is_running(&self) -> bool {
        !self.accepting.is_finished()
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
    config: Arc<ServerConfig>,
    (limits, deadlines): (Limits, Deadlines),
    stop: CancellationToken,
    observe: impl Fn(Event) + Clone + Send + 'static,
    handler: H,
) -> Drained
where
    H: Fn(Connection) -> S + Clone + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let most = limits.connections.min(Semaphore::MAX_PERMITS);
    let permits = Arc::new(Semaphore::new(most));
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
            // A client that was gone before it was accepted: the next one may be there.
            Err(error) if is_the_clients(&error) => continue,
            Err(error) => {
                tell(&observe, Event::AcceptFailed(error));
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(slot) = addresses.enter(peer.ip(), limits.per_address) else {
            tell(&observe, Event::Refused(peer, Refused::TooMany(limits.per_address)));
            continue;
        };
        let connection = serve(tcp, peer, config.clone(), deadlines.handshake, stop.clone());
        let (observe, handler) = (observe.clone(), handler.clone());
        tasks.spawn(async move {
            match connection.await {
                Ok(Some(connection)) => handler(connection).await,
                Ok(None) => {}
                Err(refused) => tell(&observe, Event::Refused(peer, refused)),
            }
            drop((permit, slot));
        });
    }
    drop(listener);
    drain(tasks, deadlines.shutdown).await
}
// ANCHOR_END: accept

// ANCHOR: handshake
/// The handshake, within its deadline; none if the server stops meanwhile.
async fn serve(
    tcp: TcpStream,
    peer: SocketAddr,
    config: Arc<ServerConfig>,
    deadline: Duration,
    stopping: CancellationToken,
) -> Result<Option<Connection>, Refused> {
    // Small answers leave at once.
    tcp.set_nodelay(true).map_err(Refused::Handshake)?;
    let acceptor = TlsAcceptor::from(config.clone());
    let handshake = tokio::time::timeout(deadline, acceptor.accept(tcp));
    let stream = tokio::select! {
        done = handshake => done.map_err(|_elapsed| Refused::TooSlow(deadline))?,
        () = stopping.cancelled() => return Ok(None),
    };
    let mut stream = stream.map_err(Refused::Handshake)?;
    match require_protocol(stream.get_ref().1, &config.alpn_protocols) {
        Ok(()) => Ok(Some(Connection { stream, peer, stopping })),
        Err(wrong) => {
            // A goodbye, so that the client can tell a refusal from an attack. In time or not.
            let _closed = close(&mut stream, GOODBYE).await;
            Err(wrong.into())
        }
    }
}
// ANCHOR_END: handshake

async fn drain(mut tasks: JoinSet<()>, deadline: Duration) -> Drained {
    let finish = async { while tasks.join_next().await.is_some() {} };
    // In time or not, what is left is counted and cut.
    let _in_time = tokio::time::timeout(deadline, finish).await;
    while tasks.try_join_next().is_some() {}
    let cut = tasks.len();
    tasks.shutdown().await;
    Drained { cut }
}

/// Windows says of a client that has reset its connection that it is not connected (observed with wine).
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | NotConnected)
}

/// Tells the observer. A panic of its own is its own: it must not end the server.
fn tell(observe: &impl Fn(Event), event: Event) {
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| observe(event)));
    // The panic hook has reported it.
    drop(told);
}

/// What counts as one address: an IPv4 address, or an IPv6 network of 64 bits.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
        address => address,
    }
}

/// Connections by address.
#[derive(Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection's slot of those that its address has; dropping it gives it back.
struct AddressSlot {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    fn enter(&self, address: IpAddr, most: usize) -> Option<AddressSlot> {
        let address = network(address);
        let mut counts = self.lock();
        if counts.get(&address).copied().unwrap_or(0) >= most {
            return None;
        }
        *counts.entry(address).or_default() += 1;
        Some(AddressSlot { addresses: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AddressSlot {
    fn drop(&mut self) {
        let mut counts = self.addresses.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            // An address that is gone leaves nothing behind: the map does not only grow.
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_counted_by_network_and_given_back() {
        let addresses = Addresses::default();
        let enter = |text: &str| addresses.enter(text.parse().expect("an address"), 1);
        let first = enter("2001:db8::1");
        assert!(first.is_some());
        assert!(enter("2001:db8::2").is_none(), "the same network of 64 bits");
        assert!(enter("2001:db8:0:1::1").is_some(), "another network");
        let v4 = enter("192.0.2.1");
        assert!(v4.is_some() && enter("::ffff:192.0.2.1").is_none(), "an IPv4 address in disguise");
        assert!(enter("192.0.2.2").is_some(), "another address");
        drop((first, v4));
        assert!(addresses.lock().is_empty(), "nothing is left of who is gone");
        assert!(addresses.enter("192.0.2.1".parse().expect("an address"), 0).is_none());
        assert!(addresses.lock().is_empty(), "nor of who was refused");
    }
}
