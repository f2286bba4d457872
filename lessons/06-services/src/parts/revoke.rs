//! A stolen key: what a revocation list stops, and what it doesn't.

use anyhow::ensure;
use services::lab::client::{Connection, ask, with};
use services::lab::pki::{credentials, list, trust, trust_with_lists};
use services::lab::service::{Ledger, config};
use services::lab::{CHECKOUT, LEDGER, LEDGER_NAME};
use shared::{LabCa, Transcript};

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let ca = LabCa::new("Course Lab")?;
    let own = credentials(&ca.leaf(LEDGER).also_for(LEDGER_NAME).issue()?);
    let stolen = ca.leaf(CHECKOUT).for_clients().issue()?;
    let thief = with(&credentials(&stolen), &trust(&ca))?;

    t.step("Mallory has stolen the checkout's key. She opens a connection, and gets a ticket.");
    let ledger = Ledger::start(config(&own, &trust_with_lists(&ca, &[])?)?).await?;
    let mut open = Connection::open(thief.clone(), ledger.address()).await?;
    t.works("GET /charge", open.get("/charge").await)?;

    // ANCHOR: handshake
    t.step("The CA puts the certificate on its list, and the ledger loads the list for every later handshake.");
    ledger.replace_config(config(&own, &trust_with_lists(&ca, &[&stolen])?)?);
    let asked = ask(&thief, ledger.address(), "/charge").await;
    t.refused("a new connection", asked, "CertificateRevoked")?;
    // ANCHOR_END: handshake
    let charged = open.get("/charge").await;
    t.attack_works("her open connection charges a card", charged.is_ok())?;

    // ANCHOR: kept
    t.step("A careless ledger loads the list while it runs, and keeps the session store.");
    let kept = config(&own, &trust_with_lists(&ca, &[])?)?;
    let careless = Ledger::start(kept.clone()).await?;
    let thief = with(&credentials(&stolen), &trust(&ca))?;
    ask(&thief, careless.address(), "/charge").await?;
    let mut config_with_store = (*config(&own, &trust_with_lists(&ca, &[&stolen])?)?).clone();
    config_with_store.session_storage = kept.session_storage.clone();
    careless.replace_config(config_with_store.into());
    let mut resumed = Connection::open(thief, careless.address()).await?;
    // ANCHOR_END: kept
    ensure!(resumed.resumed, "the session was resumed");
    let charged = resumed.get("/charge").await;
    t.attack_works("she resumes, and no certificate is checked", charged.is_ok())?;

    // ANCHOR: each_request
    t.step("The take-home service asks the list for each request, too.");
    let revoked = list(&ca, &[&stolen])?;
    ledger.revoked.replace([&revoked])?;
    careless.revoked.replace([&revoked])?;
    // ANCHOR_END: each_request
    t.refused("the open connection", open.get("/charge").await, "403")?;
    t.shows("ledger's log", ledger.log(1).await?);
    t.refused("the resumed one", resumed.get("/charge").await, "403")?;

    t.step("The checkout has a new key and a new certificate, and goes on.");
    let renewed = with(&credentials(&ca.leaf(CHECKOUT).for_clients().issue()?), &trust(&ca))?;
    t.works("GET /charge", ask(&renewed, ledger.address(), "/charge").await)?;

    t.step("A list that is past its date, and a list that is missing.");
    let mut stale = trust_with_lists(&ca, &[])?;
    stale.lists[1] = ca.stale_crl(&[])?.der().clone();
    ledger.replace_config(config(&own, &stale)?);
    let asked = ask(&renewed, ledger.address(), "/charge").await;
    t.refused("a list of last week", asked, "fatal alert")?;
    t.shows("ledger's log", ledger.log(2).await?.split(':').take(2).collect::<Vec<_>>().join(":"));
    let mut missing = trust_with_lists(&ca, &[])?;
    missing.lists.remove(0);
    ledger.replace_config(config(&own, &missing)?);
    let asked = ask(&renewed, ledger.address(), "/charge").await;
    t.refused("without the root's list", asked, "fatal alert")?;
    t.shows("ledger's log", ledger.log(3).await?);
    Ok(())
}
