//! An accept loop for TLS that a stranger cannot stop. (Many strangers, from very many addresses, can
//! fill any server: what they cost is bounded here, and no more.)
//!
//! The mistakes this prevents, each found in servers that follow a tutorial:
//! - the handshake is awaited in the loop, so one silent client stops everybody;
//! - connections are not counted, so a flood takes all memory;
//! - strangers who stay hold every place, so that nobody else gets in;
//! - an error of `accept` ends the server, or makes it spin;
//! - the process just exits, and every peer sees a truncated stream.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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
    /// Of `connections`, those kept for clients that your handler has admitted ([`Admission::admit`]),
    /// because they have logged in, for example. All others are strangers. When strangers have all
    /// places that are not kept, or there is no place left, the next one takes the place of another
    /// stranger: of the address with the most, the one that came first. That one is cut without a goodbye,
    /// which it could make you wait for. Nobody who was admitted is put out: so admit a limited number of
    /// connections for each account and address, and fewer than `connections` in all, or one who may log in
    /// takes all places. With 0, nobody is put out, and more wait.
    pub reserved: usize,
}

impl Default for Limits {
    /// 1,024 connections, 64 of them from one address; none are reserved.
    fn default() -> Self {
        Self { connections: 1024, per_address: 64, reserved: 0 }
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
    place: Place,
}

impl Connection {
    /// What admits this client, when it has proved who it is; also after the stream was taken out.
    pub fn admission(&self) -> Admission {
        Admission(self.place.clone())
    }
}

/// For one connection: see [`Connection::admission`].
#[derive(Clone)]
pub struct Admission(Place);

impl Admission {
    /// From now on it is no stranger, and cannot be put out. More than once is the same as once.
    pub fn admit(&self) {
        self.0.strangers.leave(self.0.number);
    }
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
    #[error("expected a TLS handshake within {0:?}, but it did not finish")]
    TooSlow(Duration),
    /// It speaks another protocol, or named none.
    #[error("connected, but for another service")]
    Protocol(#[from] WrongProtocol),
    /// Over [`Limits::per_address`].
    #[error("expected at most {0} connections from this address, got one more")]
    TooMany(usize),
    /// For another one: see [`Limits::reserved`].
    #[error(
        "closed for another client: strangers had all places, and this address had most of them"
    )]
    PutOut,
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
    config: CurrentConfig,
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
        let (stop, config) = (CancellationToken::new(), CurrentConfig::new(config));
        let times = (limits, deadlines);
        let accept = accept(listener, config.clone(), times, stop.clone(), observe, handler);
        Ok(Self { address, config, stop, accepting: tokio::spawn(accept) })
    }
    // ANCHOR_END: start

    /// Another configuration, from the next accepted connection on; those that are there go on. It is
    /// another one as a whole, with its own memory of sessions: so nobody resumes a session that was made
    /// under a certificate which is not in use any more.
    pub fn replace_config(&self, config: Arc<ServerConfig>) {
        self.config.replace(config);
    }

    /// The same for a task that outlives the borrow of the server, such as one that renews the certificate.
    pub fn current_config(&self) -> CurrentConfig {
        self.config.clone()
    }

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

/// What the next handshake of a [`TlsServer`] uses. Clones are of the same server.
#[derive(Clone, Debug)]
pub struct CurrentConfig(Arc<RwLock<Arc<ServerConfig>>>);

impl CurrentConfig {
    fn new(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(RwLock::new(config)))
    }

    fn get(&self) -> Arc<ServerConfig> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As [`TlsServer::replace_config`]. When the server has ended, nothing uses it.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

