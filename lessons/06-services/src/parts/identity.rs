//! Which service is calling, and what it may do.

use services::lab::client::{ask, with};
use services::lab::pki::{credentials, trust};
use services::lab::service::{Ledger, config};
use services::lab::{CHECKOUT, LEDGER, LEDGER_NAME, PHOTOS, careless};
use shared::{LabCa, Transcript};

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let ca = LabCa::new("Course Lab")?;
    let own = credentials(&ca.leaf(LEDGER).also_for(LEDGER_NAME).issue()?);
    let ledger = Ledger::start(config(&own, &trust(&ca))?).await?;

    // ANCHOR: checkout
    t.step("The checkout charges a card. The handler knows which service it is.");
    let checkout = ca.leaf(CHECKOUT).for_clients().issue()?;
    let client = with(&credentials(&checkout), &trust(&ca))?;
    let answer = t.works("GET /charge", ask(&client, ledger.address(), "/charge").await)?;
    t.must_show("answer", &answer, CHECKOUT)?;
    // ANCHOR_END: checkout

    // ANCHOR: any
    t.step(
        "The photo service has a certificate of the same CA. A careless ledger takes any of them.",
    );
    let photos = ca.leaf(PHOTOS).for_clients().issue()?;
    let photos = with(&credentials(&photos), &trust(&ca))?;
    let any = Ledger::start_with(config(&own, &trust(&ca))?, careless::any_certificate()).await?;
    let charged = ask(&photos, any.address(), "/charge").await;
    t.attack_works("the photo service charges a card", charged.is_ok())?;
    let answer = t.works(
        "at the take-home ledger, GET /whoami",
        ask(&photos, ledger.address(), "/whoami").await,
    )?;
    t.must_show("answer", &answer, PHOTOS)?;
    t.refused("by the take-home ledger", ask(&photos, ledger.address(), "/charge").await, "403")?;
    // ANCHOR_END: any

    t.step("Names that only look right. A second careless ledger compares names by their end.");
    let end = Ledger::start_with(config(&own, &trust(&ca))?, careless::ends_with()).await?;
    let names: [(&str, &[&str]); 3] = [
        ("another trust domain", &["spiffe://notbank.test/checkout"]),
        ("a longer path", &["spiffe://evil.test/bank.test/checkout"]),
        ("two identities at once", &[PHOTOS, CHECKOUT]),
    ];
    for (what, names) in names {
        let leaf = names[1..].iter().fold(ca.leaf(names[0]), |leaf, name| leaf.also_for(name));
        let mallory = with(&credentials(&leaf.for_clients().issue()?), &trust(&ca))?;
        t.shows("certificate", names.join(", "));
        let charged = ask(&mallory, end.address(), "/charge").await;
        t.attack_works(what, charged.is_ok())?;
        t.refused(
            "by the take-home ledger",
            ask(&mallory, ledger.address(), "/charge").await,
            "403",
        )?;
    }

    t.step("Three more certificates of the CA, at the take-home ledger.");
    let named = ca.leaf(CHECKOUT).common_name_only().for_clients().issue()?;
    let named = with(&credentials(&named), &trust(&ca))?;
    t.refused(
        "the name is only the common name",
        ask(&named, ledger.address(), "/whoami").await,
        "403",
    )?;
    let several =
        ca.leaf("checkout.bank.test").also_for("photos.bank.test").for_clients().issue()?;
    let several = with(&credentials(&several), &trust(&ca))?;
    t.refused("two DNS names and no URI", ask(&several, ledger.address(), "/whoami").await, "403")?;
    let upper = ca.leaf("spiffe://bank.test/../checkout").for_clients().issue()?;
    let upper = with(&credentials(&upper), &trust(&ca))?;
    t.refused("a path that leads upward", ask(&upper, ledger.address(), "/whoami").await, "403")?;

    t.step("Somebody calls the ledger with the stolen key of a server. Its certificate is for servers alone.");
    let server = ca.leaf(CHECKOUT).also_for("checkout.bank.test").issue()?;
    let server = with(&credentials(&server), &trust(&ca))?;
    t.refused(
        "with a server's certificate",
        ask(&server, ledger.address(), "/charge").await,
        "fatal alert",
    )
}
