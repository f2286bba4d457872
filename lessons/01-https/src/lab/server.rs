//! A small HTTPS server on loopback: HTTP/1.1 over TLS 1.2 and 1.3, with a limit or a
//! deadline for everything that a stranger can send or leave out. Lesson 2 makes it fit
//! for a network.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, HeaderValue, STRICT_TRANSPORT_SECURITY};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{
    NamedGroup, ProtocolVersion, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
};
use shared::{LoopbackServer, crypto_provider};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// From the accepted connection to the end of the TLS handshake.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// From the handshake, or from the last answer, to the end of a request's header.
pub const HEADER_DEADLINE: Duration = Duration::from_secs(5);
/// A connection in all, however busy.
pub const CONNECTION_DEADLINE: Duration = Duration::from_secs(60);
/// Handshakes that nobody has asked about; further ones are not reported.
const MAX_REPORTS: usize = 64;
/// The largest request body, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// Both versions that rustls has. RFC 9325 section 3.1.1: 1.3 is preferred, 1.2 is for
/// old clients.
pub const TLS_1_2_AND_1_3: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
/// TLS 1.2 alone, as an old server has it.
pub const TLS_1_2_ONLY: &[&SupportedProtocolVersion] = &[&TLS12];

/// Answers a request whose body has been read.
pub type Handler = Arc<dyn Fn(Request<Bytes>) -> Response<Full<Bytes>> + Send + Sync>;

/// A running server. Dropping it closes its port and its connections.
pub struct HttpsServer {
    server: LoopbackServer,
    handshakes: mpsc::Receiver<Result<Negotiated, HandshakeError>>,
}

/// What client and server agreed on.
#[derive(Debug)]
pub struct Negotiated {
    /// The TLS version.
    pub version: Option<ProtocolVersion>,
    /// Cipher and hash.
    pub suite: Option<SupportedCipherSuite>,
    /// The key-exchange group.
    pub group: Option<NamedGroup>,
    /// The application protocol (ALPN, RFC 7301); none if the client offered none.
    pub alpn: Option<String>,
    /// The server name that the client asked for (SNI, RFC 6066 section 3).
    pub server_name: Option<String>,
}

/// Why a handshake failed, as the server sees it.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// rustls or the client ended it.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// Not done in time.
    #[error("expected a TLS handshake within {} seconds, got none", HANDSHAKE_DEADLINE.as_secs())]
    TooSlow,
}

// ANCHOR: server_tls
/// The TLS side of a server: a chain with the leaf first, its key, and HTTP/1.1 as the
/// only protocol.
pub fn server_tls(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
// ANCHOR_END: server_tls

impl HttpsServer {
    /// Serves `handler` on a port that the system chooses.
    pub async fn start(tls: Arc<ServerConfig>, handler: Handler) -> io::Result<Self> {
        Self::start_on(0, tls, handler).await
    }

    /// Serves it on a port of your choice.
    pub async fn start_on(port: u16, tls: Arc<ServerConfig>, handler: Handler) -> io::Result<Self> {
        let acceptor = TlsAcceptor::from(tls);
        let (report, handshakes) = mpsc::channel(MAX_REPORTS);
        let server = LoopbackServer::start_on(port, move |tcp| {
            let (acceptor, handler, report) = (acceptor.clone(), handler.clone(), report.clone());
            async move {
                let outcome = shake_hands(acceptor, tcp).await;
                let stream = outcome.map(|stream| (negotiated(&stream), stream));
                // Nobody listens once the lesson has seen enough.
                match stream {
                    Ok((negotiated, stream)) => {
                        let _ = report.try_send(Ok(negotiated));
                        serve(stream, handler).await;
                    }
                    Err(error) => {
                        let _ = report.try_send(Err(error));
                    }
                }
            }
        });
        Ok(Self { server: server.await?, handshakes })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Waits for the next handshake to end, and says how.
    pub async fn handshake(&mut self) -> Result<Negotiated, HandshakeError> {
        let ended = self.handshakes.recv().await;
        // The accept loop holds the sender for as long as the server lives.
        ended.unwrap_or(Err(HandshakeError::TooSlow))
    }
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, HandshakeError> {
    match tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(tcp)).await {
        Ok(accepted) => accepted.map_err(HandshakeError::Tls),
        Err(_elapsed) => Err(HandshakeError::TooSlow),
    }
}

fn negotiated(stream: &TlsStream<TcpStream>) -> Negotiated {
    let (_tcp, tls) = stream.get_ref();
    Negotiated {
        version: tls.protocol_version(),
        suite: tls.negotiated_cipher_suite(),
        group: tls.negotiated_key_exchange_group().map(|group| group.name()),
        alpn: tls.alpn_protocol().map(|name| name.escape_ascii().to_string()),
        server_name: tls.server_name().map(str::to_owned),
    }
}

// ANCHOR: serve
async fn serve(stream: TlsStream<TcpStream>, handler: Handler) {
    let service = service_fn(move |request| respond(request, handler.clone()));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .serve_connection(TokioIo::new(stream), service);
    // An error here is the client's: it went away, or sent no HTTP. The next one is not
    // affected.
    let _ = tokio::time::timeout(CONNECTION_DEADLINE, connection).await;
}
// ANCHOR_END: serve

async fn respond(
    request: Request<Incoming>,
    handler: Handler,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let mut response = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => handler(Request::from_parts(head, body.to_bytes())),
        Err(error) => {
            let mut refused = Response::new(Full::default());
            *refused.status_mut() = match error.is::<LengthLimitError>() {
                true => StatusCode::PAYLOAD_TOO_LARGE,
                false => StatusCode::BAD_REQUEST,
            };
            refused
        }
    };
    let headers = response.headers_mut();
    // RFC 6797 section 7.2: over TLS only, which holds here. Two years, in seconds.
    headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
