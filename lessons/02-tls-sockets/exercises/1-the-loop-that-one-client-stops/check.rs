//! Clients that say nothing, little, or the wrong thing, and honest ones behind them.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use peers::Peer;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, server::TlsStream};
use trial::Trial;

use crate::{ca, client, server, text};

#[cfg(test)]
#[path = "naive.rs"]
mod naive;
#[cfg(test)]
#[path = "solution.rs"]
mod solution;
#[cfg(test)]
#[path = "stub.rs"]
mod stub;

/// How many, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Clients that are served at the same time, handshakes included.
    pub at_once: usize,
    /// For a handshake, from its first byte to its last.
    pub handshake: Duration,
}

/// Those of the trial. Its own patience is many times longer.
const LIMITS: Limits = Limits { at_once: 8, handshake: Duration::from_millis(250) };
/// How long an honest client waits among honest ones.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an honest client waits behind others.
const BEHIND: Duration = Duration::from_secs(2);
/// When a client that isn't honest has to be gone.
const GONE: Duration = Duration::from_millis(1500);

/// Speaks with a client after the handshake. Clones are the same clerk.
#[derive(Clone, Default)]
pub struct Clerk(Arc<Counters>);

#[derive(Default)]
struct Counters {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Clerk {
    /// Reads a line, answers it and says goodbye. It takes a second at most.
    pub async fn answer(&self, mut stream: TlsStream<TcpStream>) {
        let now = self.0.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(now, Ordering::SeqCst);
        let work = async {
            let mut line = [0; 64];
            let length = stream.read(&mut line).await?;
            // So that those who come together are here together.
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.write_all(&line[..length]).await?;
            stream.shutdown().await
        };
        // A client that has left is no reason to do anything.
        let _ = timeout(Duration::from_secs(1), work).await;
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What the learner writes.
pub trait Server: 'static {
    /// Serves clients until it is dropped.
    fn serve(
        listener: TcpListener,
        acceptor: TlsAcceptor,
        clerk: Clerk,
        limits: Limits,
    ) -> impl Future<Output = ()> + Send;
}

/// The learner's server, running.
struct Running {
    address: SocketAddr,
    clerk: Clerk,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn started<S: Server>() -> Result<Running, String> {
    started_with::<S>(LIMITS).await
}

async fn started_with<S: Server>(limits: Limits) -> Result<Running, String> {
    let config = server(&ca().leaf("bank.test").issue().map_err(text)?)?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(text)?;
    let (address, clerk) = (listener.local_addr().map_err(text)?, Clerk::default());
    let serve = S::serve(listener, TlsAcceptor::from(Arc::new(config)), clerk.clone(), limits);
    Ok(Running { address, clerk, task: tokio::spawn(serve).abort_handle() })
}

/// An honest client: it says hello, and is answered.
async fn hello(address: SocketAddr) -> Result<(), String> {
    hello_after(address, async {}, PATIENCE).await
}

/// An honest client that has something to do after the handshake.
async fn hello_after(
    address: SocketAddr,
    first: impl Future<Output = ()>,
    patience: Duration,
) -> Result<(), String> {
    let work = async {
        let tcp = TcpStream::connect(address).await.map_err(text)?;
        let name = ServerName::try_from("bank.test").map_err(text)?;
        let mut stream = TlsConnector::from(client()?).connect(name, tcp).await.map_err(text)?;
        first.await;
        stream.write_all(b"hello").await.map_err(text)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.map_err(text)?;
        match answer == b"hello" {
            true => Ok(()),
            false => Err(format!("expected \"hello\", got \"{}\"", answer.escape_ascii())),
        }
    };
    let seconds = patience.as_secs();
    timeout(patience, work)
        .await
        .unwrap_or_else(|_| Err(format!("not answered in {seconds} seconds")))
}

/// What an honest client behind these says.
async fn behind(running: &Running, what: &str) -> Option<String> {
    let said = hello_after(running.address, async {}, BEHIND).await.err()?;
    Some(format!("An honest client behind {what}: {said}."))
}

/// Whether the server lets go of this client: it closes, or ends the connection.
async fn let_go(stream: &mut TcpStream) -> Option<String> {
    let mut rest = [0; 1024];
    let ended = async { while stream.read(&mut rest).await.is_ok_and(|length| length > 0) {} };
    let seconds = GONE.as_secs_f32();
    match timeout(GONE, ended).await {
        Ok(()) => None,
        Err(_elapsed) => Some(format!("After {seconds} seconds it still holds its task.")),
    }
}

fn fails(error: impl std::fmt::Display) -> Option<String> {
    Some(format!("It can't be tried: {error}."))
}

/// How many of sixty-four clients, who send their hello and no more, are answered before the first of them is let go.
async fn begun_at_once<S: Server>() -> Result<usize, String> {
    let running = started::<S>().await?;
    let name = ServerName::try_from("bank.test").map_err(text)?;
    let mut client = rustls::ClientConnection::new(client()?, name).map_err(text)?;
    let mut hello = Vec::new();
    client.write_tls(&mut hello).map_err(text)?;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..64 {
        let (hello, answered, address) = (hello.clone(), answered.clone(), running.address);
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(&hello).await?;
            let mut bytes = [0; 4096];
            if stream.read(&mut bytes).await? > 0 {
                answered.fetch_add(1, Ordering::SeqCst);
            }
            while stream.read(&mut bytes).await? > 0 {}
            Ok::<_, std::io::Error>(())
        });
    }
    // However it ends: closed, or reset.
    let _ = timeout(GONE, clients.join_next()).await;
    Ok(answered.load(Ordering::SeqCst))
}

/// The trial.
pub async fn check<S: Server>(trial: &mut Trial) {
    trial
        .honest("three clients, one after the other", async {
            let running = started::<S>().await?;
            for _ in 0..3 {
                hello(running.address).await?;
            }
            Ok(())
        })
        .await;
    if let Some(openssl) = Peer::openssl() {
        trial.honest("OpenSSL's client", foreign::<S>(openssl)).await;
    }
    trial
        .honest("twenty clients at once, although there is room for eight", async {
            // Their handshakes share the machine, so none of them has to be quick.
            let running = started_with::<S>(Limits { handshake: PATIENCE, ..LIMITS }).await?;
            let mut clients = JoinSet::new();
            for _ in 0..20 {
                clients.spawn(hello(running.address));
            }
            clients.join_all().await.into_iter().collect::<Result<(), _>>()
        })
        .await;
    trial
        .honest("a client that thinks longer than a handshake may take", async {
            let running = started::<S>().await?;
            let thinking = tokio::time::sleep(LIMITS.handshake + LIMITS.handshake / 2);
            hello_after(running.address, thinking, PATIENCE).await
        })
        .await;
    trial
        .attack("a client that says nothing", "What does the loop wait for?", async {
            let running = match started::<S>().await {
                Ok(running) => running,
                Err(error) => return fails(error),
            };
            let Ok(_silent) = TcpStream::connect(running.address).await else { return None };
            behind(&running, "it").await
        })
        .await;
    trial
        .attack(
            "plain HTTP, and a client that leaves in the middle",
            "Which errors end the loop?",
            async {
                let running = match started::<S>().await {
                    Ok(running) => running,
                    Err(error) => return fails(error),
                };
                for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1]] {
                    let mut client = TcpStream::connect(running.address).await.ok()?;
                    client.write_all(bytes).await.ok()?;
                }
                behind(&running, "them").await
            },
        )
        .await;
    trial
        .attack("seven silent clients, each for its whole deadline", "Who waits for whom?", async {
            let limits = Limits { handshake: Duration::from_millis(500), ..LIMITS };
            let running = match started_with::<S>(limits).await {
                Ok(running) => running,
                Err(error) => return fails(error),
            };
            let mut silent = Vec::new();
            for _ in 1..limits.at_once {
                silent.push(TcpStream::connect(running.address).await.ok()?);
            }
            behind(&running, "them").await
        })
        .await;
    trial
        .attack(
            "more clients that fail than there are places, and then an honest one",
            "What becomes of the place of a client that fails?",
            async {
                let running = match started::<S>().await {
                    Ok(running) => running,
                    Err(error) => return fails(error),
                };
                for _ in 0..2 * LIMITS.at_once {
                    let mut client = TcpStream::connect(running.address).await.ok()?;
                    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.ok()?;
                    let mut rest = [0; 1024];
                    let ended = async {
                        while client.read(&mut rest).await.is_ok_and(|length| length > 0) {}
                    };
                    // Who isn't let go waits for a place that doesn't come.
                    if timeout(GONE, ended).await.is_err() {
                        break;
                    }
                }
                behind(&running, "them").await
            },
        )
        .await;
    trial
        .attack("a silent client, for as long as it likes", "Who ends its task?", async {
            let running = match started::<S>().await {
                Ok(running) => running,
                Err(error) => return fails(error),
            };
            let mut silent = TcpStream::connect(running.address).await.ok()?;
            let_go(&mut silent).await
        })
        .await;
    trial
        .attack(
            "a client that sends a byte now and then",
            "From when does the deadline count?",
            async {
                let running = match started::<S>().await {
                    Ok(running) => running,
                    Err(error) => return fails(error),
                };
                let slow = TcpStream::connect(running.address).await.ok()?;
                let (mut reading, mut writing) = slow.into_split();
                let drip = tokio::spawn(async move {
                    // The beginning of a long record.
                    for byte in [0x16, 3, 1, 0x3f, 0xff].into_iter().chain(std::iter::repeat(1)) {
                        if writing.write_all(&[byte]).await.is_err() {
                            break;
                        }
                        tokio::time::sleep(LIMITS.handshake / 5).await;
                    }
                });
                let mut rest = [0; 1024];
                let ended =
                    async { while reading.read(&mut rest).await.is_ok_and(|length| length > 0) {} };
                let held = timeout(GONE, ended).await.is_err();
                drip.abort();
                held.then(|| {
                    format!("After {} seconds it still holds its task.", GONE.as_secs_f32())
                })
            },
        )
        .await;
    trial
        .attack(
            "eight clients, and each waits until all eight have shaken hands",
            "Which of them may speak with the clerk at the same time?",
            async {
                let running = match started::<S>().await {
                    Ok(running) => running,
                    Err(error) => return fails(error),
                };
                let all_here = Arc::new(Barrier::new(LIMITS.at_once));
                let mut clients = JoinSet::new();
                for _ in 0..LIMITS.at_once {
                    let (address, all_here) = (running.address, all_here.clone());
                    let wait = async move {
                        all_here.wait().await;
                    };
                    clients.spawn(hello_after(address, wait, BEHIND));
                }
                let said = clients.join_all().await.into_iter().find_map(Result::err)?;
                Some(format!("They wait for each other, and one of them was {said}."))
            },
        )
        .await;
    trial
        .attack("clients that begin a handshake, and stop", "What is a place needed for?", async {
            match begun_at_once::<S>().await {
                Ok(most) if most > 2 * LIMITS.at_once => Some(format!(
                    "{most} handshakes were under way before the first was given up; there was room for {}.",
                    LIMITS.at_once
                )),
                Ok(_few) => None,
                Err(error) => fails(error),
            }
        })
        .await;
    trial
        .attack("forty clients that come together", "How many tasks are there?", async {
            let running = match started::<S>().await {
                Ok(running) => running,
                Err(error) => return fails(error),
            };
            let mut clients = JoinSet::new();
            for _ in 0..40 {
                clients.spawn(hello(running.address));
            }
            clients.join_all().await;
            let most = running.clerk.0.most.load(Ordering::SeqCst);
            let room = LIMITS.at_once;
            (most > room)
                .then(|| format!("{most} of them were served at once; there was room for {room}."))
        })
        .await;
}

