//! Tickets: what a resumed handshake leaves out, and why early data stays off.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustls::pki_types::ServerName;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache};
use rustls::{ClientConfig, HandshakeKind};
use shared::wiretap::replay;
use shared::{LabCa, Transcript, Wiretap};
use tls_sockets::lab::careless::NeverForgets;
use tls_sockets::lab::early_data::{ORDER, PayServer, first_flight};
use tls_sockets::lab::handshake::{Negotiated, shake_hands_at};
use tls_sockets::lab::{ONLY_1_3, SERVER, client, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

const PATIENCE: Duration = Duration::from_secs(5);

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let ca = LabCa::with_ed25519("Course Lab")?;
    let leaf = ca.leaf(SERVER).issue()?;

    // ANCHOR: resume
    t.step("The same client connects twice. The first time, the server gave it tickets.");
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let tap = Wiretap::listening_to(listener.local_addr()?).await?;
    let (ours, theirs) =
        (Arc::new(server(&leaf, ONLY_1_3)?), Arc::new(client(ca.roots(), ONLY_1_3)?));
    for _ in 0..2 {
        let handshake = shake_hands_at(&listener, tap.address(), &ours, &theirs, SERVER).await?;
        let agreed = t.works("connected", handshake.client)?;
        t.shows("handshake", format!("{:?}", agreed.kind.context("a handshake")?));
    }
    // ANCHOR_END: resume
    let wire = tap.recording();
    let sizes: Vec<usize> = wire.connections.iter().map(|c| c.to_client.len()).collect();
    t.shows("server sent", format!("{} bytes, then {} bytes", sizes[0], sizes[1]));
    ensure!(sizes[1] < sizes[0], "a resumed handshake sends less");
    t.note(
        "The second handshake has no certificate and no signature. Both sides prove that they \
         know the ticket's key.",
    );

    t.step("The same client, and a server that keeps no sessions and sends no tickets.");
    let mut forgetful = server(&leaf, ONLY_1_3)?;
    forgetful.session_storage = Arc::new(NoServerSessionStorage {});
    forgetful.send_tls13_tickets = 0;
    let forgetful = Arc::new(forgetful);
    let theirs = Arc::new(client(ca.roots(), ONLY_1_3)?);
    for _ in 0..2 {
        let handshake =
            shake_hands_at(&listener, tap.address(), &forgetful, &theirs, SERVER).await?;
        t.must_show("handshake", &format!("{:?}", handshake.client?.kind.context("one")?), "Full")?;
    }

    // ANCHOR: replay
    t.step(
        "Careless early data. The server accepts it, and its store accepts the same ticket again \
         and again.",
    );
    let mut careless = server(&leaf, ONLY_1_3)?;
    careless.max_early_data_size = 1024;
    careless.session_storage = NeverForgets::shared();
    let mut bank = PayServer::start(careless).await?;
    let (first_flight, _) = order_in_early_data(&ca, &mut bank).await?;
    t.shows("paid", format!("{} times, by Alice", bank.paid()));
    for _ in 0..2 {
        replay(bank.address(), &first_flight, PATIENCE).await?;
        let _ended = bank.outcome().await;
    }
    t.shows("paid", format!("{} times, after two replays", bank.paid()));
    t.attack_works(
        "Mallory, who recorded Alice's order, had it paid twice more",
        bank.paid() == 4,
    )?;
    // ANCHOR_END: replay

    t.step(
        "A store that accepts each ticket once. The server doesn't even look at the replayed \
         order.",
    );
    let mut once = server(&leaf, ONLY_1_3)?;
    once.max_early_data_size = 1024;
    once.session_storage = ServerSessionMemoryCache::new(256);
    let mut bank = PayServer::start(once).await?;
    let (first_flight, _) = order_in_early_data(&ca, &mut bank).await?;
    replay(bank.address(), &first_flight, PATIENCE).await?;
    let _ended = bank.outcome().await;
    t.must_show("paid", &format!("{} times, by Alice", bank.paid()), "2 times")?;

    t.step(
        "The default, no early data at all. A client that asks for it sends its order after the \
         handshake.",
    );
    let mut bank = PayServer::start(server(&leaf, ONLY_1_3)?).await?;
    ensure!(server(&leaf, ONLY_1_3)?.max_early_data_size == 0, "rustls's default");
    let (_, all_of_it) = order_in_early_data(&ca, &mut bank).await?;
    let before = bank.paid();
    replay(bank.address(), &all_of_it, PATIENCE).await?;
    t.refused("the replay", bank.outcome().await, "cannot decrypt peer's message")?;
    t.must_show("paid", &format!("{} times, by Alice", bank.paid()), "2 times")?;
    ensure!(before == bank.paid(), "a replay pays nothing");
    Ok(())
}

// ANCHOR: early
/// Alice pays once to get a ticket, and a second time in early data, if the server takes it.
/// Returns the first flight of her second connection, and all that she sent on it, as a tap
/// recorded it.
async fn order_in_early_data(
    ca: &LabCa,
    bank: &mut PayServer,
) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let tap = Wiretap::listening_to(bank.address()).await?;
    let mut config = client(ca.roots(), ONLY_1_3)?;
    config.enable_early_data = true;
    let config = Arc::new(config);
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        pay(&config, tap.address()).await?;
        let Negotiated { kind, .. } = bank.outcome().await?;
        ensure!(kind == Some(expected), "expected {expected:?}, came {kind:?}");
    }
    let recording = tap.recording();
    let second = recording.connections.get(1).context("two connections")?;
    Ok((first_flight(&second.to_server).to_vec(), second.to_server.clone()))
}

async fn pay(config: &Arc<ClientConfig>, address: std::net::SocketAddr) -> anyhow::Result<()> {
    let connector = TlsConnector::from(config.clone()).early_data(true);
    let tcp = TcpStream::connect(address).await?;
    let mut stream = connector.connect(ServerName::try_from(SERVER)?, tcp).await?;
    stream.write_all(ORDER).await?;
    stream.flush().await?;
    stream.read_to_end(&mut Vec::new()).await?;
    stream.shutdown().await?;
    Ok(())
}
// ANCHOR_END: early
