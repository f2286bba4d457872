//! `just bench 2`: the take-home server next to a bare tokio-rustls echo with the same TLS set-up.
//!
//! Full handshakes, resumed handshakes, and round trips of 64 bytes over kept connections. The two
//! take turns within one run, round by round, so that what else the machine does meets both; the
//! ratio is of the medians. Clients and server share the machine, so the figures are those of both
//! together. Loopback only; about a minute.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use careful_tls::config::{client_config, server_config};
use careful_tls::identity::ServerIdentity;
use careful_tls::server::{Connection, Deadlines, Limits, TlsServer};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use shared::LabCa;
use snapshots::measure::in_turns;
use tls_sockets::lab::SERVER;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const PROTOCOL: &[u8] = b"bench/1";
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(400);
const CLIENTS: usize = 8;
const MESSAGE: usize = 64;

/// Answers each message with itself. The same for both servers.
async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut message = [0; MESSAGE];
    while stream.read_exact(&mut message).await.is_ok() {
        if stream.write_all(&message).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
    // The client has gone; nothing is lost if the goodbye does not reach it.
    let _ = stream.shutdown().await;
}

/// What a server must have: accept, handshake, echo. No limit, no deadline.
async fn bare(listener: TcpListener, config: Arc<ServerConfig>) {
    let acceptor = TlsAcceptor::from(config);
    while let Ok((tcp, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if tcp.set_nodelay(true).is_ok()
                && let Ok(stream) = acceptor.accept(tcp).await
            {
                echo(stream).await;
            }
        });
    }
}

async fn connect(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
) -> anyhow::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(SERVER)?;
    Ok(TlsConnector::from(config.clone()).connect(name, tcp).await?)
}

async fn round_trip(stream: &mut TlsStream<TcpStream>) -> anyhow::Result<()> {
    let mut message = [7; MESSAGE];
    stream.write_all(&message).await?;
    stream.flush().await?;
    stream.read_exact(&mut message).await?;
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Work {
    Full,
    Resumed,
    RoundTrips,
}

/// What `CLIENTS` clients get done in one round, per second.
async fn round(work: Work, ca: &LabCa, address: SocketAddr) -> anyhow::Result<f64> {
    let mut clients = JoinSet::new();
    let mut ready = Vec::new();
    for _ in 0..CLIENTS {
        let mut config = (*client_config(ca.roots(), PROTOCOL)?).clone();
        if work == Work::Full {
            config.resumption = rustls::client::Resumption::disabled();
        }
        let config = Arc::new(config);
        // One round trip before the clock starts: it brings the tickets, too.
        let mut stream = connect(&config, address).await?;
        round_trip(&mut stream).await?;
        ready.push((config, stream));
    }
    let started = Instant::now();
    for (config, mut stream) in ready {
        clients.spawn(async move {
            let mut done = 0_u32;
            while started.elapsed() < ROUND {
                if work != Work::RoundTrips {
                    stream = connect(&config, address).await?;
                    let kind = stream.get_ref().1.handshake_kind();
                    let full = kind == Some(HandshakeKind::Full);
                    anyhow::ensure!(full == (work == Work::Full), "a handshake of the other kind");
                }
                round_trip(&mut stream).await?;
                done += 1;
            }
            anyhow::Ok(done)
        });
    }
    let mut done = 0;
    while let Some(client) = clients.join_next().await {
        done += client??;
    }
    Ok(f64::from(done) / started.elapsed().as_secs_f64())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let ca = LabCa::new("Bench")?;
    let leaf = ca.leaf(SERVER).issue()?;
    let config =
        || server_config(ServerIdentity { chain: leaf.chain(), key: leaf.key() }, PROTOCOL);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let bare_address = listener.local_addr()?;
    let bare = tokio::spawn(bare(listener, config()?));
    let limits = Limits { per_address: 1024, ..Limits::default() };
    let ours = TlsServer::start(
        TcpListener::bind(("127.0.0.1", 0)).await?,
        config()?,
        limits,
        Deadlines::default(),
        |_event| {},
        |Connection { stream, .. }| echo(stream),
    )?;

    println!("per second, median of {ROUNDS} rounds, {CLIENTS} clients, loopback");
    println!("                      bare  take-home  ratio");
    for (work, name) in [
        (Work::Full, "full handshakes"),
        (Work::Resumed, "resumed handshakes"),
        (Work::RoundTrips, "round trips, 64 bytes"),
    ] {
        let addresses = [bare_address, ours.address()];
        let measure = async |way: usize| round(work, &ca, addresses[way]).await;
        let [theirs, mine] = in_turns(ROUNDS, measure).await?;
        println!("{name:21} {theirs:9.0} {mine:9.0}   {:.2}", mine / theirs);
    }
    ours.shut_down().await?;
    bare.abort();
    Ok(())
}