/// A foreign peer says hello.
async fn foreign<S: Server>(openssl: Peer) -> Result<(), String> {
    let running = started::<S>().await?;
    let folder = tempfile::tempdir().map_err(text)?;
    let root = folder.path().join("ca.pem");
    std::fs::write(&root, ca().root_pem()).map_err(text)?;
    let address = running.address.to_string();
    let asked = tokio::task::spawn_blocking(move || {
        let root = root.display().to_string();
        let server =
            ["s_client", "-connect", &address, "-servername", "bank.test", "-CAfile", &root];
        let how = ["-verify_return_error", "-verify_hostname", "bank.test", "-quiet", "-ign_eof"];
        openssl.run_with_input([&server[..], &how[..]].concat(), "hello")
    });
    let said = asked.await.map_err(text)?.said;
    match said.contains("hello") {
        true => Ok(()),
        false => {
            Err(format!("expected to be answered, and it says \"{}\"", said.trim().escape_debug()))
        }
    }
}

#[cfg(test)]
mod proof {
    use tokio::sync::{OwnedSemaphorePermit, Semaphore};

    use super::*;

    #[test]
    fn the_solution_fails_nothing() {
        assert_eq!(trial::failures(async |trial| check::<solution::Yours>(trial).await), [""; 0]);
    }

