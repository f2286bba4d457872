//! Both ends show a certificate.

use anyhow::{Context, ensure};
use careful_tls::provider::crypto_provider;
use services::lab::client::{Connection, ask, with};
use services::lab::pki::{credentials, trust};
use services::lab::service::{Ledger, config};
use services::lab::{CHECKOUT, LEDGER, LEDGER_NAME};
use shared::{LabCa, Transcript, Wiretap};

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let ca = LabCa::new("Course Lab")?;
    // ANCHOR: mutual
    let ledger = ca.leaf(LEDGER).also_for(LEDGER_NAME).issue()?;
    let ledger = Ledger::start(config(&credentials(&ledger), &trust(&ca))?).await?;
    let tap = Wiretap::listening_to(ledger.address()).await?;

    t.step("The checkout calls the ledger. Each shows the other a certificate, and a tap records.");
    let checkout = ca.leaf(CHECKOUT).for_clients().issue()?;
    let client = with(&credentials(&checkout), &trust(&ca))?;
    let answer = t.works("GET /whoami", ask(&client, tap.address(), "/whoami").await)?;
    t.must_show("answer", &answer, CHECKOUT)?;
    // ANCHOR_END: mutual

    t.step("What the tap learns about the two certificates in TLS 1.3.");
    let wire = tap.recording();
    t.wire_shows(&wire, "the name that the checkout asked for", LEDGER_NAME)?;
    t.wire_hides(&wire, "the checkout's identity", CHECKOUT)?;
    t.wire_hides(&wire, "the ledger's identity", LEDGER)?;
    t.wire_hides(&wire, "the CA's name", "Course Lab Intermediate")?;

    // ANCHOR: refused
    t.step("Five clients that the ledger refuses. Each finishes its handshake, and is refused only then.");
    let other = LabCa::new("Course Lab")?;
    let refused = [
        ("one that expired yesterday", ca.leaf(CHECKOUT).for_clients().expired().issue()?),
        ("one for servers alone", ca.leaf(CHECKOUT).issue()?),
        ("one of another CA of the same name", other.leaf(CHECKOUT).for_clients().issue()?),
        ("one signed by itself", ca.leaf(CHECKOUT).for_clients().self_signed().issue()?),
    ];
    let mut lines = 0;
    let none = rustls::ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(ca.roots())
        .with_no_client_auth();
    let mut configs = vec![("no certificate", std::sync::Arc::new(none))];
    for (what, identity) in &refused {
        configs.push((what, with(&credentials(identity), &trust(&ca))?));
    }
    for (what, config) in configs {
        let mut config = (*config).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        t.shows("client shows", what);
        let mut connection = Connection::open(config.into(), ledger.address()).await?;
        t.shows("handshake", "done, says the client");
        let answer = connection.get("/whoami").await;
        let error = answer.err().context("an answer, although the ledger refuses")?;
        t.must_show("answer", &innermost(&error), "fatal alert")?;
        t.shows("ledger's log", ledger.log(lines).await?);
        lines += 1;
    }
    // ANCHOR_END: refused
    ensure!(lines == 5, "five refusals");

    t.step("The other way around, a false ledger shows a certificate of another CA with the same name.");
    let false_ledger = other.leaf(LEDGER).also_for(LEDGER_NAME).issue()?;
    let false_ledger = Ledger::start(config(&credentials(&false_ledger), &trust(&ca))?).await?;
    let asked = ask(&client, false_ledger.address(), "/charge").await;
    t.refused("by the checkout", asked, "invalid peer certificate")?;
    ledger.shut_down().await
}

/// The last cause.
fn innermost(error: &anyhow::Error) -> String {
    error.chain().last().map(ToString::to_string).unwrap_or_default()
}
