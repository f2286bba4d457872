//! Every mistake in a certificate that a client meets, each with its exact error.

use std::borrow::Borrow;

use careful_https::client::secure_client;
use https::lab::Host;
use https::lab::bank::{Bank, TOKEN};
use https::lab::server::{HttpsServer, TLS_1_2_AND_1_3, server_tls};
use https::lab::stage::{BANK, trust};
use reqwest::ClientBuilder;
use shared::{CertificateRevocationList, Identity, LabCa, Transcript};

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let ca = LabCa::new("Course Lab")?;
    let good = ca.leaf(BANK);

    t.step("A certificate for bank.test, not expired, from a CA that the client trusts.");
    t.works("https://bank.test", visit(&ca, good.issue()?, BANK).await)?;

    t.step(
        "A certificate for another name, with the whole error. Later steps show its last line \
         only.",
    );
    let shop = ca.leaf("shop.test").issue()?;
    t.refused(
        "a certificate for shop.test",
        visit(&ca, shop, BANK).await,
        "certificate not valid for name",
    )?;
    so(t, "Use the name in the certificate, or issue a certificate for the name in the URL.");

    // ANCHOR: names
    t.step("Whose name is it?");
    let by_ip = visit(&ca, ca.leaf(BANK).issue()?, "127.0.0.1").await;
    t.refused_in_short(
        "an IP address in the URL, a name in the certificate",
        by_ip,
        "not valid for name",
    )?;
    so(t, "An address needs an iPAddress entry in the SAN.");
    let common_name = visit(&ca, ca.leaf(BANK).common_name_only().issue()?, BANK).await;
    t.refused_in_short("the name in CN only", common_name, "not valid for any names")?;
    so(t, "The CN doesn't count (RFC 9525 section 2). Put the name into the SAN.");
    let deep = visit(&ca, ca.leaf("*.bank.test").issue()?, "a.b.bank.test").await;
    t.refused_in_short("a wildcard for two labels", deep, "not valid for name")?;
    so(t, "A wildcard covers exactly one label, the leftmost (RFC 9525 section 6.3).");
    // ANCHOR_END: names

    t.step("Who signed it?");
    let stranger = LabCa::new("Another Lab")?.leaf(BANK).issue()?;
    t.refused_in_short("an unknown CA", visit(&ca, stranger, BANK).await, "UnknownIssuer")?;
    so(t, "If you know whose CA issued it, trust that CA.");
    let namesake = LabCa::new("Course Lab")?.leaf(BANK).issue()?;
    t.refused_in_short(
        "another CA of the same name",
        visit(&ca, namesake, BANK).await,
        "BadSignature",
    )?;
    so(
        t,
        "Somebody made a new CA of that name, or somebody imitates it: compare the keys, not the \
         names.",
    );
    let own = visit(&ca, ca.leaf(BANK).self_signed().issue()?, BANK).await;
    t.refused_in_short("signed by itself", own, "UnknownIssuer")?;
    so(t, "Make a CA, let it issue a leaf certificate, and trust the CA.");
    let bare = visit(&ca, ca.leaf(BANK).without_intermediate().issue()?, BANK).await;
    t.refused_in_short("the intermediate was not sent", bare, "UnknownIssuer")?;
    so(t, "The server must send the leaf and then every intermediate, but not the root.");

    t.step("Was the signer allowed to sign?");
    let by_leaf = ca.leaf_as_issuer()?.leaf(BANK).issue()?;
    t.refused_in_short(
        "signed by an ordinary leaf",
        visit(&ca, by_leaf, BANK).await,
        "EndEntityUsedAsCa",
    )?;
    so(t, "Only a certificate with CA:TRUE may sign others (RFC 5280 section 4.2.1.9).");
    let too_deep = ca.intermediate_too_deep()?.leaf(BANK).issue()?;
    t.refused_in_short(
        "a CA below pathLen 0",
        visit(&ca, too_deep, BANK).await,
        "PathLenConstraintViolated",
    )?;
    so(t, "An intermediate with pathLen 0 may sign leaves, but no further CA.");
    let outside = ca.intermediate_constrained_to("shop.test")?.leaf(BANK).issue()?;
    let outside = visit(&ca, outside, BANK).await;
    t.refused_in_short("a CA constrained to shop.test", outside, "NameConstraintViolation")?;
    so(t, "The CA's name constraints forbid this name (RFC 5280 section 4.2.1.10).");

    t.step("What is it for, and when?");
    let as_ca = visit(&ca, ca.leaf(BANK).as_ca().issue()?, BANK).await;
    t.refused_in_short("a CA certificate as a server's", as_ca, "CaUsedAsEndEntity")?;
    so(t, "openssl req -x509 makes such certificates. Issue a leaf instead.");
    let for_clients = visit(&ca, ca.leaf(BANK).for_clients().issue()?, BANK).await;
    t.refused_in_short("for clients only", for_clients, "extended key usage")?;
    so(t, "A server needs the extended key usage serverAuth.");
    t.refused_in_short(
        "expired",
        visit(&ca, ca.leaf(BANK).expired().issue()?, BANK).await,
        "expired",
    )?;
    so(t, "Renew the certificate. If its dates look right, check the client's clock.");
    let early = visit(&ca, ca.leaf(BANK).not_yet_valid().issue()?, BANK).await;
    t.refused_in_short("not yet valid", early, "not valid yet")?;
    so(t, "Check the client's clock first, then the start of validity.");

    // ANCHOR: revoked
    t.step("Was it revoked? Only a client with a revocation list can tell.");
    let revoked = ca.leaf(BANK).issue()?;
    let lists = [ca.root_crl()?, ca.crl(&[&revoked])?];
    t.refused_in_short("revoked", visit_with_crls(&ca, &revoked, &lists).await, "Revoked")?;
    so(t, "Get a new certificate, and find out why the old one was revoked.");
    let unknown = visit_with_crls(&ca, ca.leaf(BANK).issue()?, &[ca.crl(&[])?]).await;
    t.refused_in_short(
        "not revoked, but the root's list is missing",
        unknown,
        "UnknownRevocationStatus",
    )?;
    so(t, "Load the list of each CA in the chain. The root's list covers the intermediate.");
    // ANCHOR_END: revoked

    // ANCHOR: accepted
    t.step("Three certificates and a list that people often judge wrongly.");
    // The certificate of the step before: it is on the list, which this client does not
    // have.
    t.works("revoked, and the client has no list", visit(&ca, revoked, BANK).await)?;
    let stale = [ca.root_crl()?, ca.stale_crl(&[])?];
    let with_stale = visit_with_crls(&ca, ca.leaf(BANK).issue()?, &stale).await;
    t.works("a list six days past its nextUpdate", with_stale)?;
    let no_purpose = visit(&ca, ca.leaf(BANK).without_purpose().issue()?, BANK).await;
    t.works("no extended key usage at all", no_purpose)?;
    let old = LabCa::with_expired_root("Old Lab")?;
    let leaf = old.leaf(BANK).issue()?;
    t.works("a root that expired yesterday, in the trust store", visit(&old, leaf, BANK).await)?;
    t.note("A trust anchor is a name and a key, without dates (RFC 5280 section 6.1.1).");
    // ANCHOR_END: accepted
    Ok(())
}

