//! `just bench 6`: the take-home service next to bare hyper with the same router and the same
//! TLS set-up.
//!
//! Full handshakes with a certificate on both sides, and requests over kept connections of
//! HTTP/1.1. The two take turns within one run, round by round, so that what else the machine
//! does meets both; the ratio is of the medians. Clients and servers share the machine, so the
//! figures are those of both together. Loopback only; about a minute.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use careful_services::caller::Caller;
use careful_services::identity::ServiceId;
use careful_services::revoked::Revoked;
use careful_services::rules::{Rules, require};
use careful_services::serve::{Deadlines, Limits, Service};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::{ClientConfig, ServerConfig};
use services::lab::client::{Connection, with};
use services::lab::pki::{credentials, list, trust};
use services::lab::service::config;
use services::lab::{CHECKOUT, LEDGER, LEDGER_NAME};
use shared::LabCa;
use snapshots::measure::{in_turns, per_second};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(400);
const CLIENTS: usize = 8;

/// `/up` asks for nobody; `/charge` is for the checkout at the take-home service, and for
/// everybody at the bare one.
fn router(checked: bool) -> anyhow::Result<Router> {
    let charge = match checked {
        false => get(async || "charged"),
        true => {
            let rules = Rules::new().allow("charge", [CHECKOUT])?;
            let charge = get(async |Caller(_): Caller| "charged");
            charge.route_layer(from_fn_with_state(rules.to("charge")?, require))
        }
    };
    Ok(Router::new().route("/up", get(async || "up")).route("/charge", charge))
}

/// What a server must have: accept, handshake, hyper. No limit, no deadline, no identity.
async fn bare(listener: TcpListener, config: Arc<ServerConfig>, router: Router) {
    let acceptor = TlsAcceptor::from(config);
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            if tcp.set_nodelay(true).is_ok()
                && let Ok(stream) = acceptor.accept(tcp).await
            {
                let service = TowerToHyperService::new(router);
                let builder = Builder::new(TokioExecutor::new());
                // How it ends is the client's business.
                let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
            }
        });
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Work {
    Handshakes,
    Requests(&'static str),
}

/// What `CLIENTS` clients get done in one round, per second.
async fn round(work: Work, config: &ClientConfig, address: SocketAddr) -> anyhow::Result<f64> {
    let mut ready = Vec::new();
    for _ in 0..CLIENTS {
        let mut config = config.clone();
        config.resumption = rustls::client::Resumption::disabled();
        let config = Arc::new(config);
        let mut connection = Connection::open(config.clone(), address).await?;
        connection.get("/up").await?;
        ready.push((config, connection));
    }
    let mut clients = JoinSet::new();
    let started = Instant::now();
    for (config, mut connection) in ready {
        clients.spawn(async move {
            let mut done = 0_u32;
            while started.elapsed() < ROUND {
                match work {
                    Work::Handshakes => {
                        connection = Connection::open(config.clone(), address).await?;
                        anyhow::ensure!(!connection.resumed, "a full handshake");
                        connection.get("/up").await?;
                    }
                    Work::Requests(path) => drop(connection.get(path).await?),
                }
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
    let own = credentials(&ca.leaf(LEDGER).also_for(LEDGER_NAME).issue()?);
    let checkout = ca.leaf(CHECKOUT).for_clients().issue()?;
    let client = with(&credentials(&checkout), &trust(&ca))?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let bare_address = listener.local_addr()?;
    let bare = tokio::spawn(bare(listener, config(&own, &trust(&ca))?, router(false)?));
    let mut limits = Limits::default();
    limits.connections.per_address = 1024;
    let ours = Service::start(
        TcpListener::bind(("127.0.0.1", 0)).await?,
        config(&own, &trust(&ca))?,
        router(true)?,
        Revoked::new(),
        (limits, Deadlines::default()),
        |_event| {},
    )?;

    println!("per second, median of {ROUNDS} rounds, {CLIENTS} clients, loopback");
    println!("                                bare  take-home  ratio");
    for (work, name) in [
        (Work::Handshakes, "mutual handshakes, one request"),
        (Work::Requests("/up"), "requests"),
        (Work::Requests("/charge"), "requests, with an identity"),
    ] {
        let addresses = [bare_address, ours.address()];
        let measure = async |way: usize| round(work, &client, addresses[way]).await;
        let [theirs, mine] = in_turns(ROUNDS, measure).await?;
        println!("{name:30} {theirs:5.0} {mine:10.0}   {:.2}", mine / theirs);
    }
    ours.shut_down().await?;
    bare.abort();

    let leaf = checkout.leaf_der();
    let id: ServiceId = CHECKOUT.parse()?;
    let rules = Rules::new().allow("charge", [CHECKOUT])?;
    let many = (0..1000).map(|_| ca.leaf(CHECKOUT).issue()).collect::<Result<Vec<_>, _>>()?;
    let revoked = Revoked::new();
    revoked.replace([&list(&ca, &many.iter().collect::<Vec<_>>())?])?;
    let (issuer, serial) = ([7; 60], [8; 20]);
    let looks = per_second([
        &mut || drop(black_box(ServiceId::of_certificate(black_box(&leaf)))),
        &mut || _ = black_box(rules.allows(black_box("charge"), black_box(&id))),
        &mut || _ = black_box(revoked.contains(black_box(&issuer), black_box(&serial))),
    ]);
    let [parsed, allowed, looked] = looks.map(|per_second| 1e9 / per_second);
    println!();
    println!("reading the identity, once a connection    {parsed:6.0} ns");
    println!("a look into the rules, each request        {allowed:6.0} ns");
    println!("a look at 1000 revoked, each request       {looked:6.0} ns");
    Ok(())
}