    #[test]
    fn the_naive_answer_lets_nobody_go_and_everybody_in() {
        let failed = trial::failures(async |trial| check::<naive::Yours>(trial).await);
        assert_eq!(
            failed,
            [
                "a silent client, for as long as it likes",
                "a client that sends a byte now and then",
                "clients that begin a handshake, and stop",
                "forty clients that come together",
            ]
        );
    }

    #[test]
    fn the_stub_is_stopped_by_one_client() {
        let failed = trial::failures(async |trial| check::<stub::Yours>(trial).await);
        assert_eq!(
            failed,
            [
                "a client that says nothing",
                "seven silent clients, each for its whole deadline",
                "a silent client, for as long as it likes",
                "a client that sends a byte now and then",
                "eight clients, and each waits until all eight have shaken hands",
            ]
        );
    }

    /// The stub with a deadline, and nothing else.
    struct OneAfterTheOther;

    impl Server for OneAfterTheOther {
        async fn serve(listener: TcpListener, acceptor: TlsAcceptor, clerk: Clerk, limits: Limits) {
            while let Ok((tcp, _peer)) = listener.accept().await {
                if let Ok(Ok(stream)) = timeout(limits.handshake, acceptor.accept(tcp)).await {
                    clerk.answer(stream).await;
                }
            }
        }
    }

