//! "When it does not work": every error of the chapter's list, made by a run, so that the
//! book cannot drift from the libraries. What a certificate can do wrong stands in the
//! part `names`.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use careful_https::body::read_body;
use https::lab::plain::{HeaderLog, plain_server, redirect_to};
use https::lab::server::{HttpsServer, TLS_1_2_AND_1_3, TLS_1_2_ONLY, server_tls};
use https::lab::stage::{BANK, Stage, bank_at};
use https::lab::stall::Stall;
use reqwest::tls::Version;
use reqwest::{Client, ClientBuilder};
use shared::ClosedPort;
use snapshots::Page;
use snapshots::settings;

/// reqwest's defaults, but for the trusted CA and the lesson's DNS.
fn defaults(stage: &Stage, address: SocketAddr) -> anyhow::Result<ClientBuilder> {
    let root = reqwest::Certificate::from_der(&stage.ca.root_der())?;
    Ok(Client::builder().tls_certs_only([root]).resolve(BANK, address).no_proxy())
}

async fn get(client: ClientBuilder, url: &str) -> reqwest::Result<reqwest::Response> {
    client.build()?.get(url).send().await
}

#[tokio::test]
async fn every_error_of_the_list_is_made_by_a_run() -> Result<(), Box<dyn Error>> {
    let (page, mut t) = Page::with_transcript();
    let stage = Stage::new().await?;
    let bank = stage.host();

    t.step("Nothing listens there.");
    let port = ClosedPort::new()?;
    let closed = port.address()?;
    let answer = get(defaults(&stage, closed)?, &bank_at(closed).url("/")).await;
    t.refused("by the system", answer, "tcp connect error")?;
    t.shows("fix", "Start the server, and check that both ends use the same port.");

    t.step("An https URL, and a server that speaks plain HTTP.");
    let plain = plain_server(HeaderLog::default()).await?;
    let answer = get(defaults(&stage, plain.address())?, &bank_at(plain.address()).url("/")).await;
    t.refused("by the client", answer, "InvalidContentType")?;
    t.shows("fix", "Use the server's TLS port. Do not turn the URL into http.");

    t.step("An http URL, and a server that speaks TLS.");
    let url = bank.url("/").replace("https://", "http://");
    t.refused(
        "by the client",
        get(defaults(&stage, bank.address)?, &url).await,
        "invalid HTTP version parsed",
    )?;
    t.shows(
        "fix",
        "Write https. With https_only(true) the next error comes instead, before a byte is sent.",
    );

    t.step("An http URL, and the take-home client.");
    t.refused("by the client", get(stage.client(&bank)?, &url).await, "URL scheme is not allowed")?;
    t.shows("fix", "Write https.");

    t.step("A redirect to http, followed by a client with https_only(true).");
    let identity = stage.ca.leaf(BANK).issue()?;
    let tls = server_tls(identity.chain(), identity.key(), TLS_1_2_AND_1_3)?;
    let elsewhere = HttpsServer::start(tls, redirect_to("http://127.0.0.1:80/")).await?;
    let client = defaults(&stage, elsewhere.address())?.https_only(true);
    t.refused(
        "by the client",
        get(client, &bank_at(elsewhere.address()).url("/")).await,
        "error following redirect",
    )?;
    t.shows("fix", "Ask for the URL that the server means, or have the server redirect to https.");

    t.step("A server that has TLS 1.2 only, and a client whose minimum is 1.3.");
    let old = Stage::with_versions(TLS_1_2_ONLY).await?;
    t.refused(
        "by the server",
        get(old.client(&old.host())?, &old.host().url("/")).await,
        "ProtocolVersion",
    )?;
    t.shows(
        "fix",
        "Update the server. Until then, set tls_version_min(Version::TLS_1_2) for this one client.",
    );

    t.step("A minimum version above the maximum.");
    let contradiction =
        Client::builder().tls_version_min(Version::TLS_1_3).tls_version_max(Version::TLS_1_2);
    t.refused("when the client is built", contradiction.build(), "empty supported tls versions")?;
    t.shows("fix", "Remove the maximum.");

    t.step("A file in DER that isn't a certificate, as a trusted CA.");
    let garbage = reqwest::Certificate::from_der(b"garbage")?;
    t.refused(
        "when the client is built",
        Client::builder().tls_certs_only([garbage]).build(),
        "BadEncoding",
    )?;
    t.shows(
        "fix",
        "Load the file with this lesson's loader, which says which certificate is broken.",
    );

    t.step("A revocation list, and the platform's trust store.");
    let list =
        reqwest::tls::CertificateRevocationList::from_pem(stage.ca.crl(&[])?.pem()?.as_bytes())?;
    t.refused(
        "when the client is built",
        Client::builder().tls_crls_only([list]).build(),
        "CRLs only allowed",
    )?;
    t.shows(
        "fix",
        "Name the CAs with tls_certs_only, because the platform's verifier takes no lists.",
    );

    t.step("A server that does not answer.");
    let silent = stage.stalling(Stall::Header).await?;
    let client = stage.client(&bank_at(silent.address()))?.timeout(Duration::from_millis(100));
    t.refused(
        "after the timeout",
        get(client, &bank_at(silent.address()).url("/")).await,
        "operation timed out",
    )?;
    t.shows(
        "fix",
        "is_connect() tells a stalled handshake from a stalled answer. Look at the server's log.",
    );

    t.step("A body that ends early.");
    let cut = stage.stalling(Stall::Cut).await?;
    let answer =
        get(stage.client(&bank_at(cut.address()))?, &bank_at(cut.address()).url("/")).await?;
    t.refused("by the client", read_body(answer, 4096).await, "close_notify")?;
    t.shows(
        "fix",
        "Treat it as a failure. Ask again only if the request is safe to repeat. The server should shut its stream down before dropping it.",
    );

    t.step("A status that isn't a success.");
    let answer = get(stage.client(&bank)?, &bank.url("/balance")).await?;
    t.refused("by error_for_status", answer.error_for_status(), "401 Unauthorized")?;
    t.shows("fix", "Send the token, with bearer_auth.");

    settings(env!("CARGO_MANIFEST_DIR"), &[])
        .bind(|| insta::assert_snapshot!("troubleshooting", page.text()));
    Ok(())
}