/// One plain sentence on what to do.
fn so(t: &mut Transcript, sentence: &str) {
    t.shows("so", sentence);
}

/// Serves with `identity`, and visits the server as `https://NAME`, trusting `ca` alone.
async fn visit(
    ca: &LabCa,
    identity: impl Borrow<Identity>,
    name: &'static str,
) -> anyhow::Result<()> {
    request(secure_client(&trust(ca)?)?, identity.borrow(), name).await
}

/// The same as bank.test, with revocation lists.
async fn visit_with_crls(
    ca: &LabCa,
    identity: impl Borrow<Identity>,
    lists: &[CertificateRevocationList],
) -> anyhow::Result<()> {
    let mut crls = Vec::new();
    for list in lists {
        crls.push(reqwest::tls::CertificateRevocationList::from_pem(list.pem()?.as_bytes())?);
    }
    request(secure_client(&trust(ca)?)?.tls_crls_only(crls), identity.borrow(), BANK).await
}

// ANCHOR: request
async fn request(
    client: ClientBuilder,
    identity: &Identity,
    name: &'static str,
) -> anyhow::Result<()> {
    let tls = server_tls(identity.chain(), identity.key(), TLS_1_2_AND_1_3)?;
    let server = HttpsServer::start(tls, Bank::new().handler()).await?;
    let host = Host { name, address: server.address() };
    let client = client.resolve(host.name, host.address).build()?;
    let answer = client.get(host.url("/balance")).bearer_auth(TOKEN).send().await?;
    answer.error_for_status()?;
    Ok(())
}
// ANCHOR_END: request
