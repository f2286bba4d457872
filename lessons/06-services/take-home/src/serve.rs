//! An axum router over the accept loop of `careful-tls`.
//!
//! The mistakes this prevents: `axum::serve` with a listener that shakes hands in `accept`,
//! where one silent client stops everybody (observed with axum 0.8.9); a server without a
//! deadline for headers, requests or connections; a shutdown that cuts requests off.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use careful_tls::server::{self, Connection, CurrentConfig, Drained, TlsServer};
use http::{Request, StatusCode};
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinError;
use tokio::time::timeout;

use crate::caller::{Connected, Unknown, now};
use crate::identity::{NotAService, ServiceId};
use crate::revoked::Revoked;
use crate::rules::NotAllowed;

/// What a service speaks: HTTP/2, or HTTP/1.1.
pub const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How much a caller may take at once. Choose each for your service.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Those of the accept loop.
    pub connections: server::Limits,
    /// Requests at the same time on one connection of HTTP/2.
    pub streams: u32,
    /// The body of a request, in bytes. axum's own extractors take 2 MiB at most, unless a route
    /// has another `DefaultBodyLimit`.
    pub body: usize,
}

impl Default for Limits {
    /// 1,024 connections, 64 of them from one address; 100 streams; 2 MiB.
    fn default() -> Self {
        Self { connections: server::Limits::default(), streams: 100, body: 2 * 1024 * 1024 }
    }
}

/// How long the service waits.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Those of the accept loop: the handshake, and a shutdown.
    pub connections: server::Deadlines,
    /// For the first request; for the head of each later one in HTTP/1.1, from the answer before
    /// it on; and for the answer to a ping in HTTP/2.
    pub head: Duration,
    /// For a handler, from the head of its request to the head of its answer. Then the caller
    /// gets 503, and the handler's future is dropped where it waits, so what it does has to bear
    /// that. The body of the answer has no deadline but `age` and this one.
    pub request: Duration,
    /// After which a connection takes no new request. So a client that stays shakes hands
    /// again, and shows its certificate if it doesn't resume.
    pub age: Duration,
}

impl Default for Deadlines {
    /// 5 seconds for a handshake; 30 for a head, for a request and for a shutdown; an hour for a
    /// connection.
    fn default() -> Self {
        let (half, hour) = (Duration::from_secs(30), Duration::from_secs(3600));
        let connections = server::Deadlines { shutdown: half, ..server::Deadlines::default() };
        Self { connections, head: half, request: half, age: hour }
    }
}

/// What there is to tell, for a log.
#[derive(Debug)]
pub enum Event {
    /// Something went wrong below HTTP.
    Connection(server::Event),
    /// A request from this address got 403, because nobody knows who is calling.
    Unknown(SocketAddr, Unknown),
    /// A request from this address got 403, because the rule of its route doesn't name this
    /// service.
    NotAllowed(SocketAddr, ServiceId),
}

/// A running service.
pub struct Service(TlsServer);

impl Service {
    // ANCHOR: start
    /// Serves this router. Each request has a [`Connected`] among its extensions, from which
    /// [`Caller`](crate::caller::Caller) takes the caller's identity.
    ///
    /// `config` comes from [`server_config`](crate::credentials::server_config) with
    /// [`PROTOCOLS`]. `revoked` is asked for each request. `observe` is told whom the service
    /// refuses, and why; it must not block.
    ///
    /// # Errors
    /// The listener has no address.
    pub fn start(
        listener: TcpListener,
        config: Arc<ServerConfig>,
        router: Router,
        revoked: Revoked,
        (limits, deadlines): (Limits, Deadlines),
        observe: impl Fn(Event) + Clone + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let of_requests = observe.clone();
        let handler = move |connection: Connection| {
            let (router, revoked) = (router.clone(), revoked.clone());
            converse(connection, router, revoked, limits, deadlines, of_requests.clone())
        };
        let (most, times) = (limits.connections, deadlines.connections);
        let of_connections = move |event| observe(Event::Connection(event));
        TlsServer::start(listener, config, most, times, of_connections, handler).map(Self)
    }
    // ANCHOR_END: start

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Another configuration, for each handshake from now on: another certificate, other CAs,
    /// other lists. Connections that are open go on; their requests are checked by the list of
    /// revoked certificates.
    pub fn replace_config(&self, config: Arc<ServerConfig>) {
        self.0.replace_config(config);
    }

