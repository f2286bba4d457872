//! The server: lesson 2's accept loop, frames, deadlines for every phase, and a log without
//! secrets.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use careful_errors::ErrorChain;
use careful_tls::config::server_config_asking;
use careful_tls::identity::ServerIdentity;
use careful_tls::server::{Connection, Deadlines, Drained, Event, Limits, TlsServer};
use careful_tls::stream::close;
use careful_tokens::keys::SigningKey;
use tokio::net::TcpListener;
use tokio::task::JoinError;
use tracing::Instrument;

use crate::frames::{FrameDeadlines, FrameError, Frames, parse};
use crate::protocol::{ALPN, Refusal, Request, Response};
use crate::service::{Service, ServiceError};
use crate::tls::CurrentIdentity;

/// How long one client may take, phase by phase.
#[derive(Clone, Copy, Debug)]
pub struct ServerDeadlines {
    /// For the TLS handshake, and for a shutdown.
    pub connection: Deadlines,
    /// For the first frame to begin, after the handshake.
    pub first: Duration,
    /// For each frame after it.
    pub frames: FrameDeadlines,
    /// For a request to be carried out.
    pub request: Duration,
    /// For the client to close, too.
    pub close: Duration,
}

// ANCHOR: deadlines
impl Default for ServerDeadlines {
    /// Those of [`Deadlines`]; 5 seconds for the first frame to begin, a minute for each after it; 10
    /// seconds for a frame to end, and for an answer to be read; 30 for a request; 1 to close.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connection: Deadlines::default(),
            first: seconds(5),
            frames: FrameDeadlines { idle: seconds(60), frame: seconds(10), write: seconds(10) },
            request: seconds(30),
            close: seconds(1),
        }
    }
}
// ANCHOR_END: deadlines

/// A running server.
pub struct MailboxServer {
    tls: TlsServer,
    identity: Arc<CurrentIdentity>,
    service: Arc<Service>,
}

impl MailboxServer {
    /// Serves on this listener.
    ///
    /// # Errors
    /// The identity cannot be used, or the listener has no address.
    pub fn start(
        listener: TcpListener,
        identity: ServerIdentity,
        service: Arc<Service>,
        limits: Limits,
        deadlines: ServerDeadlines,
    ) -> io::Result<Self> {
        let identity = CurrentIdentity::new(identity).map_err(io::Error::other)?;
        let config = server_config_asking(identity.clone(), ALPN);
        let config = config.map_err(io::Error::other)?;
        let counted = service.clone();
        let observe = move |event| {
            counted.counters().dropped.fetch_add(1, Ordering::Relaxed);
            match event {
                Event::Refused(peer, why) if counted.strangers_log().allows() => {
                    tracing::info!(%peer, why = %ErrorChain(&why), "no connection");
                }
                Event::Refused(..) => {}
                Event::AcceptFailed(error) => tracing::error!(%error, "accept"),
            }
        };
        let for_handler = service.clone();
        let handler = move |connection| serve(connection, for_handler.clone(), deadlines);
        let tls =
            TlsServer::start(listener, config, limits, deadlines.connection, observe, handler)?;
        Ok(Self { tls, identity, service })
    }

    /// Where clients connect.
    pub fn address(&self) -> std::net::SocketAddr {
        self.tls.address()
    }

    /// Another certificate, from the next handshake on.
    ///
    /// # Errors
    /// It cannot be used: then the old one stays.
    pub fn replace_identity(&self, identity: ServerIdentity) -> Result<(), rustls::Error> {
        self.identity.replace(identity)
    }

    /// Other signing keys, the newest last.
    ///
    /// # Errors
    /// They cannot be used: then the old ones stay.
    pub fn replace_keys(&self, keys: Vec<SigningKey>) -> Result<(), ServiceError> {
        self.service.replace_keys(keys)
    }

    /// The service, for its counters.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Accepts nobody any more, finishes the requests that have come, says goodbye, and cuts what
    /// is left at the end of its deadline.
    ///
    /// # Errors
    /// The accept loop had ended before, by a panic.
    pub async fn shut_down(self) -> Result<Drained, JoinError> {
        self.tls.shut_down().await
    }
}