// ANCHOR: accept
async fn accept<H, S>(
    listener: TcpListener,
    config: CurrentConfig,
    (limits, deadlines): (Limits, Deadlines),
    stop: CancellationToken,
    observe: impl Fn(Event) + Clone + Send + 'static,
    handler: H,
) -> Drained
where
    H: Fn(Connection) -> S + Clone + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let permits = Permits::new(limits);
    let (addresses, strangers) = (Addresses::default(), Strangers::new(limits));
    let mut tasks = JoinSet::new();
    loop {
        // The permit comes first: who is not accepted yet costs no task and no handshake.
        let next = async {
            let permit = permits.next(&strangers).await;
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
        // A client may have left in the meantime, and then no stranger has to go.
        let permit = permit.or_else(|| permits.now());
        let place = strangers.enter(peer.ip(), permit.is_none());
        // The permit of the stranger who was put out, or of the next client that leaves.
        let permit = tokio::select! {
            permit = permits.of(permit) => permit,
            () = stop.cancelled() => break,
        };
        let connection =
            serve((tcp, peer), config.get(), deadlines.handshake, stop.clone(), place.clone());
        let (observe, handler) = (observe.clone(), handler.clone());
        // In a box, because the task would otherwise hold it twice, as its argument and as what it polls.
        let served = Box::pin(async move {
            if let Some(connection) = connection.await? {
                handler(connection).await;
            }
            Ok(())
        });
        // Made here, so that it is dropped whatever becomes of the task.
        let stranger = Leaving(place.clone());
        tasks.spawn(async move {
            let refused = tokio::select! {
                served = served => served.err(),
                () = place.put_out.cancelled() => Some(Refused::PutOut),
            };
            if let Some(refused) = refused {
                tell(&observe, Event::Refused(peer, refused));
            }
            drop((stranger, permit, slot));
        });
    }
    drop(listener);
    drain(tasks, deadlines.shutdown).await
}
// ANCHOR_END: accept

// ANCHOR: handshake
/// The handshake, within its deadline; none if the server stops meanwhile.
async fn serve(
    (tcp, peer): (TcpStream, SocketAddr),
    config: Arc<ServerConfig>,
    deadline: Duration,
    stopping: CancellationToken,
    place: Place,
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
        Ok(()) => Ok(Some(Connection { stream, peer, stopping, place })),
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

/// One for each connection of [`Limits::connections`].
struct Permits(Arc<Semaphore>);

impl Permits {
    fn new(limits: Limits) -> Self {
        Self(Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))))
    }

    /// Waits for a permit; `None` if there is none, but a stranger can be put out to make one free.
    async fn next(&self, strangers: &Strangers) -> Option<OwnedSemaphorePermit> {
        match self.now() {
            None if strangers.can_be_put_out() => None,
            None => self.wait().await,
            permit => permit,
        }
    }

    fn now(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().ok()
    }

    /// The permit, or the one of the stranger who was put out.
    async fn of(&self, permit: Option<OwnedSemaphorePermit>) -> Option<OwnedSemaphorePermit> {
        match permit {
            None => self.wait().await,
            permit => permit,
        }
    }

    async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.0.clone().acquire_owned().await.ok()
    }
}

/// Connections that were not admitted, in the order in which they came.
#[derive(Clone)]
struct Strangers {
    /// None: nobody is put out.
    most: Option<usize>,
    here: Arc<Mutex<Here>>,
}

#[derive(Default)]
struct Here {
    next: u64,
    /// By number: the network, and what puts it out.
    strangers: BTreeMap<u64, (IpAddr, CancellationToken)>,
}

/// A stranger's place, until it is admitted or gone.
#[derive(Clone)]
struct Place {
    strangers: Strangers,
    number: u64,
    /// Cancelled when another one gets the place.
    put_out: CancellationToken,
}

/// Takes a stranger off the list when it is dropped: also if the handler panics.
struct Leaving(Place);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.strangers.leave(self.0.number);
    }
}

impl Strangers {
    fn new(limits: Limits) -> Self {
        let Limits { connections, reserved, .. } = limits;
        let most = (reserved > 0).then(|| connections.saturating_sub(reserved).max(1));
        Self { most, here: Arc::default() }
    }

    fn can_be_put_out(&self) -> bool {
        self.most.is_some() && !self.lock().strangers.is_empty()
    }

    // ANCHOR: enter
    /// A place for one more. If all are taken, or one is needed, the address that has most of them loses its
    /// oldest: an address with one connection is the last to lose it.
    fn enter(&self, address: IpAddr, one_is_needed: bool) -> Place {
        let mut lock = self.lock();
        let Here { next, strangers: here } = &mut *lock;
        if self.most.is_some_and(|most| one_is_needed || here.len() >= most) {
            let mut addresses = HashMap::<IpAddr, (usize, u64)>::new();
            // From the youngest to the oldest, which stays.
            for (&number, &(address, _)) in here.iter().rev() {
                let (count, oldest) = addresses.entry(address).or_default();
                (*count, *oldest) = (*count + 1, number);
            }
            let order = |&(count, oldest): &(usize, u64)| (count, std::cmp::Reverse(oldest));
            let oldest = addresses.into_values().max_by_key(order).map(|(_, oldest)| oldest);
            if let Some((_, put_out)) = oldest.and_then(|number| here.remove(&number)) {
                put_out.cancel();
            }
        }
        let (number, put_out) = (*next, CancellationToken::new());
        *next += 1;
        here.insert(number, (network(address), put_out.clone()));
        Place { strangers: self.clone(), number, put_out }
    }
    // ANCHOR_END: enter

