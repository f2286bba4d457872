//! A new certificate and new keys, under way.

use std::time::Duration;

use anyhow::Context;
use careful_mailbox::client::Client;
use careful_mailbox::frames::{FrameDeadlines, Frames};
use careful_mailbox::protocol::{Request, Response, Secret};
use careful_mailbox::signing_keys;
use mailbox::lab::stage::{Person, Stage, StageOptions, identity};
use mailbox::lab::stranger;
use mailbox::lab::token::key_id;
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
    t.step("Alice is connected. The server gets another certificate, as after 47 days.");
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
    t.works("Alice goes on", alice.read().await)?;
    // ANCHOR_END: certificate

    t.step("A certificate with the key of another one is refused, and the old one stays.");
    let mut wrong = identity(&stage.ca)?;
    wrong.key = identity(&stage.ca)?.key;
    t.refused("it", stage.server.replace_identity(wrong), "keys may not be consistent")?;
    let still = if serial().await? == after { "still the good one" } else { "a bad one" };
    t.must_show("next client", still, "good one")?;

    // ANCHOR: keys
    t.step("A new key signs tokens. Alice's token is of the old one.");
    let token = alice.client.token().context("a token")?.clone();
    let rotate = || {
        let keys = signing_keys::rotate(&stage.signing_keys())?;
        stage.server.replace_keys(keys)?;
        anyhow::Ok(())
    };
    rotate()?;
    let mut other = Client::new(stage.endpoint()?);
    let fetch = |token: &Secret| Request::Fetch { token: token.clone(), after: 0 };
    t.works("her token still works", other.call(&fetch(&token)).await)?;
    let mut bob = stage.person("bob").await?;
    bob.read().await?;
    let new = bob.client.token().context("a token")?;
    let signer = if key_id(new)? == key_id(&token)? { "the old key" } else { "the new key" };
    t.must_show("Bob's token", signer, "the new key")?;

    t.step("After the next rotation the first key is gone.");
    stage.clock.advance(Duration::from_secs(60));
    rotate()?;
    t.refused("Alice's old token", other.call(&fetch(&token)).await, "log in again")?;
    t.works("her client renews its own, and goes on", alice.read().await)?;
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
