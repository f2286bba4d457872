//! Behind a proxy that ends TLS, the identity is a header.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use careful_services::forwarded::{
    self, CLIENT_CERT, ForwardedCaller, TrustedProxy, header, require_forwarded,
};
use careful_services::revoked::Revoked;
use careful_services::rules::Rules;
use services::lab::client::{Connection, ask, with};
use services::lab::pki::{credentials, trust};
use services::lab::service::{Ledger, config};
use services::lab::{CHECKOUT, GATEWAY, LEDGER, LEDGER_NAME, PHOTOS, careless, proxy};
use shared::{LabCa, Transcript};

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let ca = LabCa::new("Course Lab")?;
    let own = credentials(&ca.leaf(LEDGER).also_for(LEDGER_NAME).issue()?);
    let client = |identity: &shared::Identity| with(&credentials(identity), &trust(&ca));
    let checkout = ca.leaf(CHECKOUT).for_clients().issue()?;
    let photos = client(&ca.leaf(PHOTOS).for_clients().issue()?)?;

    t.step("A careless ledger behind a proxy reads the caller's name from a header.");
    let careless = careless::believes_the_header();
    let careless = Ledger::start_with(config(&own, &trust(&ca))?, careless).await?;
    let mut mallory = Connection::open(photos.clone(), careless.address()).await?;
    let charged = mallory.get_with("/charge", &[("x-client-name", CHECKOUT)]).await;
    t.attack_works(
        "the photo service goes around the proxy, writes that header, and charges a card",
        charged.is_ok(),
    )?;

    // ANCHOR: forwarded
    t.step("The take-home ledger takes the header from one service alone, its proxy.");
    let revoked = Revoked::new();
    let trusted = TrustedProxy::new(GATEWAY.parse()?, revoked.clone());
    let rule = Rules::new().allow("charge", [CHECKOUT])?.to("charge")?;
    let charge =
        get(async |ForwardedCaller(service): ForwardedCaller| format!("charged for {service}"));
    let whoami =
        get(async |ForwardedCaller(service): ForwardedCaller| format!("you are {service}"));
    let router = Router::new()
        .route("/charge", charge.route_layer(from_fn_with_state(rule, require_forwarded)))
        .route("/whoami", whoami)
        .layer(from_fn_with_state(trusted, forwarded::accept));
    let ledger = Ledger::start_with(config(&own, &trust(&ca))?, router).await?;
    // ANCHOR_END: forwarded
    let gateway_client = client(&ca.leaf(GATEWAY).for_clients().issue()?)?;
    let gateway = proxy::router(ledger.address(), gateway_client.clone());
    let gateway = Ledger::start_with(config(&own, &trust(&ca))?, gateway).await?;
    let asked = ask(&client(&checkout)?, gateway.address(), "/charge").await;
    let answer = t.works("the checkout, through the proxy", asked)?;
    t.must_show("answer", &answer, CHECKOUT)?;

    t.step("The photo service has the checkout's certificate, which is public, and writes it into the header.");
    let stolen = header(&checkout.leaf_der());
    let mut around = Connection::open(photos.clone(), ledger.address()).await?;
    let asked = around.get_with("/charge", &[(CLIENT_CERT, &stolen)]).await;
    t.refused("around the proxy", asked, "403")?;
    let mut through = Connection::open(photos, gateway.address()).await?;
    let asked = through.get_with("/charge", &[(CLIENT_CERT, &stolen)]).await;
    t.refused("through the proxy, which writes the header itself", asked, "403")?;
    let asked = through.get_with("/whoami", &[(CLIENT_CERT, &stolen)]).await;
    let answer = t.works("GET /whoami, through the proxy", asked)?;
    t.must_show("answer", &answer, PHOTOS)?;

    t.step("A careless proxy adds its header, and keeps the one that its client wrote.");
    let own_header = header(&ca.leaf(PHOTOS).for_clients().issue()?.leaf_der());
    let mut naive = Connection::open(gateway_client, ledger.address()).await?;
    let both = [(CLIENT_CERT, stolen.as_str()), (CLIENT_CERT, own_header.as_str())];
    t.refused("two headers", naive.get_with("/charge", &both).await, "403")
}
