//! One client and one server shake hands on loopback, and each says what it saw.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, CommonState, HandshakeKind, ServerConfig};
use rustls::{NamedGroup, ProtocolVersion, SupportedCipherSuite};
use shared::Wiretap;
use shared::wiretap::{Framing, Recording};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Neither end may take longer.
const DEADLINE: Duration = Duration::from_secs(10);
/// What the server says first, and the client repeats: 11 bytes. Each waits for the other, so
/// that the records have one order.
pub const GREETING: &[u8] = b"hello world";

/// What one end agreed on.
#[derive(Clone, Debug)]
pub struct Negotiated {
    /// The version.
    pub version: Option<ProtocolVersion>,
    /// Cipher and hash.
    pub suite: Option<SupportedCipherSuite>,
    /// The key-exchange group.
    pub group: Option<NamedGroup>,
    /// The application protocol.
    pub alpn: Option<Vec<u8>>,
    /// Full, or resumed from a ticket.
    pub kind: Option<HandshakeKind>,
}

impl Negotiated {
    /// What a connection has agreed on.
    pub fn on(tls: &CommonState) -> Self {
        Self {
            version: tls.protocol_version(),
            suite: tls.negotiated_cipher_suite(),
            group: tls.negotiated_key_exchange_group().map(|group| group.name()),
            alpn: tls.alpn_protocol().map(<[u8]>::to_vec),
            kind: tls.handshake_kind(),
        }
    }
}

/// What both ends saw.
pub struct Handshake {
    /// Whether the client's `connect` succeeded, whatever came after.
    pub connected: bool,
    /// The client's side, to the end of one round trip.
    pub client: io::Result<Negotiated>,
    /// The server's side.
    pub server: io::Result<Negotiated>,
}

impl Handshake {
    /// What the client says, in words.
    pub fn client_says(&self) -> String {
        match (&self.client, self.connected) {
            (Ok(_), _) => "ok".to_owned(),
            (Err(error), false) => error.to_string(),
            (Err(error), true) => format!("connect() is Ok; later: {error}"),
        }
    }

    /// What the server says, in words.
    pub fn server_says(&self) -> String {
        self.server.as_ref().map_or_else(ToString::to_string, |_| "ok".to_owned())
    }
}

/// A handshake and a round trip: the client connects to `name`, the server says a greeting, the client repeats
/// it and closes, then the server does.
pub async fn shake_hands(
    server: ServerConfig,
    client: ClientConfig,
    name: &str,
) -> anyhow::Result<Handshake> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    shake_hands_at(&listener, address, &Arc::new(server), &Arc::new(client), name).await
}

/// The same with a tap on the way; returns its recording, too.
pub async fn shake_hands_tapped(
    server: ServerConfig,
    client: ClientConfig,
) -> anyhow::Result<(Handshake, Recording)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let tap = Wiretap::listening_to(listener.local_addr()?).await?;
    let (server, client) = (Arc::new(server), Arc::new(client));
    let handshake =
        shake_hands_at(&listener, tap.address(), &server, &client, super::SERVER).await?;
    Ok((handshake, tap.recording()))
}

/// The same with an attacker on the way.
pub async fn shake_hands_attacked(
    server: ServerConfig,
    client: ClientConfig,
    attack: impl FnMut(shared::wiretap::Unit<'_>) -> shared::wiretap::Action + Send + 'static,
) -> anyhow::Result<Handshake> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let relay = Wiretap::attacking(listener.local_addr()?, Framing::TlsRecords, attack).await?;
    let (server, client) = (Arc::new(server), Arc::new(client));
    shake_hands_at(&listener, relay.address(), &server, &client, super::SERVER).await
}

/// The same at a listener that is there already, for ends that shake hands more than once.
pub async fn shake_hands_at(
    listener: &TcpListener,
    address: SocketAddr,
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> anyhow::Result<Handshake> {
    let name = ServerName::try_from(name.to_owned())?;
    let serving = async {
        let (tcp, _) = listener.accept().await?;
        Ok::<_, io::Error>(serve(tcp, TlsAcceptor::from(server.clone())).await)
    };
    let asking = async {
        let tcp = TcpStream::connect(address).await?;
        Ok::<_, io::Error>(ask(tcp, TlsConnector::from(client.clone()), name).await)
    };
    let both = async { tokio::try_join!(serving, asking) };
    // The sockets are dropped here, when both ends have read what the other had to say: a
    // socket closed with unread bytes sends a reset, which can overtake an alert.
    let ((server, _server_socket), (connected, client, _client_socket)) =
        tokio::time::timeout(DEADLINE, both).await??;
    Ok(Handshake { connected, client, server })
}

type Socket = Box<dyn Send>;

async fn serve(tcp: TcpStream, acceptor: TlsAcceptor) -> (io::Result<Negotiated>, Socket) {
    match acceptor.accept(tcp).into_fallible().await {
        Err((error, tcp)) => (Err(error), end(tcp).await),
        Ok(mut stream) => {
            let spoken = async {
                stream.write_all(GREETING).await?;
                stream.flush().await?;
                read_to_end(&mut stream).await?;
                stream.shutdown().await
            };
            let result = spoken.await.map(|()| Negotiated::on(stream.get_ref().1));
            (result, end(stream.into_inner().0).await)
        }
    }
}

/// Sends no more, whether or not rustls has sent an alert. What the peer still sends is received: a socket that
/// is closed with unread bytes would send a reset.
async fn end(mut tcp: TcpStream) -> Socket {
    // The peer may be gone.
    let _ = tcp.shutdown().await;
    Box::new(tcp)
}

async fn ask(
    tcp: TcpStream,
    connector: TlsConnector,
    name: ServerName<'static>,
) -> (bool, io::Result<Negotiated>, Socket) {
    match connector.connect(name, tcp).into_fallible().await {
        Err((error, tcp)) => (false, Err(error), end(tcp).await),
        Ok(mut stream) => {
            let spoken = async {
                let mut greeting = [0; GREETING.len()];
                stream.read_exact(&mut greeting).await?;
                stream.write_all(&greeting).await?;
                stream.shutdown().await?;
                read_to_end(&mut stream).await
            };
            let result = spoken.await.map(|()| Negotiated::on(stream.get_ref().1));
            (true, result, end(stream.into_inner().0).await)
        }
    }
}

async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    tokio::io::copy(stream, &mut tokio::io::sink()).await.map(|_bytes| ())
}
