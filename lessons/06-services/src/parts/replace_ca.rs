//! A new root, in the right order and in the wrong one.

use services::lab::client::{ask, with};
use services::lab::pki::{credentials, trust, trust_all};
use services::lab::service::{Ledger, config};
use services::lab::{CHECKOUT, LEDGER, LEDGER_NAME};
use shared::{LabCa, Transcript};

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let (old, new) = (LabCa::new("Bank 2026")?, LabCa::new("Bank 2027")?);
    let ledger_of =
        |ca: &LabCa| anyhow::Ok(credentials(&ca.leaf(LEDGER).also_for(LEDGER_NAME).issue()?));
    let checkout_of =
        |ca: &LabCa| anyhow::Ok(credentials(&ca.leaf(CHECKOUT).for_clients().issue()?));
    let both = || trust_all([&old, &new]);

    t.step("The wrong order: the ledger takes a certificate of the new CA first.");
    let ledger = Ledger::start(config(&ledger_of(&old)?, &trust(&old))?).await?;
    let checkout = with(&checkout_of(&old)?, &trust(&old))?;
    t.works("before, GET /charge", ask(&checkout, ledger.address(), "/charge").await)?;
    ledger.replace_config(config(&ledger_of(&new)?, &trust(&new))?);
    let asked = ask(&checkout, ledger.address(), "/charge").await;
    t.refused("every client", asked, "UnknownIssuer")?;

    // ANCHOR: order
    t.step("The right order. First, everybody trusts both, and nothing else changes.");
    ledger.replace_config(config(&ledger_of(&old)?, &both())?);
    t.works("a client that trusts the old CA", ask(&checkout, ledger.address(), "/charge").await)?;
    let ready = with(&checkout_of(&old)?, &both())?;
    t.works("a client that trusts both", ask(&ready, ledger.address(), "/charge").await)?;

    t.step("Second, one service after the other gets a certificate of the new CA.");
    ledger.replace_config(config(&ledger_of(&new)?, &both())?);
    t.works(
        "the ledger has one, the checkout not",
        ask(&ready, ledger.address(), "/charge").await,
    )?;
    let renewed = with(&checkout_of(&new)?, &both())?;
    t.works("both have one", ask(&renewed, ledger.address(), "/charge").await)?;

    t.step(
        "Third, when the last old certificate has expired, everybody stops trusting the old CA.",
    );
    ledger.replace_config(config(&ledger_of(&new)?, &trust(&new))?);
    let done = with(&checkout_of(&new)?, &trust(&new))?;
    t.works("new certificates", ask(&done, ledger.address(), "/charge").await)?;
    // ANCHOR_END: order
    t.refused(
        "a certificate of the old CA",
        ask(&ready, ledger.address(), "/charge").await,
        "fatal alert",
    )
}
