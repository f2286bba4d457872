//! A new certificate and new keys, while clients are there.

use std::time::Duration;

use anyhow::Context;
use careful_mailbox::client::Client;
use careful_mailbox::frames::{FrameDeadlines, Frames};
use careful_mailbox::protocol::{ALPN, Request, Response, Secret};
use careful_mailbox::signing_keys;
use careful_tls::config::client_config;
use careful_tls::identity::ServerIdentity;
use mailbox::lab::stage::{Person, Stage, StageOptions, identity, identity_of};
use mailbox::lab::stranger;
use mailbox::lab::token::key_id;
use mailbox::programs::LAB_NAME;
use rustls::HandshakeKind;
use shared::Transcript;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const SECONDS: Duration = Duration::from_secs(10);
const PATIENCE: FrameDeadlines = FrameDeadlines { idle: SECONDS, frame: SECONDS, write: SECONDS };

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let stage = Stage::new(StageOptions::default()).await?;
    let serial = async || {
        let stream = stranger::connect(stage.address(), stage.ca.roots()).await?;
        leaf(&stream)
    };

    // ANCHOR: certificate
    t.step("Alice is connected. The server gets a new certificate, as it would every 47 days.");
    let mut alice = stage.person("alice").await?;
    alice.read().await?;
    let kept = stranger::connect(stage.address(), stage.ca.roots()).await?;
    let before = leaf(&kept)?;
    let mut kept = Frames::new(kept, PATIENCE);
    stage.server.replace_identity(identity(&stage.ca)?)?;
    let after = serial().await?;
    let differ = if before == after { "the old one" } else { "another certificate" };
    t.must_show("next client", differ, "another certificate")?;
    kept.send(&Request::Ping {}).await?;
    let pong = kept.receive::<Response>().await?;
    t.must_show("open one", &serde_json::to_string(&pong)?, "pong")?;
    t.works("Alice reads on her open connection", alice.read().await)?;
    // ANCHOR_END: certificate

    // ANCHOR: sessions
    t.step("A client connects twice, and once more after the server got a new certificate.");
    let config = client_config(stage.ca.roots(), ALPN)?;
    for (time, expected) in [("first", "full"), ("second", "resumed"), ("third", "full")] {
        if time == "third" {
            stage.server.replace_identity(identity(&stage.ca)?)?;
        }
        let stream = stranger::connect_with(config.clone(), stage.address()).await?;
        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        // The session comes with the server's first bytes.
        let mut frames = Frames::new(stream, PATIENCE);
        frames.send(&Request::Ping {}).await?;
        frames.receive::<Response>().await?;
        let kind = if resumed { "resumed: no certificate is shown" } else { "full" };
        t.must_show(time, kind, expected)?;
    }
    // ANCHOR_END: sessions
    let after = serial().await?;

    // ANCHOR: unfit
    t.step("Give the server three certificates that every client would refuse.");
    let mut keys_differ = identity(&stage.ca)?;
    keys_differ.key = identity(&stage.ca)?.key;
    let expired = stage.ca.leaf(LAB_NAME).expired().issue()?;
    let expired = ServerIdentity { chain: expired.chain(), key: expired.key() };
    for (what, wrong, why) in [
        ("with somebody else's key", keys_differ, "keys may not be consistent"),
        ("for another name", identity_of(&stage.ca, "photos.test")?, "not for mailbox.test"),
        ("one from last week", expired, "expired"),
    ] {
        t.refused_in_short(what, stage.server.replace_identity(wrong), why)?;
        let still = if serial().await? == after { "still the good one" } else { "a bad one" };
        t.must_show("next client", still, "good one")?;
    }
    // ANCHOR_END: unfit

    // ANCHOR: keys
    t.step("The server signs tokens with a new key. Alice's token was signed with the old one.");
    let token = alice.client.token().context("a token")?.clone();
    let rotate = || {
        let rotated = signing_keys::rotate(&stage.signing_keys())?;
        stage.server.replace_keys(rotated.keys)?;
        anyhow::Ok(())
    };
    rotate()?;
    let mut other = Client::new(stage.endpoint()?);
    let fetch = |token: &Secret| Request::Fetch { token: token.clone(), after: 0 };
    t.works("Alice's token", other.call(&fetch(&token)).await)?;
    let mut bob = stage.person("bob").await?;
    bob.read().await?;
    let new = bob.client.token().context("a token")?;
    let signer = if key_id(new)? == key_id(&token)? { "the old key" } else { "the new key" };
    t.must_show("Bob's token", signer, "the new key")?;

    t.step("After one more rotation, the first key is gone.");
    stage.clock.advance(Duration::from_secs(60));
    rotate()?;
    t.refused("Alice's old token", other.call(&fetch(&token)).await, "not authenticated")?;
    t.works("her program, which renews its token", alice.read().await)?;
    let Person { client, .. } = alice;
    let renewed = client.token().context("a token")?;
    let signer =
        if key_id(renewed)? == key_id(&token)? { "the first key" } else { "the third key" };
    t.must_show("her token", signer, "the third key")
    // ANCHOR_END: keys
}

fn leaf(stream: &TlsStream<TcpStream>) -> anyhow::Result<Vec<u8>> {
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    Ok(chain.first().context("a certificate")?.as_ref().to_vec())
}
