//! A GET and a POST with JSON, what both ends agreed on, and what a tap saw.

use anyhow::Context;
use careful_https::body::read_json;
use https::lab::bank::{Balance, Payment, TOKEN};
use shared::tls_records::{group_name, version_name};
use shared::{Transcript, Wiretap};

use https::lab::stage::{Stage, bank_at};

const MAX_ANSWER: usize = 4 * 1024;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let mut stage = Stage::new().await?;
    let tap = Wiretap::listening_to(stage.server.address()).await?;
    let bank = bank_at(tap.address());

    // ANCHOR: get
    t.step("Ask for Alice's balance over HTTPS. A tap on the way records.");
    let client = stage.client(&bank)?.build()?;
    let answer = client.get(bank.url("/balance")).bearer_auth(TOKEN).send().await;
    let answer = t.works("GET /balance", answer)?.error_for_status()?;
    t.shows("status", format!("{}, {:?}", answer.status(), answer.version()));
    let balance: Balance = read_json(answer, MAX_ANSWER).await?;
    t.shows("answer", serde_json::to_string(&balance)?);
    // ANCHOR_END: get

    let agreed = stage.server.handshake().await?;
    t.shows("agreed on", format!("{:?}", agreed.version.context("no version was agreed on")?));
    t.shows("", format!("{:?}", agreed.suite.context("no cipher suite was agreed on")?.suite()));
    t.shows("", format!("{:?}", agreed.group.context("no group was agreed on")?));
    t.shows("", format!("ALPN {}", agreed.alpn.as_deref().unwrap_or("none")));

    // ANCHOR: post
    t.step("Pay Bob 25 coins: a POST with a JSON body.");
    let order = Payment { to: "bob".to_owned(), coins: 25 };
    let answer = client.post(bank.url("/pay")).bearer_auth(TOKEN).json(&order).send().await;
    let answer = t.works("POST /pay", answer)?.error_for_status()?;
    let receipt: Payment = read_json(answer, MAX_ANSWER).await?;
    t.shows("answer", serde_json::to_string(&receipt)?);
    // ANCHOR_END: post

    // ANCHOR: status
    t.step("Ask for a page that doesn't exist, then ask reqwest whether the answer is an error.");
    let answer = client.get(bank.url("/balanse")).bearer_auth(TOKEN).send().await;
    let answer = t.works("GET /balanse", answer)?;
    t.shows("status", answer.status());
    t.refused("by error_for_status", answer.error_for_status(), "404 Not Found")?;
    // ANCHOR_END: status

    t.step("Look for each of these in what the tap recorded.");
    let wire = tap.recording();
    let tls = wire.tls(0);
    let hello = tls.client_hello().context("the tap recorded no ClientHello")?;
    t.wire_shows(
        &wire,
        "server name",
        hello.server_name.as_deref().context("the ClientHello carries no server name")?,
    )?;
    t.shows(
        "versions",
        hello.versions.iter().map(|&v| version_name(v)).collect::<Vec<_>>().join(", "),
    );
    t.shows("protocols", hello.alpn.join(", "));
    let shares = hello
        .key_shares
        .iter()
        .map(|&(group, size)| format!("{} ({size} bytes)", group_name(group)));
    t.shows("key shares", shares.collect::<Vec<_>>().join(", "));
    t.wire_hides(&wire, "the token", TOKEN)?;
    t.wire_hides(&wire, "the path", "/balance")?;
    t.wire_hides(&wire, "the answer", serde_json::to_string(&balance)?)?;
    t.wire_hides(&wire, "the order", serde_json::to_string(&order)?)?;
    t.wire_hides(&wire, "the certificate's issuer", "Course Lab Intermediate")?;
    Ok(())
}
