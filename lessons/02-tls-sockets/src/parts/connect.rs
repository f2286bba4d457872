//! A server and a client of your own: what they agree on, and what the application must check.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use careful_lines::{LINE_DEADLINE, LONGEST_LINE, read_line};
use careful_tls::config::{client_config, require_protocol, server_config};
use careful_tls::identity::ServerIdentity;
use careful_tls::server::{Deadlines, Limits, TlsServer};
use careful_tls::stream::{close, connect};
use rustls::pki_types::ServerName;
use shared::{LabCa, Transcript};
use tls_sockets::lab::echo::{EchoDeadlines, PROTOCOL, echo};
use tls_sockets::lab::handshake::{Negotiated, shake_hands};
use tls_sockets::lab::{BOTH, SERVER, client, server};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

const DEADLINE: Duration = Duration::from_secs(5);

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let ca = LabCa::new("Course Lab")?;
    let files = tempfile::tempdir()?;
    let leaf = ca.leaf(SERVER).issue()?;
    leaf.write_to(files.path())?;
    let (chain, key) = (files.path().join("chain.pem"), files.path().join("key.pem"));

    // ANCHOR: serve
    t.step("Load a chain and a key from files, and start a server with them.");
    let identity = ServerIdentity::from_pem_files(&chain, &key);
    let identity = t.works("chain.pem and key.pem", identity)?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let server = TlsServer::start(
        listener,
        server_config(identity, PROTOCOL)?,
        Limits::default(),
        Deadlines::default(),
        |_event| {},
        |connection| echo(connection, EchoDeadlines::default()),
    )?;
    // ANCHOR_END: serve

    // ANCHOR: connect
    t.step("Connect, and send a line.");
    let config = client_config(ca.roots(), PROTOCOL)?;
    let name = ServerName::try_from(SERVER)?;
    let stream = connect(config, server.address(), name, DEADLINE).await;
    let mut stream = BufReader::new(t.works("connected to bank.test", stream)?);
    stream.write_all(b"hello\n").await?;
    stream.flush().await?;
    let answer = read_line(&mut stream, LONGEST_LINE, LINE_DEADLINE).await?;
    t.shows("answer", answer.context("the server closed")?);
    // ANCHOR_END: connect
    show(t, &Negotiated::on(stream.get_ref().get_ref().1))?;
    t.works("closed by both", close(&mut stream, DEADLINE).await)?;

    t.step(
        "Stop the server. It finishes the connections that it has, and cuts those that take too \
         long.",
    );
    let drained = server.shut_down().await?;
    t.must_show("cut", &format!("{} connections", drained.cut), "0 connections")?;

    // ANCHOR: alpn
    t.step("Client and server have no protocol in common.");
    let mut ours = server_of(&leaf)?;
    ours.alpn_protocols = vec![PROTOCOL.to_vec()];
    let mut theirs = client(ca.roots(), BOTH)?;
    theirs.alpn_protocols = vec![b"http/1.1".to_vec()];
    let handshake = shake_hands(ours, theirs, SERVER).await?;
    t.refused("the connection, by the server", handshake.client, "NoApplicationProtocol")?;

    t.step(
        "A client names no protocol at all. Judge it twice: by rustls, then by the application.",
    );
    let mut ours = server_of(&leaf)?;
    ours.alpn_protocols = vec![PROTOCOL.to_vec()];
    let handshake = shake_hands(ours, client(ca.roots(), BOTH)?, SERVER).await?;
    let agreed = t.works("the handshake, by rustls", handshake.server)?;
    t.shows(
        "protocol",
        agreed.alpn.map_or("none".to_owned(), |name| name.escape_ascii().to_string()),
    );
    // ANCHOR_END: alpn
    let server_side = handshake_without_protocol(&ca, &leaf).await?;
    t.refused("the connection, by require_protocol", server_side, "agreed on none")?;

    t.step("Load a key that doesn't belong to the certificate.");
    let other = ca.leaf(SERVER).issue()?;
    let mixed = ServerIdentity { chain: leaf.chain(), key: other.key() };
    t.refused("the pair, by rustls", server_config(mixed, PROTOCOL), "KeyMismatch")
}

fn server_of(leaf: &shared::Identity) -> Result<rustls::ServerConfig, rustls::Error> {
    server(leaf, BOTH)
}

/// What the take-home check says of a connection on which no protocol was agreed.
async fn handshake_without_protocol(
    ca: &LabCa,
    leaf: &shared::Identity,
) -> anyhow::Result<Result<(), careful_tls::config::WrongProtocol>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server(leaf, BOTH)?));
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client(ca.roots(), BOTH)?));
    let serving = async { acceptor.accept(listener.accept().await?.0).await };
    let asking = async {
        let tcp = tokio::net::TcpStream::connect(address).await?;
        connector.connect(ServerName::try_from(SERVER).map_err(std::io::Error::other)?, tcp).await
    };
    let (accepted, _client) = tokio::try_join!(serving, asking)?;
    Ok(require_protocol(accepted.get_ref().1, &[PROTOCOL.to_vec()]))
}

fn show(t: &mut Transcript, agreed: &Negotiated) -> anyhow::Result<()> {
    t.must_show("agreed on", &format!("{:?}", agreed.version.context("a version")?), "TLSv1_3")?;
    t.shows("", format!("{:?}", agreed.suite.context("a cipher suite")?.suite()));
    t.must_show("", &format!("{:?}", agreed.group.context("a group")?), "X25519MLKEM768")?;
    let protocol = agreed.alpn.as_deref().unwrap_or_default().escape_ascii().to_string();
    t.shows("", protocol);
    Ok(())
}