    /// Tasks for the answers, and handshakes in the loop.
    struct HandshakesInTheLoop;

    impl Server for HandshakesInTheLoop {
        async fn serve(listener: TcpListener, acceptor: TlsAcceptor, clerk: Clerk, limits: Limits) {
            let places = Arc::new(Semaphore::new(limits.at_once));
            while let Ok(place) = places.clone().acquire_owned().await {
                let Ok((tcp, _peer)) = listener.accept().await else { continue };
                let shaken = timeout(limits.handshake, acceptor.accept(tcp)).await;
                let clerk = clerk.clone();
                tokio::spawn(async move {
                    if let Ok(Ok(stream)) = shaken {
                        clerk.answer(stream).await;
                    }
                    drop(place);
                });
            }
        }
    }

    /// Serves each client in a task of its own, with a place.
    async fn in_tasks<F: Future<Output = ()> + Send + 'static>(
        listener: TcpListener,
        limits: Limits,
        serve: impl Fn(TcpStream, OwnedSemaphorePermit) -> F,
    ) {
        let places = Arc::new(Semaphore::new(limits.at_once));
        while let Ok(place) = places.clone().acquire_owned().await {
            let Ok((tcp, _peer)) = listener.accept().await else { continue };
            tokio::spawn(serve(tcp, place));
        }
    }

    /// A place is given back by those alone who were served.
    struct LostPlaces;

    impl Server for LostPlaces {
        async fn serve(listener: TcpListener, acceptor: TlsAcceptor, clerk: Clerk, limits: Limits) {
            in_tasks(listener, limits, |tcp, place| {
                let (shaken, clerk) = (acceptor.accept(tcp), clerk.clone());
                async move {
                    match timeout(limits.handshake, shaken).await {
                        Ok(Ok(stream)) => clerk.answer(stream).await,
                        _ => place.forget(),
                    }
                }
            })
            .await;
        }
    }

    /// One deadline for the handshake and the answer.
    struct OneDeadline;

    impl Server for OneDeadline {
        async fn serve(listener: TcpListener, acceptor: TlsAcceptor, clerk: Clerk, limits: Limits) {
            in_tasks(listener, limits, |tcp, place| {
                let (shaken, clerk) = (acceptor.accept(tcp), clerk.clone());
                async move {
                    let _place = place;
                    let served = async {
                        clerk.answer(shaken.await.ok()?).await;
                        Some(())
                    };
                    let _late = timeout(limits.handshake, served).await;
                }
            })
            .await;
        }
    }

    /// Each waits for deadlines, so they run together.
    #[test]
    fn what_only_looks_fixed_is_noticed() {
        const IN_TURN: &str = "seven silent clients, each for its whole deadline";
        const ALL_EIGHT: &str = "eight clients, and each waits until all eight have shaken hands";
        const LOST: &str = "more clients that fail than there are places, and then an honest one";
        const THINKS: &str = "a client that thinks longer than a handshake may take";
        fn fails_exactly<S: Server>(expected: &[&str]) {
            let failed = trial::failures(async |trial| check::<S>(trial).await);
            assert_eq!(failed, expected, "{}", std::any::type_name::<S>());
        }
        std::thread::scope(|scope| {
            scope.spawn(|| fails_exactly::<OneAfterTheOther>(&[IN_TURN, ALL_EIGHT]));
            scope.spawn(|| fails_exactly::<HandshakesInTheLoop>(&[IN_TURN]));
            scope.spawn(|| fails_exactly::<LostPlaces>(&[LOST]));
            scope.spawn(|| fails_exactly::<OneDeadline>(&[THINKS]));
        });
    }
}
