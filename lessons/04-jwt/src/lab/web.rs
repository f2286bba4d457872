//! The HTTPS servers of this lesson: lesson 2's accept loop with hyper on each connection, and a client
//! that trusts the lab's CA and nobody else.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use careful_certificates::roots::Roots;
use careful_https::client::{Trust, secure_client};
use careful_tls::config::server_config;
use careful_tls::identity::ServerIdentity;
use careful_tls::server::{Connection, Deadlines, Limits, TlsServer};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, HeaderValue, STRICT_TRANSPORT_SECURITY};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use shared::LabCa;
use tokio::net::TcpListener;

/// The name in the server's certificate.
pub const SERVER: &str = "bank.test";
const HEADER_DEADLINE: Duration = Duration::from_secs(5);
const MAX_BODY: usize = 64 * 1024;

/// Answers a request whose body has been read.
pub type Handler = Arc<dyn Fn(Request<Bytes>) -> Response<Full<Bytes>> + Send + Sync>;

/// A server on loopback, and the CA that vouches for it.
pub struct WebServer {
    ca: LabCa,
    server: TlsServer,
}

impl WebServer {
    /// Serves `handler` on a port that the system chooses.
    pub async fn start(handler: Handler) -> anyhow::Result<Self> {
        let ca = LabCa::new("Course Lab")?;
        let leaf = ca.leaf(SERVER).issue()?;
        let identity = ServerIdentity { chain: leaf.chain(), key: leaf.key() };
        let server = TlsServer::start(
            TcpListener::bind(("127.0.0.1", 0)).await?,
            server_config(identity, b"http/1.1")?,
            Limits::default(),
            Deadlines::default(),
            |_refused| {},
            move |connection| serve(connection, handler.clone()),
        )?;
        Ok(Self { ca, server })
    }

    /// Who vouches for it, and for the clients of this lesson.
    pub fn ca(&self) -> &LabCa {
        &self.ca
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The take-home client; the server's name leads to `address`, which may be a tap's.
    pub fn client(&self, address: SocketAddr) -> anyhow::Result<reqwest::Client> {
        let trust = Trust::Only(Roots::from_der(vec![self.ca.root_der()])?);
        Ok(secure_client(&trust)?.resolve(SERVER, address).build()?)
    }
}

/// An https URL of the server, at this address.
pub fn url(address: SocketAddr, path: &str) -> String {
    format!("https://{SERVER}:{}{path}", address.port())
}

async fn serve(connection: Connection, handler: Handler) {
    let service = service_fn(move |request| answer(request, handler.clone()));
    // A client that goes away is no concern of the lab's.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .serve_connection(TokioIo::new(connection.stream), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    handler: Handler,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let mut response = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => handler(Request::from_parts(head, body.to_bytes())),
        Err(_too_large_or_cut) => {
            let mut refused = Response::new(Full::default());
            *refused.status_mut() = StatusCode::BAD_REQUEST;
            refused
        }
    };
    // RFC 6797 section 7.2: over TLS only, which holds here. Two years, in seconds.
    let secure = HeaderValue::from_static("max-age=63072000");
    response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, secure);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
