//! A handshake in `accept`, and one client that says nothing.

use services::lab::client::{ask, with};
use services::lab::pki::{credentials, trust};
use services::lab::service::{Ledger, config, router};
use services::lab::{CHECKOUT, LEDGER, LEDGER_NAME, careless};
use shared::{LabCa, Transcript};
use tokio::net::TcpStream;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let ca = LabCa::new("Course Lab")?;
    let own = credentials(&ca.leaf(LEDGER).also_for(LEDGER_NAME).issue()?);
    let checkout = with(&credentials(&ca.leaf(CHECKOUT).for_clients().issue()?), &trust(&ca))?;

    // ANCHOR: silent
    t.step("axum::serve, with a listener that shakes hands in accept. It works in every test.");
    let (address, serving) = careless::serve(
        config(&own, &trust(&ca))?,
        axum::Router::new().route("/up", axum::routing::get(async || "up")),
    )
    .await?;
    t.works("GET /up", ask(&checkout, address, "/up").await)?;

    t.step("A client connects and says nothing. Then the checkout calls.");
    let silent = TcpStream::connect(address).await?;
    let asked = ask(&checkout, address, "/up").await;
    t.attack_works(
        "the checkout gets no connection, and neither does anybody else",
        asked.is_err(),
    )?;
    drop(silent);
    serving.abort();
    // ANCHOR_END: silent

    t.step("The same router and the same client at the accept loop of lesson 2.");
    let ledger = Ledger::start_with(config(&own, &trust(&ca))?, router()?).await?;
    let _silent = TcpStream::connect(ledger.address()).await?;
    t.works("GET /charge", ask(&checkout, ledger.address(), "/charge").await)?;
    Ok(())
}
