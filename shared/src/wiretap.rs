//! A relay on loopback between a client and a server: a tap that records, or an attacker
//! that changes, repeats, delays and cuts.
//!
//! Anybody who runs a router, an access point or a proxy on the way stands where this relay
//! stands. It has no key and no certificate; it has the bytes.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::loopback::LoopbackServer;
use crate::tls_records::{self, TlsView};

/// What one tap records at the most, in bytes. Beyond it the tap relays no more.
const MAX_RECORDED: usize = 16 * 1024 * 1024;
/// The longest unit that the tap collects before it relays, in bytes.
const MAX_UNIT: usize = 64 * 1024;
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Which way the bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::ToServer => "client to server",
            Direction::ToClient => "server to client",
        })
    }
}

/// How an attacker cuts the stream into the units that it acts on.
#[derive(Clone, Copy, Debug)]
pub enum Framing {
    /// Whatever one read returns.
    Chunks,
    /// Lines of text, with their line feed.
    Lines,
    /// TLS records, with their header of 5 bytes (RFC 8446 section 5.1).
    TlsRecords,
}

/// One unit on its way.
#[derive(Debug)]
pub struct Unit<'a> {
    /// The connection, counted from 0 in the order of accepting.
    pub connection: usize,
    /// Which way it travels.
    pub direction: Direction,
    /// Its number in this direction of this connection, from 0.
    pub index: usize,
    /// The bytes as the sender sent them.
    pub bytes: &'a [u8],
}

/// What an attacker does to a unit.
#[derive(Clone, Debug)]
pub enum Action {
    /// Passes it on.
    Pass,
    /// Passes these bytes on instead; none at all drops it.
    Replace(Vec<u8>),
    /// Passes it on twice.
    Repeat,
    /// Passes it on later.
    Delay(Duration),
    /// Passes nothing on any more and closes both connections, without a word to either
    /// end.
    Cut,
}

type Attack = Arc<Mutex<dyn FnMut(Unit<'_>) -> Action + Send>>;

/// A running relay. Dropping it closes its port and its connections.
pub struct Wiretap {
    relay: LoopbackServer,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    connections: Vec<Conversation>,
    total: usize,
    overflowed: bool,
}

/// The two directions of one connection, as they were sent.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// What the client sent.
    pub to_server: Vec<u8>,
    /// What the server sent.
    pub to_client: Vec<u8>,
    /// The order in which the tap received it.
    pub order: Vec<Chunk>,
}

/// A piece as the tap received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Which way it went.
    pub direction: Direction,
    /// Its length in bytes.
    pub length: usize,
}

impl Wiretap {
    /// A tap before `server` that records and changes nothing.
    pub async fn listening_to(server: SocketAddr) -> io::Result<Self> {
        Self::attacking(server, Framing::Chunks, |_unit| Action::Pass).await
    }

    /// An attacker before `server`, asked about each unit of both directions.
    pub async fn attacking<F>(server: SocketAddr, framing: Framing, attack: F) -> io::Result<Self>
    where
        F: FnMut(Unit<'_>) -> Action + Send + 'static,
    {
        let log = Arc::new(Mutex::new(Log::default()));
        let relay =
            Relay { server, framing, attack: Arc::new(Mutex::new(attack)), log: log.clone() };
        let relay = LoopbackServer::start(move |client| {
            let mut log = lock(&relay.log);
            log.connections.push(Conversation::default());
            relay.clone().connection(client, log.connections.len() - 1)
        });
        Ok(Self { relay: relay.await?, log })
    }

    /// Where a client connects to be tapped.
    pub fn address(&self) -> SocketAddr {
        self.relay.address()
    }

    /// What was recorded until now. A byte is recorded before it is passed on, so
    /// whatever an end has received is in here.
    pub fn recording(&self) -> Recording {
        let log = lock(&self.log);
        Recording { connections: log.connections.clone(), overflowed: log.overflowed }
    }
}

/// What a tap recorded, connection by connection.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The connections in the order of accepting.
    pub connections: Vec<Conversation>,
    overflowed: bool,
}

/// Where a byte string was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The connection, from 0.
    pub connection: usize,
    /// The direction.
    pub direction: Direction,
    /// The offset of the first byte, from 0.
    pub offset: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, at byte {}", self.direction, self.offset)
    }
}

impl Recording {
    /// The first place where `bytes` stand as they are, not encoded in any way.
    pub fn find(&self, bytes: &[u8]) -> Option<Place> {
        self.connections.iter().enumerate().find_map(|(connection, conversation)| {
            let in_direction = |direction, recorded: &[u8]| {
                let offset = find_bytes(recorded, bytes)?;
                Some(Place { connection, direction, offset })
            };
            in_direction(Direction::ToServer, &conversation.to_server)
                .or_else(|| in_direction(Direction::ToClient, &conversation.to_client))
        })
    }