    /// The same for a task that outlives the borrow of the service, such as the renewer.
    pub fn current_config(&self) -> CurrentConfig {
        self.0.current_config()
    }

    /// Takes no new connection and no new request, answers those that are there, and ends.
    ///
    /// # Errors
    /// The accept loop had panicked before.
    pub async fn shut_down(self) -> Result<Drained, JoinError> {
        self.0.shut_down().await
    }
}

/// What answers the requests of one connection.
struct Answers<O> {
    router: TowerToHyperService<Router>,
    /// Who is calling; none if the configuration asks for no certificate.
    connected: Option<Connected>,
    peer: SocketAddr,
    /// For a request's body, in bytes.
    longest: usize,
    /// For a handler.
    patience: Duration,
    observe: O,
}

impl<O: Fn(Event)> Answers<O> {
    // ANCHOR: answer
    /// Answers one request.
    async fn answer(&self, request: Request<Incoming>) -> Response {
        let mut request = request.map(|body| Body::new(Limited::new(body, self.longest)));
        // What a client sends can't put anything in here.
        if let Some(connected) = &self.connected {
            request.extensions_mut().insert(connected.clone());
        }
        // It was verified in the handshake. Since then, much may have happened.
        let counts = self.connected.as_ref().map_or(Ok(()), |connected| connected.counts(now()));
        let answer = match counts {
            Ok(()) => match timeout(self.patience, self.router.call(request)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(never)) => match never {},
                Err(_elapsed) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            },
            Err(unknown) => unknown.into_response(),
        };
        if let Some(unknown) = answer.extensions().get::<Unknown>() {
            (self.observe)(Event::Unknown(self.peer, unknown.clone()));
        }
        if let Some(NotAllowed(service)) = answer.extensions().get() {
            (self.observe)(Event::NotAllowed(self.peer, service.clone()));
        }
        answer
    }
    // ANCHOR_END: answer
}

/// All requests of one connection.
async fn converse(
    connection: Connection,
    router: Router,
    revoked: Revoked,
    limits: Limits,
    deadlines: Deadlines,
    observe: impl Fn(Event) + Send + Sync + 'static,
) {
    let admission = connection.admission();
    let Connection { stream, peer, stopping, .. } = connection;
    let chain = stream.get_ref().1.peer_certificates();
    let connected = Connected::of(chain, revoked);
    match (chain, &connected) {
        (_, Some(_)) => admission.admit(),
        // rustls has accepted a certificate that can't be read here: it could not be revoked.
        (Some(_), None) => {
            return observe(Event::Unknown(peer, Unknown::NoIdentity(NotAService::Unreadable)));
        }
        (None, None) => {}
    }
    let answers = Arc::new(Answers {
        router: TowerToHyperService::new(router),
        connected,
        peer,
        longest: limits.body,
        patience: deadlines.request,
        observe,
    });
    // ANCHOR: converse
    let first_request = Arc::new(Notify::new());
    let asked = first_request.clone();
    let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
        asked.notify_one();
        let answers = answers.clone();
        async move { Ok::<_, Infallible>(answers.answer(request).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(deadlines.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .keep_alive_interval(Some(deadlines.head))
        .keep_alive_timeout(deadlines.head);
    let conversation = builder.serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(conversation);
    // hyper-util waits without a deadline until it knows which version of HTTP this is.
    let never_asks = async {
        if timeout(deadlines.head, first_request.notified()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // How it ends is the client's business: it may have left.
        _ended = conversation.as_mut() => return,
        () = never_asks => return,
        () = stopping.cancelled() => {}
        () = tokio::time::sleep(deadlines.age) => {}
    }
    conversation.as_mut().graceful_shutdown();
    // The accept loop cuts it earlier if the server stops.
    let _ended = timeout(deadlines.request, conversation).await;
    // ANCHOR_END: converse
}
