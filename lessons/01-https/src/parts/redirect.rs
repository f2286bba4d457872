//! A server that sends you elsewhere, and what your client takes along.

use anyhow::ensure;
use careful_https::client::secure_client;
use https::lab::plain::{HeaderLog, plain_server, redirect_to};
use https::lab::server::{HttpsServer, TLS_1_2_AND_1_3, server_tls};
use reqwest::ClientBuilder;
use reqwest::redirect::Policy;
use shared::{LabCa, Transcript, Wiretap};

use https::lab::stage::{BANK, bank_at, trust};

const API_KEY: &str = "key-of-alice-41c0";

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let ca = LabCa::new("Course Lab")?;
    let identity = ca.leaf(BANK).issue()?;
    let tls = server_tls(identity.chain(), identity.key(), TLS_1_2_AND_1_3)?;
    let log = HeaderLog::default();
    let plain = plain_server(log.clone()).await?;
    let tap = Wiretap::listening_to(plain.address()).await?;
    let elsewhere = format!("http://localhost:{}/", tap.address().port());
    let server = HttpsServer::start(tls.clone(), redirect_to(&elsewhere)).await?;
    let bank = bank_at(server.address());
    let root = reqwest::Certificate::from_der(&ca.root_der())?;
    // reqwest's defaults, but for the trusted CA and the lesson's DNS.
    let defaults = || {
        let ca_only = reqwest::Client::builder().tls_certs_only([root.clone()]).no_proxy();
        ca_only.resolve(BANK, bank.address).resolve("localhost", tap.address())
    };
    let get = async |client: ClientBuilder| -> anyhow::Result<reqwest::Response> {
        let request = client
            .build()?
            .get(bank.url("/"))
            .header("x-api-key", API_KEY)
            .bearer_auth("token-of-alice");
        Ok(request.send().await?)
    };

    // ANCHOR: defaults
    t.step("A server redirects from https to http. The client has reqwest's defaults.");
    let answer = t.works("GET with x-api-key and authorization", get(defaults()).await)?;
    t.shows("final URL", answer.url());
    let seen = log.seen();
    for header in ["authorization", "x-api-key"] {
        let came = seen.iter().any(|headers| headers.contains_key(header));
        t.shows(header, if came { "came along" } else { "was left out" });
    }
    t.wire_shows(&tap.recording(), "the API key", API_KEY)?;
    t.attack_works("a redirect brought a secret onto an open wire", seen.len() == 1)?;
    // ANCHOR_END: defaults

    // ANCHOR: https_only
    t.step("The same redirect, and a client with https_only(true).");
    let before = tap.recording().len();
    t.refused("GET", get(defaults().https_only(true)).await, "URL scheme is not allowed")?;
    t.shows("wire", format!("{} further bytes", tap.recording().len() - before));
    ensure!(tap.recording().len() == before, "nothing crosses the wire");
    // ANCHOR_END: https_only

    t.step("A redirect to another https server, and the same client.");
    let shop_log = HeaderLog::default();
    let identity = ca.leaf("shop.test").issue()?;
    let shop_tls = server_tls(identity.chain(), identity.key(), TLS_1_2_AND_1_3)?;
    let shop = HttpsServer::start(shop_tls, shop_log.handler()).await?;
    let elsewhere = format!("https://shop.test:{}/", shop.address().port());
    let sends_away = HttpsServer::start(tls, redirect_to(&elsewhere)).await?;
    let client = defaults().https_only(true).resolve("shop.test", shop.address()).build()?;
    client.get(bank_at(sends_away.address()).url("/")).header("x-api-key", API_KEY).send().await?;
    let shop_has_it = shop_log
        .seen()
        .iter()
        .any(|headers| headers.get("x-api-key").is_some_and(|key| key == API_KEY));
    t.attack_works("shop.test has the bank's API key", shop_has_it)?;

    // ANCHOR: none
    t.step("The same redirect, and two clients that follow none, the first with Policy::none().");
    let answer = t.works("GET", get(defaults().redirect(Policy::none())).await)?;
    t.shows("status", answer.status());
    let secure = secure_client(&trust(&ca)?)?.resolve(BANK, bank.address);
    let answer = t.works("GET with the take-home client", get(secure).await)?;
    t.shows("status", answer.status());
    let further = log.seen().len() - 1;
    ensure!(further == 0, "only the first client was led away");
    t.shows("plain server", format!("{further} further requests"));
    // ANCHOR_END: none
    Ok(())
}
