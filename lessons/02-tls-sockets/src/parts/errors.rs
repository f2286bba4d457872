//! Every failure, as both sides see it. Each row is a client and a server that really handshake.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use shared::crypto_provider;
use shared::wiretap::{Action, Unit};
use shared::{CertificateRevocationList, Direction, Identity, LabCa, Transcript};
use tls_sockets::lab::forged::ClientSecret;
use tls_sockets::lab::handshake::{Handshake, shake_hands, shake_hands_attacked};
use tls_sockets::lab::not_tls::{plain_http_to_tls, tls_to_plain};
use tls_sockets::lab::{BOTH, ONLY_1_2, ONLY_1_3, SERVER, client, server};

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let ca = LabCa::new("Course Lab")?;
    names(t, &ca).await?;
    signers(t, &ca).await?;
    purposes(t, &ca).await?;
    revocation(t, &ca).await?;
    protocols(t, &ca).await?;
    client_certificates(t, &ca).await?;
    the_wire(t, &ca).await?;
    silent_ends(t, &ca).await?;
    Ok(())
}

// ANCHOR: row
/// One row: the case, what each side says, and what to do.
fn row(
    t: &mut Transcript,
    case: &str,
    handshake: &Handshake,
    (client, server): (&str, &str),
    fix: &str,
) -> anyhow::Result<()> {
    t.shows("case", case);
    t.must_show("  client", &handshake.client_says(), client)?;
    t.must_show("  server", &handshake.server_says(), server)?;
    t.shows("  do", fix);
    Ok(())
}
// ANCHOR_END: row

/// A server with this certificate, and a client that trusts this CA.
async fn shakes_hands(ca: &LabCa, identity: &Identity, name: &str) -> anyhow::Result<Handshake> {
    shake_hands(server(identity, BOTH)?, client(ca.roots(), BOTH)?, name).await
}

// ANCHOR: names
async fn names(t: &mut Transcript, ca: &LabCa) -> anyhow::Result<()> {
    t.step("Does the certificate name the server?");
    let handshake = shakes_hands(ca, &ca.leaf(SERVER).issue()?, SERVER).await?;
    row(t, "the right name", &handshake, ("ok", "ok"), "nothing")?;
    let handshake = shakes_hands(ca, &ca.leaf(SERVER).issue()?, "shop.test").await?;
    row(
        t,
        "another name",
        &handshake,
        ("not valid for name \"shop.test\"", "BadCertificate"),
        "connect to a name in the SAN, or issue a certificate for this one",
    )?;
    let handshake = shakes_hands(ca, &ca.leaf(SERVER).issue()?, "127.0.0.1").await?;
    row(
        t,
        "by address, without one in the SAN",
        &handshake,
        ("\"127.0.0.1\"", "BadCertificate"),
        "put the address into the SAN",
    )?;
    let handshake = shakes_hands(ca, &ca.leaf(SERVER).common_name_only().issue()?, SERVER).await?;
    row(
        t,
        "the name in CN only",
        &handshake,
        ("not valid for any names", "BadCertificate"),
        "put the name into the SAN",
    )?;
    let handshake = shakes_hands(ca, &ca.leaf("*.bank.test").issue()?, "a.b.bank.test").await?;
    row(
        t,
        "a wildcard for two labels",
        &handshake,
        ("*.bank.test", "BadCertificate"),
        "issue it for a.b.bank.test, because a wildcard covers one label",
    )
}
// ANCHOR_END: names

async fn signers(t: &mut Transcript, ca: &LabCa) -> anyhow::Result<()> {
    t.step("Who signed the certificate, and was that CA allowed to?");
    let handshake =
        shakes_hands(ca, &LabCa::new("Another Lab")?.leaf(SERVER).issue()?, SERVER).await?;
    row(
        t,
        "an unknown CA",
        &handshake,
        ("UnknownIssuer", "UnknownCA"),
        "trust the CA that issued it",
    )?;
    let handshake =
        shakes_hands(ca, &LabCa::new("Course Lab")?.leaf(SERVER).issue()?, SERVER).await?;
    row(
        t,
        "another CA of the same name",
        &handshake,
        ("BadSignature", "DecryptError"),
        "compare the CAs' keys, because one of them is old or forged",
    )?;
    let handshake = shakes_hands(ca, &ca.leaf(SERVER).self_signed().issue()?, SERVER).await?;
    row(t, "signed by itself", &handshake, ("UnknownIssuer", "UnknownCA"), "make a CA and a leaf")?;
    let handshake =
        shakes_hands(ca, &ca.leaf(SERVER).without_intermediate().issue()?, SERVER).await?;
    row(
        t,
        "the intermediate was not sent",
        &handshake,
        ("UnknownIssuer", "UnknownCA"),
        "send the leaf, then every intermediate",
    )?;
    let handshake = shakes_hands(ca, &ca.leaf_as_issuer()?.leaf(SERVER).issue()?, SERVER).await?;
    row(
        t,
        "signed by an ordinary leaf",
        &handshake,
        ("EndEntityUsedAsCa", "CertificateUnknown"),
        "let a CA issue it",
    )?;
    let handshake =
        shakes_hands(ca, &ca.intermediate_too_deep()?.leaf(SERVER).issue()?, SERVER).await?;
    row(
        t,
        "a CA below path length 0",
        &handshake,
        ("PathLenConstraintViolated", "CertificateUnknown"),
        "issue the leaf from the intermediate above",
    )?;
    let constrained = ca.intermediate_constrained_to("shop.test")?;
    let handshake = shakes_hands(ca, &constrained.leaf(SERVER).issue()?, SERVER).await?;
    row(
        t,
        "a CA for shop.test only",
        &handshake,
        ("NameConstraintViolation", "CertificateUnknown"),
        "ask a CA that may issue for this name",
    )
}