    fn leave(&self, number: u64) {
        self.lock().strangers.remove(&number);
    }

    fn lock(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn the_oldest_stranger_of_the_busiest_network_is_put_out_and_nobody_who_was_admitted() {
        let limits = Limits { connections: 5, per_address: 9, reserved: 1 };
        let strangers = Strangers::new(limits);
        let enter = |text: &str| strangers.enter(text.parse().expect("an address"), false);
        let quiet = enter("192.0.2.9");
        let flood = [(); 3].map(|()| enter("192.0.2.1"));
        Admission(flood[0].clone()).admit();
        let late = enter("192.0.2.8");
        assert!(!flood.iter().any(|place| place.put_out.is_cancelled()));
        let _next = enter("192.0.2.7");
        let out = flood.each_ref().map(|place| place.put_out.is_cancelled());
        assert_eq!(out, [false, true, false], "the oldest that was not admitted");
        // Now each network has one: the oldest of all goes.
        let _next = enter("192.0.2.6");
        assert!(quiet.put_out.is_cancelled() && !late.put_out.is_cancelled());
        let all = Strangers::new(Limits::default());
        let places: Vec<_> =
            (0..2000).map(|_| all.enter("192.0.2.1".parse().expect("an address"), true)).collect();
        let out = places.iter().any(|place| place.put_out.is_cancelled());
        assert!(!out && !all.can_be_put_out(), "without a reserve, nobody is put out");
    }

    #[tokio::test]
    async fn a_handler_that_panics_leaves_no_stranger_behind() {
        let strangers = Strangers::new(Limits { connections: 5, per_address: 9, reserved: 1 });
        for _ in 0..4 {
            let place = strangers.enter("192.0.2.1".parse().expect("an address"), false);
            let leaving = Leaving(place);
            let task = tokio::spawn(async move {
                let _leaving = leaving;
                std::panic::panic_any("on purpose: this is a test");
            });
            assert!(task.await.is_err());
        }
        assert!(strangers.lock().strangers.is_empty());
    }

    /// Else those who came first would keep the door shut for all who follow.
    #[tokio::test]
    async fn nobody_waits_for_a_permit_as_long_as_a_stranger_can_be_put_out() {
        let limits = Limits { connections: 2, per_address: 9, reserved: 1 };
        let (permits, strangers) = (Permits::new(limits), Strangers::new(limits));
        let enter = || strangers.enter("192.0.2.1".parse().expect("an address"), false);
        let first = permits.next(&strangers).await;
        Admission(enter()).admit();
        let second = permits.next(&strangers).await;
        assert!(first.is_some() && second.is_some());
        let next = async || {
            let moment = Duration::from_millis(20);
            tokio::time::timeout(moment, permits.next(&strangers)).await.ok()
        };
        assert!(
            next().await.is_none(),
            "both were admitted, or will be: nobody can be put out, so it waits"
        );
        let place = enter();
        let at_once = next().await.expect("at once");
        assert!(at_once.is_none(), "a stranger's permit comes free when he is put out");
        let _newcomer = enter();
        assert!(place.put_out.is_cancelled());
        drop(second);
        assert!(permits.of(at_once).await.is_some());
    }

    /// Those who were admitted may have more than their share: strangers then have less, and the door is still open.
    #[tokio::test]
    async fn a_newcomer_gets_in_when_few_strangers_are_among_many_who_were_admitted() {
        let limits = Limits { connections: 9, per_address: 9, reserved: 3 };
        let (permits, strangers) = (Permits::new(limits), Strangers::new(limits));
        let enter = |needed| strangers.enter("192.0.2.1".parse().expect("an address"), needed);
        let mut all = Vec::new();
        let mut first = None;
        for number in 0..9 {
            all.push(permits.next(&strangers).await.expect("there is one"));
            let place = enter(false);
            match number {
                0 => first = Some(place),
                _ => Admission(place).admit(),
            }
        }
        let moment = Duration::from_millis(20);
        let at_once = tokio::time::timeout(moment, permits.next(&strangers)).await;
        let at_once = at_once.expect("one of nine is a stranger");
        let _newcomer = enter(at_once.is_none());
        assert!(first.is_some_and(|place| place.put_out.is_cancelled()));
    }

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