    /// Bytes recorded in all.
    pub fn len(&self) -> usize {
        self.connections.iter().map(|c| c.to_server.len() + c.to_client.len()).sum()
    }

    /// Whether no byte was recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the tap ran into its limit of 16 MiB and stopped relaying.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// What can be read of a connection's TLS, record by record.
    pub fn tls(&self, connection: usize) -> TlsView {
        match self.connections.get(connection) {
            Some(conversation) => {
                tls_records::view(&conversation.to_server, &conversation.to_client)
            }
            None => TlsView::default(),
        }
    }
}

/// Plays recorded bytes to `server` on a new connection, and returns what it answers
/// until it closes or `patience` ends.
pub async fn replay(server: SocketAddr, bytes: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let conversation = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(bytes).await?;
        stream.shutdown().await?;
        (&mut stream).take(MAX_UNIT as u64).read_to_end(&mut answer).await
    };
    match tokio::time::timeout(patience, conversation).await {
        // A server that refuses by a reset has answered, too.
        Ok(Err(error)) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
        _ => Ok(answer),
    }
}

/// The offset of the first occurrence of `needle` in `haystack`.
pub fn find_bytes(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return None;
    }
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// `bytes` with the first `from` replaced by `to`; none if `from` does not occur.
pub fn replace_bytes(bytes: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let at = find_bytes(bytes, from)?;
    Some([&bytes[..at], to, &bytes[at + from.len()..]].concat())
}

#[derive(Clone)]
struct Relay {
    server: SocketAddr,
    framing: Framing,
    attack: Attack,
    log: Arc<Mutex<Log>>,
}

impl Relay {
    async fn connection(self, client: TcpStream, index: usize) {
        let server = tokio::time::timeout(CONNECT_DEADLINE, TcpStream::connect(self.server)).await;
        let Ok(Ok(server)) = server else { return };
        // Each unit leaves at once, as it came.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (client_in, client_out) = client.into_split();
        let (server_in, server_out) = server.into_split();
        let up = self.pump(index, Direction::ToServer, client_in, server_out);
        let down = self.pump(index, Direction::ToClient, server_in, client_out);
        // An end of one direction is passed on, and the other goes on. A cut or an error
        // ends both: returning drops all four halves, which closes both sockets.
        let _ = tokio::try_join!(up, down);
    }

    async fn pump(
        &self,
        connection: usize,
        direction: Direction,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
    ) -> io::Result<()> {
        let mut pending = Vec::new();
        let mut index = 0;
        loop {
            let mut chunk = [0; 16 * 1024];
            let read = from.read(&mut chunk).await?;
            self.record(connection, direction, &chunk[..read])?;
            pending.extend_from_slice(&chunk[..read]);
            let ended = read == 0;
            while let Some(length) = self.framing.first_unit(&pending, ended) {
                let bytes: Vec<u8> = pending.drain(..length).collect();
                let action =
                    (lock(&self.attack))(Unit { connection, direction, index, bytes: &bytes });
                index += 1;
                match action {
                    Action::Pass => to.write_all(&bytes).await?,
                    Action::Replace(other) => to.write_all(&other).await?,
                    Action::Repeat => to.write_all(&[bytes.as_slice(), &bytes].concat()).await?,
                    Action::Delay(by) => {
                        tokio::time::sleep(by).await;
                        to.write_all(&bytes).await?;
                    }
                    Action::Cut => return Err(io::ErrorKind::ConnectionAborted.into()),
                }
            }
            if ended {
                return to.shutdown().await;
            }
        }
    }

    fn record(&self, connection: usize, direction: Direction, bytes: &[u8]) -> io::Result<()> {
        let mut log = lock(&self.log);
        if log.total + bytes.len() > MAX_RECORDED {
            log.overflowed = true;
            return Err(io::Error::other("the tap recorded its 16 MiB and relays no more"));
        }
        log.total += bytes.len();
        let conversation = &mut log.connections[connection];
        conversation.order.push(Chunk { direction, length: bytes.len() });
        match direction {
            Direction::ToServer => conversation.to_server.extend_from_slice(bytes),
            Direction::ToClient => conversation.to_client.extend_from_slice(bytes),
        }
        Ok(())
    }
}

impl Framing {
    /// The length of the first whole unit in `pending`. What is no whole unit is passed
    /// on as it is at the end of the stream, or when it is longer than any unit may be.
    fn first_unit(self, pending: &[u8], ended: bool) -> Option<usize> {
        let whole = match self {
            Framing::Chunks => Some(pending.len()),
            Framing::Lines => pending.iter().position(|&byte| byte == b'\n').map(|at| at + 1),
            Framing::TlsRecords => {
                tls_records::record_length(pending).filter(|&length| length <= pending.len())
            }
        };
        whole
            .or((ended || pending.len() > MAX_UNIT).then_some(pending.len()))
            .filter(|&length| length > 0)
    }
}

/// A panic of another holder leaves bytes that are still worth reading.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