async fn purposes(t: &mut Transcript, ca: &LabCa) -> anyhow::Result<()> {
    t.step("What is the certificate for, and when is it valid?");
    let handshake = shakes_hands(ca, &ca.leaf(SERVER).as_ca().issue()?, SERVER).await?;
    row(
        t,
        "a CA certificate as a server's",
        &handshake,
        ("CaUsedAsEndEntity", "CertificateUnknown"),
        "issue a leaf",
    )?;
    let handshake = shakes_hands(ca, &ca.leaf(SERVER).for_clients().issue()?, SERVER).await?;
    row(
        t,
        "for clients only",
        &handshake,
        ("extended key usage", "UnsupportedCertificate"),
        "issue it with serverAuth",
    )?;
    let handshake = shakes_hands(ca, &ca.leaf(SERVER).expired().issue()?, SERVER).await?;
    row(
        t,
        "expired",
        &handshake,
        ("certificate expired", "CertificateExpired"),
        "renew it; if it looks current, set the client's clock",
    )?;
    let handshake = shakes_hands(ca, &ca.leaf(SERVER).not_yet_valid().issue()?, SERVER).await?;
    row(
        t,
        "not yet valid",
        &handshake,
        ("not valid yet", "CertificateExpired"),
        "set the client's clock; the alert is the same as for expired",
    )
}

// ANCHOR: revocation
async fn revocation(t: &mut Transcript, ca: &LabCa) -> anyhow::Result<()> {
    t.step("Was the certificate revoked?");
    let leaf = ca.leaf(SERVER).issue()?;
    let handshake = shakes_hands(ca, &leaf, SERVER).await?;
    row(
        t,
        "revoked, but the client has no list",
        &handshake,
        ("ok", "ok"),
        "give clients the lists",
    )?;
    let lists = [ca.root_crl()?, ca.crl(&[&leaf])?];
    let handshake =
        shake_hands(server(&leaf, BOTH)?, with_lists(ca, &lists, false)?, SERVER).await?;
    row(t, "revoked", &handshake, ("Revoked", "CertificateRevoked"), "get a new certificate")?;
    let other = ca.leaf(SERVER).issue()?;
    let handshake =
        shake_hands(server(&other, BOTH)?, with_lists(ca, &lists[1..], false)?, SERVER).await?;
    row(
        t,
        "the root's CRL is missing",
        &handshake,
        ("UnknownRevocationStatus", "UnknownCA"),
        "load the list of each CA in the chain",
    )?;
    let stale = [ca.root_crl()?, ca.stale_crl(&[])?];
    let handshake =
        shake_hands(server(&other, BOTH)?, with_lists(ca, &stale, false)?, SERVER).await?;
    row(
        t,
        "a list past its nextUpdate",
        &handshake,
        ("ok", "ok"),
        "use enforce_revocation_expiration, as in the next row",
    )?;
    let handshake =
        shake_hands(server(&other, BOTH)?, with_lists(ca, &stale, true)?, SERVER).await?;
    row(
        t,
        "the same, enforced",
        &handshake,
        ("revocation list expired", "UnknownCA"),
        "fetch the current list",
    )
}

// ANCHOR: with_lists
fn with_lists(
    ca: &LabCa,
    lists: &[CertificateRevocationList],
    enforce_dates: bool,
) -> anyhow::Result<ClientConfig> {
    let lists: Vec<CertificateRevocationListDer<'static>> =
        lists.iter().map(|list| list.der().clone()).collect();
    let mut verifier =
        WebPkiServerVerifier::builder_with_provider(ca.roots(), crypto_provider()).with_crls(lists);
    if enforce_dates {
        verifier = verifier.enforce_revocation_expiration();
    }
    Ok(ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(BOTH)?
        .with_webpki_verifier(verifier.build()?)
        .with_no_client_auth())
}
// ANCHOR_END: with_lists
// ANCHOR_END: revocation

