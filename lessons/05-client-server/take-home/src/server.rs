//! The server: lesson 2's accept loop, frames, deadlines for every phase, and a log without
//! secrets.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use careful_certificates::leaf::Leaf;
use careful_errors::ErrorChain;
use careful_tls::identity::ServerIdentity;
use careful_tls::server::{Connection, Deadlines, Drained, Event, Limits, TlsServer, network};
use careful_tls::stream::close;
use careful_tokens::clock::Clock;
use careful_tokens::keys::SigningKey;
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinError;
use tokio::time::sleep_until;
use tokio_util::bytes::BytesMut;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::frames::{FrameDeadlines, FrameError, Frames, parse};
use crate::protocol::{Name, Refusal, Request, Response};
use crate::service::{Answer, Service, ServiceError};
use crate::tls::{IdentityRefused, checked_config};

/// How long one client may take, phase by phase.
#[derive(Clone, Copy, Debug)]
pub struct ServerDeadlines {
    /// For the TLS handshake, and for a shutdown.
    pub connection: Deadlines,
    /// For the first frame to begin, after the handshake.
    pub first: Duration,
    /// For each frame after it.
    pub frames: FrameDeadlines,
    /// From the handshake until it has logged in, registered, or shown a token: whatever else it does.
    pub login: Duration,
    /// From the handshake to the end, for every client. A client connects again.
    pub age: Duration,
    /// For a request to be carried out.
    pub request: Duration,
    /// For the client to close, too.
    pub close: Duration,
}

// ANCHOR: deadlines
impl Default for ServerDeadlines {
    /// Those of [`Deadlines`]; 5 seconds for the first frame to begin, a minute for each after it; 10
    /// seconds for a frame to end, and for an answer to be read; 30 to log in, and for a request; an
    /// hour for the connection; 1 second to close.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connection: Deadlines::default(),
            first: seconds(5),
            frames: FrameDeadlines { idle: seconds(60), frame: seconds(10), write: seconds(10) },
            login: seconds(30),
            age: seconds(60 * 60),
            request: seconds(30),
            close: seconds(1),
        }
    }
}
// ANCHOR_END: deadlines

/// Connections of one account that are admitted.
const ADMITTED_OF_ACCOUNT: usize = 8;
/// Connections from one network that are admitted, for whatever accounts.
const ADMITTED_FROM_NETWORK: usize = 16;

// ANCHOR: admissions
/// Who has logged in keeps the connection, whatever strangers do: a limited number for each account
/// and network, and never all. What is over these limits is treated as a stranger's: the first to go
/// when others need a place.
struct Admissions {
    most: usize,
    of: Mutex<HashMap<Holder, usize>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Holder {
    Account(Name),
    Network(IpAddr),
    All,
}

impl Admissions {
    /// Of these places.
    fn new(limits: Limits) -> Self {
        let most = limits.connections.saturating_sub(limits.reserved);
        Self { most, of: Mutex::default() }
    }