/// One connection is counted for as long as this lives.
struct Counted(Arc<Service>);

impl Counted {
    fn new(service: Arc<Service>) -> Self {
        service.counters().connections.fetch_add(1, Ordering::Relaxed);
        Self(service)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.counters().connections.fetch_sub(1, Ordering::Relaxed);
    }
}

// ANCHOR: serve
async fn serve(connection: Connection, service: Arc<Service>, deadlines: ServerDeadlines) {
    let Connection { stream, peer, stopping } = connection;
    let counted = Counted::new(service);
    let service = &counted.0;
    let first = FrameDeadlines { idle: deadlines.first, ..deadlines.frames };
    let mut frames = Frames::new(stream, first);
    let mut stop = std::pin::pin!(stopping.cancelled());
    loop {
        // A frame that has come as a whole is answered, even when the server stops.
        let frame = tokio::select! {
            biased;
            frame = frames.next() => frame,
            () = &mut stop => Ok(None),
        };
        frames.set_deadlines(deadlines.frames);
        let frame = match frame {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(error) => {
                drop_client(service, peer, &error);
                if matches!(error, FrameError::TooLong) {
                    // It sent no whole request: it is told so, once, and the connection ends.
                    let answer = refused(Refusal::BadRequest, &request_id());
                    let _told = frames.send(&answer).await;
                }
                break;
            }
        };
        let answer = answer_frame(service, peer.ip(), &frame, deadlines.request);
        let (response, last) = answer.await;
        if let Err(error) = frames.send(&response).await {
            drop_client(service, peer, &error);
            break;
        }
        if last {
            break;
        }
    }
    // In time or not: the client has had its answers.
    let _closed = close(&mut frames.into_stream(), deadlines.close).await;
}
// ANCHOR_END: serve

fn drop_client(service: &Service, peer: std::net::SocketAddr, why: &FrameError) {
    service.counters().dropped.fetch_add(1, Ordering::Relaxed);
    if service.strangers_log().allows() {
        tracing::info!(%peer, why = %ErrorChain(why), "connection ended");
    }
}

fn refused(because: Refusal, id: &str) -> Response {
    Response::Refused { because, request: id.to_owned() }
}

/// The answer to one frame, and whether the connection ends after it, because the frame was not a
/// request.
async fn answer_frame(
    service: &Service,
    peer: std::net::IpAddr,
    frame: &[u8],
    deadline: Duration,
) -> (Response, bool) {
    let id = request_id();
    let span = tracing::info_span!("request", id, %peer);
    async {
        let started = Instant::now();
        let Ok(request) = parse::<Request>(frame) else {
            if service.strangers_log().allows() {
                tracing::info!(bytes = frame.len(), "not a request");
            }
            return (refused(Refusal::BadRequest, &id), true);
        };
        let name = request.name();
        let answer = service.answer(peer, request, &id);
        let late =
            |_elapsed| (refused(Refusal::Unavailable, &id), Some("the request took too long"));
        let answered = tokio::time::timeout(deadline, answer).await;
        let (response, why) = answered.unwrap_or_else(late);
        let micros = started.elapsed().as_micros() as u64;
        match why {
            // Anybody may ask that as often as they like.
            None if name == "ping" => tracing::debug!(request = name, micros, "answered"),
            None if service.accounts_log().allows() => {
                tracing::info!(request = name, micros, "answered");
            }
            Some(why) if service.strangers_log().allows() => {
                tracing::info!(request = name, micros, why, "refused");
            }
            _over_the_budget => {}
        }
        // Not within its limits is no request, either.
        let bad = Refusal::BadRequest;
        let last = matches!(response, Response::Refused { because, .. } if because == bad);
        (response, last)
    }
    .instrument(span)
    .await
}

/// Unique for this run of the server: by it a client's error is found in the log.
fn request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{:08x}", NEXT.fetch_add(1, Ordering::Relaxed))
}