async fn protocols(t: &mut Transcript, ca: &LabCa) -> anyhow::Result<()> {
    t.step("Do client and server have a version and a protocol in common?");
    let leaf = ca.leaf(SERVER).issue()?;
    let handshake =
        shake_hands(server(&leaf, ONLY_1_2)?, client(ca.roots(), ONLY_1_3)?, SERVER).await?;
    row(
        t,
        "a server of 1.2, a client of 1.3",
        &handshake,
        ("ProtocolVersion", "Tls12NotOfferedOrEnabled"),
        "update the server",
    )?;
    let handshake =
        shake_hands(server(&leaf, ONLY_1_3)?, client(ca.roots(), ONLY_1_2)?, SERVER).await?;
    row(
        t,
        "a server of 1.3, a client of 1.2",
        &handshake,
        ("ProtocolVersion", "Tls12NotOfferedOrEnabled"),
        "update the client",
    )?;
    let with_alpn = |names: [&[u8]; 2]| -> anyhow::Result<(ServerConfig, ClientConfig)> {
        let (mut ours, mut theirs) = (server(&leaf, BOTH)?, client(ca.roots(), BOTH)?);
        ours.alpn_protocols = vec![names[0].to_vec()];
        theirs.alpn_protocols = vec![names[1].to_vec()];
        Ok((ours, theirs))
    };
    let (ours, theirs) = with_alpn([b"mail/1", b"echo/1"])?;
    let handshake = shake_hands(ours, theirs, SERVER).await?;
    row(
        t,
        "no protocol in common",
        &handshake,
        ("NoApplicationProtocol", "doesn't support any known protocol"),
        "compare the ALPN lists of both",
    )?;
    let (ours, mut theirs) = with_alpn([b"mail/1", b"mail/1"])?;
    theirs.alpn_protocols.clear();
    let handshake = shake_hands(ours, theirs, SERVER).await?;
    row(
        t,
        "no ALPN list on one side",
        &handshake,
        ("ok", "ok"),
        "ask what was agreed on: here it is nothing, and rustls goes on",
    )
}

// ANCHOR: client_certificates
async fn client_certificates(t: &mut Transcript, ca: &LabCa) -> anyhow::Result<()> {
    t.step("A server that asks for a client certificate.");
    let alice = ca.leaf("alice.test").for_clients().issue()?;
    let wrong = ca.leaf("alice.test").issue()?;
    let handshake = shake_hands(asking(ca, BOTH)?, showing(ca.roots(), &alice)?, SERVER).await?;
    row(t, "a good one", &handshake, ("ok", "ok"), "nothing")?;
    let handshake = shake_hands(asking(ca, BOTH)?, client(ca.roots(), ONLY_1_3)?, SERVER).await?;
    row(
        t,
        "none, TLS 1.3",
        &handshake,
        ("connect() is Ok; later", "peer sent no certificates"),
        "count a client as connected after its first answer",
    )?;
    let handshake = shake_hands(asking(ca, BOTH)?, client(ca.roots(), ONLY_1_2)?, SERVER).await?;
    row(
        t,
        "none, TLS 1.2",
        &handshake,
        ("CertificateRequired", "peer sent no certificates"),
        "give the client its certificate",
    )?;
    let handshake = shake_hands(asking(ca, BOTH)?, showing(ca.roots(), &wrong)?, SERVER).await?;
    row(
        t,
        "one for servers only",
        &handshake,
        ("UnsupportedCertificate", "client authentication"),
        "issue it with clientAuth",
    )
}
// ANCHOR_END: client_certificates

fn asking(
    ca: &LabCa,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> anyhow::Result<ServerConfig> {
    let identity = ca.leaf(SERVER).issue()?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(ca.roots(), crypto_provider()).build()?;
    Ok(ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain(), identity.key())?)
}

fn showing(roots: Arc<RootCertStore>, identity: &Identity) -> anyhow::Result<ClientConfig> {
    Ok(ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(BOTH)?
        .with_root_certificates(roots)
        .with_client_auth_cert(identity.chain(), identity.key())?)
}