    /// One more, until it is dropped; none if that were too many.
    fn enter(self: &Arc<Self>, account: &Name, peer: IpAddr) -> Option<Admitted> {
        let holders =
            [Holder::Account(account.clone()), Holder::Network(network(peer)), Holder::All];
        let limits = [ADMITTED_OF_ACCOUNT, ADMITTED_FROM_NETWORK, self.most];
        let mut of = self.lock();
        let has = |holder| of.get(holder).copied().unwrap_or(0);
        if holders.iter().zip(limits).any(|(holder, limit)| has(holder) >= limit) {
            return None;
        }
        for holder in &holders {
            *of.entry(holder.clone()).or_default() += 1;
        }
        Some(Admitted { holders, admissions: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Holder, usize>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
// ANCHOR_END: admissions

/// A connection that was admitted.
struct Admitted {
    holders: [Holder; 3],
    admissions: Arc<Admissions>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut of = self.admissions.lock();
        for holder in &self.holders {
            if let Some(count) = of.get_mut(holder) {
                *count -= 1;
                // Nothing is left of who is gone.
                if *count == 0 {
                    of.remove(holder);
                }
            }
        }
    }
}

/// A running server.
pub struct MailboxServer {
    tls: TlsServer,
    service: Arc<Service>,
    /// The certificates in use.
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl MailboxServer {
    /// Serves on this listener.
    ///
    /// # Errors
    /// The identity cannot be used (an [`IdentityRefused`] inside), or the listener has no address.
    pub fn start(
        listener: TcpListener,
        identity: ServerIdentity,
        service: Arc<Service>,
        limits: Limits,
        deadlines: ServerDeadlines,
    ) -> io::Result<Self> {
        let chain = Mutex::new(identity.chain.clone());
        let (config, leaf) = checked(identity, &service).map_err(io::Error::other)?;
        let counted = service.clone();
        let observe = move |event| {
            counted.counters().dropped.fetch_add(1, Ordering::Relaxed);
            match event {
                Event::Refused(peer, why) if counted.strangers_log().allows() => {
                    tracing::info!(%peer, why = %ErrorChain(&why), "no connection");
                }
                // Strangers who take all descriptors can cause it.
                Event::AcceptFailed(error) if counted.strangers_log().allows() => {
                    tracing::error!(%error, "accept");
                }
                Event::Refused(..) | Event::AcceptFailed(_) => {}
            }
        };
        let for_handler = service.clone();
        let admissions = Arc::new(Admissions::new(limits));
        let handler =
            move |connection| serve(connection, for_handler.clone(), admissions.clone(), deadlines);
        let tls =
            TlsServer::start(listener, config, limits, deadlines.connection, observe, handler)?;
        let server = Self { tls, service, chain };
        server.remember(&leaf);
        Ok(server)
    }

    /// Where clients connect.
    pub fn address(&self) -> std::net::SocketAddr {
        self.tls.address()
    }

    // ANCHOR: replace_identity
    /// Another certificate, from the next connection on. What is open stays open; sessions from before
    /// are not resumed. Returns what the new certificate says; `None` if it is the one that is in use.
    ///
    /// # Errors
    /// See [`IdentityRefused`]: then the old one stays.
    pub fn replace_identity(
        &self,
        identity: ServerIdentity,
    ) -> Result<Option<Leaf>, IdentityRefused> {
        let new = identity.chain.clone();
        // Also for the one in use, which may have expired.
        let (config, leaf) = checked(identity, &self.service)?;
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        if *chain == new {
            return Ok(None);
        }
        *chain = new;
        self.tls.replace_config(config);
        self.remember(&leaf);
        Ok(Some(leaf))
    }
    // ANCHOR_END: replace_identity

    fn remember(&self, leaf: &Leaf) {
        let expires = &self.service.counters().certificate_expires;
        expires.store(leaf.not_after, Ordering::Relaxed);
    }

    /// Other signing keys, the newest last. Whether they are others than those in use.
    ///
    /// # Errors
    /// They cannot be used: then the old ones stay.
    pub fn replace_keys(&self, keys: Vec<SigningKey>) -> Result<bool, ServiceError> {
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

/// For the service's name, and now: by the clock of clients' certificate checks, which is the system's.
fn checked(
    identity: ServerIdentity,
    service: &Service,
) -> Result<(Arc<rustls::ServerConfig>, Leaf), IdentityRefused> {
    checked_config(identity, service.name(), Clock::system().now())
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
async fn serve(
    connection: Connection,
    service: Arc<Service>,
    admissions: Arc<Admissions>,
    deadlines: ServerDeadlines,
) {
    let admission = connection.admission();
    let Connection { stream, peer, stopping, .. } = connection;
    let counted = Counted::new(service);
    let service = &counted.0;
    let first = FrameDeadlines { idle: deadlines.first, ..deadlines.frames };
    let mut frames = Frames::new(stream, first);
    let mut ids = RequestIds::new();
    let began = tokio::time::Instant::now();
    let (mut proved, mut admitted) = (false, None);
    let mut life = pin!(sleep_until(began + deadlines.login));
    loop {
        let frame = tokio::select! {
            frame = next_unless_stopped(&mut frames, &stopping) => frame.map_err(Ended::Frame),
            () = &mut life => Err(if proved { Ended::Old } else { Ended::NoLogin }),
        };
        frames.set_deadlines(deadlines.frames);
        let frame = match frame {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(why) => {
                if matches!(why, Ended::Frame(FrameError::TooLong)) {
                    // It sent no whole request: it is told so, once, and the connection ends.
                    let answer = refused(Refusal::BadRequest, &ids.next());
                    let _told = frames.send(&answer).await;
                }
                drop_client(service, peer, &why);
                break;
            }
        };
        let answer = answer_frame(service, peer.ip(), &frame, ids.next(), deadlines.request).await;
        if answer.proved && !proved {
            proved = true;
            life.as_mut().reset(began + deadlines.age);
            admitted = answer.account.and_then(|name| admissions.enter(&name, peer.ip()));
            if admitted.is_some() {
                admission.admit();
            }
        }
        if let Err(error) = frames.send(&answer.response).await {
            drop_client(service, peer, &Ended::Frame(error));
            break;
        }
        // What was not a request is the last one.
        if matches!(answer.response, Response::Refused { because: Refusal::BadRequest, .. }) {
            break;
        }
    }
    // In time or not: the client has had its answers.
    let _closed = close(&mut frames.into_stream(), deadlines.close).await;
    drop(admitted);
}
// ANCHOR_END: serve

// ANCHOR: next_unless_stopped
/// The next frame; none if the client has closed, or the server stops. A frame that has come as a whole comes first:
/// it is answered even then.
async fn next_unless_stopped<S: AsyncRead + AsyncWrite + Unpin>(
    frames: &mut Frames<S>,
    stopping: &CancellationToken,
) -> Result<Option<BytesMut>, FrameError> {
    tokio::select! {
        biased;
        frame = frames.next() => frame,
        () = stopping.cancelled() => Ok(None),
    }
}
// ANCHOR_END: next_unless_stopped

/// Why the server ends a connection.
#[derive(Debug, Error)]
enum Ended {
    #[error(transparent)]
    Frame(FrameError),
    #[error("expected a login in time, but there was none")]
    NoLogin,
    #[error("the connection has reached its greatest age")]
    Old,
}

fn drop_client(service: &Service, peer: std::net::SocketAddr, why: &Ended) {
    service.counters().dropped.fetch_add(1, Ordering::Relaxed);
    if service.strangers_log().allows() {
        tracing::info!(%peer, why = %ErrorChain(why), "connection ended");
    }
}

fn refused(because: Refusal, id: &str) -> Response {
    Response::Refused { because, request: id.to_owned() }
}

/// The answer to one frame.
async fn answer_frame(
    service: &Service,
    peer: std::net::IpAddr,
    frame: &[u8],
    id: String,
    deadline: Duration,
) -> Answer {
    let span = tracing::info_span!("request", id, %peer);
    let no_answer = |because, why| {
        let response = refused(because, &id);
        Answer { response, why: Some(why), account: None, proved: false }
    };
    async {
        let started = Instant::now();
        let Ok(request) = parse::<Request>(frame) else {
            if service.strangers_log().allows() {
                tracing::info!(bytes = frame.len(), "not a request");
            }
            return no_answer(Refusal::BadRequest, "not a request");
        };
        let name = request.name();
        let answer = service.answer(peer, request, &id);
        let answered = tokio::time::timeout(deadline, answer).await;
        let answer = answered.unwrap_or_else(|_elapsed| {
            no_answer(Refusal::Unavailable, "the request took too long")
        });
        let micros = started.elapsed().as_micros() as u64;
        let account = answer.account.as_ref().map(|name| name.as_str());
        match answer.why {
            // Anybody may ask that as often as they like.
            None if name == "ping" => tracing::debug!(request = name, micros, "answered"),
            None if service.accounts_log().allows() => {
                tracing::info!(request = name, account, micros, "answered");
            }
            Some(why) if service.strangers_log().allows() => {
                tracing::info!(request = name, account, micros, why, "refused");
            }
            _over_the_budget => {}
        }
        answer
    }
    .instrument(span)
    .await
}

/// By its id a client's error is found in the log. The ids of a connection begin with a random one: from numbers
/// that count for all, strangers could read how much the server has to do.
struct RequestIds(u64);

impl RequestIds {
    fn new() -> Self {
        let mut bytes = [0; 8];
        // Without random bytes no token is issued either. The ids of all connections are alike then.
        let _ = aws_lc_rs::rand::fill(&mut bytes);
        Self(u64::from_be_bytes(bytes))
    }

    fn next(&mut self) -> String {
        self.0 = self.0.wrapping_add(1);
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_whole_frame_comes_before_the_stop_and_half_of_one_does_not() {
        use tokio::io::AsyncWriteExt;
        let second = Duration::from_secs(1);
        let patience = FrameDeadlines { idle: second, frame: second, write: second };
        let stopping = CancellationToken::new();
        stopping.cancel();
        // If it were left to chance, one of a hundred would show it.
        for _ in 0..100 {
            let (mut client, server) = tokio::io::duplex(64);
            let mut frames = Frames::new(server, patience);
            client.write_all(&[0, 0, 0, 2, b'{', b'}', 0, 0]).await.expect("there is room");
            let frame = next_unless_stopped(&mut frames, &stopping).await.expect("a frame");
            assert_eq!(frame.as_deref(), Some(&b"{}"[..]));
            let half = next_unless_stopped(&mut frames, &stopping).await.expect("an end");
            assert!(half.is_none());
        }
    }

    #[test]
    fn admitted_connections_are_limited_by_account_by_network_and_in_all() {
        let admissions =
            Arc::new(Admissions::new(Limits { connections: 40, per_address: 40, reserved: 10 }));
        let enter = |account: &str, last: u8| {
            admissions.enter(&Name::new(account).expect("a name"), [127, 0, 0, last].into())
        };
        let alice: Vec<_> = (0..20).map_while(|last| enter("alice", last)).collect();
        assert_eq!(alice.len(), ADMITTED_OF_ACCOUNT, "of one account, from wherever");
        let office: Vec<_> = ["a", "b", "c", "d"]
            .iter()
            .flat_map(|name| (0..6).map_while(|_| enter(name, 100)))
            .collect();
        assert_eq!(office.len(), ADMITTED_FROM_NETWORK, "of one network, for whatever account");
        let others: Vec<_> =
            (200..220).map_while(|last| enter(&format!("x{last}"), last)).collect();
        assert_eq!(alice.len() + office.len() + others.len(), 30, "in all");
        drop((alice, office, others));
        assert!(admissions.lock().is_empty(), "nothing is left of who is gone");
    }

    #[test]
    fn the_ids_of_a_connection_are_counted_from_a_random_one() {
        let firsts = (0..100).map(|_| RequestIds::new().next());
        let firsts = firsts.collect::<std::collections::BTreeSet<String>>();
        assert_eq!(firsts.len(), 100);
        assert!(firsts.iter().all(|id| id.len() == 16));
        let mut ids = RequestIds(u64::MAX - 1);
        assert_eq!([ids.next(), ids.next()], ["ffffffffffffffff", "0000000000000000"]);
    }
}