async fn the_wire(t: &mut Transcript, ca: &LabCa) -> anyhow::Result<()> {
    t.step("Is it TLS at all, and does it arrive as it was sent?");
    let leaf = ca.leaf(SERVER).issue()?;
    let (answer, seen) = plain_http_to_tls(server(&leaf, BOTH)?).await?;
    t.shows("case", "a plain HTTP client, and a TLS server");
    t.must_show("  client", &format!("the bytes {answer:02x?}: alert decode_error"), "15, 03, 03")?;
    t.must_show("  server", &seen.to_string(), "InvalidContentType")?;
    t.shows("  do", "write https, or use the plain port");
    let (seen, answer) = tls_to_plain(client(ca.roots(), BOTH)?).await?;
    t.shows("case", "a TLS client, and a plain HTTP server");
    t.must_show("  client", &seen.to_string(), "InvalidContentType")?;
    t.must_show("  server", &answer, "400 Bad Request")?;
    t.shows("  do", "use the TLS port");

    let flip = |record: Unit<'_>| match (record.direction, record.index, record.bytes) {
        // The client's records: ClientHello, ChangeCipherSpec, Finished, hello world.
        (Direction::ToServer, 3, [start @ .., last]) => {
            Action::Replace([start, &[last ^ 1]].concat())
        }
        _ => Action::Pass,
    };
    let handshake =
        shake_hands_attacked(server(&leaf, BOTH)?, client(ca.roots(), BOTH)?, flip).await?;
    row(
        t,
        "one bit flipped on the way",
        &handshake,
        ("BadRecordMac", "cannot decrypt peer's message"),
        "end the connection, because somebody changed the record on its way",
    )?;
    let twice = |record: Unit<'_>| match (record.direction, record.index) {
        (Direction::ToServer, 3) => Action::Repeat,
        _ => Action::Pass,
    };
    let handshake =
        shake_hands_attacked(server(&leaf, BOTH)?, client(ca.roots(), BOTH)?, twice).await?;
    row(
        t,
        "a record sent twice by the wire",
        &handshake,
        ("BadRecordMac", "cannot decrypt peer's message"),
        "end the connection, because a record's number is part of its nonce",
    )?;
    let cut = |record: Unit<'_>| match (record.direction, record.index) {
        (Direction::ToServer, 3) => Action::Cut,
        _ => Action::Pass,
    };
    let handshake =
        shake_hands_attacked(server(&leaf, BOTH)?, client(ca.roots(), BOTH)?, cut).await?;
    row(
        t,
        "the wire cut in the middle",
        &handshake,
        ("close_notify", "close_notify"),
        "treat it as a failure, never as the end of the message",
    )
}

// ANCHOR: silent
/// What only a peer with a mistake, or with an intention, sends. rustls refuses it, and ends the connection
/// without an alert: its peer sees what it would see of an attacker on the wire.
async fn silent_ends(t: &mut Transcript, ca: &LabCa) -> anyhow::Result<()> {
    t.step(
        "Peers that break the protocol. The server knows why it ends the connection, and doesn't \
         tell.",
    );
    let leaf = ca.leaf(SERVER).issue()?;
    let fix = "look at the log of the end that closed";
    let changes = |record: Unit<'_>| match (record.direction, record.index) {
        // The client's records: ClientHello, ChangeCipherSpec, Finished, hello world.
        (Direction::ToServer, 1) => Action::Replace(record.bytes.repeat(3)),
        _ => Action::Pass,
    };
    let handshake =
        shake_hands_attacked(server(&leaf, ONLY_1_3)?, client(ca.roots(), ONLY_1_3)?, changes);
    let said = ("close_notify", "IllegalMiddleboxChangeCipherSpec");
    row(t, "a third ChangeCipherSpec", &handshake.await?, said, fix)?;
    let between = |record: Unit<'_>| match (record.direction, record.index, record.bytes) {
        (Direction::ToServer, 0, [kind, major, minor, _, _, hello @ ..]) => {
            let (first, rest) = hello.split_at(hello.len() / 2);
            let piece = |bytes: &[u8]| {
                let length = (bytes.len() as u16).to_be_bytes();
                [&[*kind, *major, *minor][..], &length, bytes].concat()
            };
            // A warning, which is a record of another kind.
            let alert = [21, 3, 3, 0, 2, 1, 90];
            Action::Replace([piece(first), alert.to_vec(), piece(rest)].concat())
        }
        _ => Action::Pass,
    };
    let handshake =
        shake_hands_attacked(server(&leaf, ONLY_1_3)?, client(ca.roots(), ONLY_1_3)?, between);
    let said = ("tls handshake eof", "MessageInterleavedWithHandshakeMessage");
    row(t, "a record in the middle of a message", &handshake.await?, said, fix)?;
    let secret = ClientSecret::default();
    let mut theirs = client(ca.roots(), ONLY_1_3)?;
    theirs.key_log = Arc::new(secret.clone());
    let zeros = move |record: Unit<'_>| match (record.direction, record.index) {
        (Direction::ToServer, 3) => secret.record_of_zeros().map_or(Action::Cut, Action::Replace),
        _ => Action::Pass,
    };
    let handshake = shake_hands_attacked(server(&leaf, ONLY_1_3)?, theirs, zeros).await?;
    let said = ("close_notify", "IllegalTlsInnerPlaintext");
    row(t, "a record that holds nothing but padding", &handshake, said, fix)
}
// ANCHOR_END: silent
