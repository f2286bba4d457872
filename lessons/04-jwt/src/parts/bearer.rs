//! A token on the network, and a stolen one.

use std::time::Duration;

use anyhow::{Context, ensure};
use careful_https::body::read_body;
use careful_tokens::binding::Confirmation;
use careful_tokens::clock::Clock;
use careful_tokens::issuer::Issuer;
use careful_tokens::keys::{Algorithm, SigningKey};
use careful_tokens::profile::{Profile, TokenType};
use jwt::lab::mutual::present;
use jwt::lab::service::Service;
use jwt::lab::stage::{ISSUER, NOW, Scope, key_id, pair};
use jwt::lab::web::{WebServer, url};
use reqwest::RequestBuilder;
use shared::{Transcript, Wiretap};

use super::logged;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let clock = Clock::settable(NOW);
    let key = SigningKey::ed25519(key_id("2026-11")?)?;
    let kept = key.expose();
    let same_key = || {
        SigningKey::from_pkcs8(key_id("2026-11")?, Algorithm::EdDsa, &kept)
            .map_err(anyhow::Error::from)
    };
    let (issuer, verifier) = pair(key, &clock)?;
    let service = Service::new(verifier);
    let server = WebServer::start(service.handler()).await?;
    let tap = Wiretap::listening_to(server.address()).await?;
    let client = server.client(tap.address())?;

    // ANCHOR: header
    t.step("Alice sends her token in the Authorization header over HTTPS, and a tap records.");
    let expired = issuer.issue("alice", &Scope::new("read"))?;
    clock.advance(Duration::from_secs(3600));
    let token = issuer.issue("alice", &Scope::new("read"))?;
    let get = |path: &str| client.get(url(tap.address(), path));
    let answer = get("/balance").bearer_auth(token.expose()).send().await;
    // ANCHOR_END: header
    let answer = t.works("GET /balance", answer)?.error_for_status()?;
    let body = read_body(answer, 1024).await?;
    t.must_show("answer", &String::from_utf8_lossy(&body), "balance of alice")?;
    t.wire_hides(&tap.recording(), "the token", token.expose())?;
    t.must_show("server's log", service.log().last().context("a line")?, "GET /balance 200")?;

    t.step("Three requests without a token. Compare the reasons in the log with the answer.");
    let none = [
        ("no header", get("/balance")),
        ("a name and a password", get("/balance").basic_auth("alice", Some("password"))),
        ("two headers", get("/balance").bearer_auth("a").bearer_auth("b")),
    ];
    answered_alike(t, &service, none).await?;

    t.step("Four requests with a bad token. Compare the reasons in the log with the answer.");
    let photos = Profile::new(ISSUER, "https://photos.test", TokenType::ACCESS)?;
    let photos = Issuer::new(photos, same_key()?, clock.clone());
    let elsewhere = photos.issue("alice", &Scope::new("read"))?;
    let flipped = format!("{}AAAA", &token.expose()[..token.expose().len() - 4]);
    let bearing = |token: &str| get("/balance").bearer_auth(token);
    let refused = [
        ("another text", bearing("not a token")),
        ("an hour old", bearing(expired.expose())),
        ("for the photos", bearing(elsewhere.expose())),
        ("a changed signature", bearing(&flipped)),
    ];
    answered_alike(t, &service, refused).await?;

    t.step("An old page of the service also takes the token from the URL.");
    let path = format!("/old/balance?access_token={}", token.expose());
    let answer = t.works("GET /old/balance", get(&path).send().await)?;
    ensure!(answer.status().is_success(), "the old page takes it");
    let line = service.log().last().context("a line")?.clone();
    let start: String = line.chars().take(40).collect();
    t.shows("server's log", format!("{start}…"));
    let copied = line.split("access_token=").nth(1).and_then(|rest| rest.split(' ').next());
    let copied = copied.context("a token in the log")?;
    let answer = get("/balance").bearer_auth(copied).send().await?;
    t.attack_works(
        "Mallory copies the token from the log, and the service takes her for Alice",
        answer.status().is_success(),
    )?;
    let path = format!("/balance?access_token={}", token.expose());
    let answer = get(&path).send().await?;
    t.must_show("GET /balance", &answer.status().to_string(), "401")?;

    // ANCHOR: bound
    t.step(
        "A token that is bound to Alice's TLS certificate, and a service that asks for a \
         certificate.",
    );
    let ca = server.ca();
    let (alices, mallorys) =
        (ca.leaf("alice.test").for_clients(), ca.leaf("mallory.test").for_clients());
    let (alices, mallorys) = (alices.issue()?, mallorys.issue()?);
    let holder = Confirmation::of_certificate(&alices.leaf_der());
    let bound = issuer.issue_bound("alice", holder, &Scope::new("read"))?;
    let (_issuer, verifier) = pair(same_key()?, &clock)?;
    let subject = present(ca, &alices, bound.expose(), &verifier).await?;
    let subject = t.works("Alice, with her certificate", logged(subject))?;
    t.must_show("subject", &subject, "alice")?;
    // ANCHOR_END: bound
    t.refused(
        "Mallory, with the stolen token and a valid certificate of her own",
        logged(present(ca, &mallorys, bound.expose(), &verifier).await?),
        "the holder of another certificate",
    )?;
    t.refused(
        "the stolen token, at a service that asks for no certificate",
        logged(verifier.verify::<Scope>(bound.expose())),
        "presented without one",
    )?;
    t.refused(
        "a bearer token where bound ones are expected",
        logged(present(ca, &alices, token.expose(), &verifier).await?),
        "expected a token that is bound",
    )
}

/// Sends them; shows why each is refused, and the one answer.
async fn answered_alike<const N: usize>(
    t: &mut Transcript,
    service: &Service,
    requests: [(&str, RequestBuilder); N],
) -> anyhow::Result<()> {
    let mut answers = Vec::new();
    for (what, request) in requests {
        answers.push(whole(request).await?);
        t.shows("request", what);
        t.shows("  log", service.reasons().last().context("a reason")?);
    }
    answers.dedup();
    ensure!(answers.len() == 1, "one answer to all of them: {answers:?}");
    for (label, line) in answers.iter().flatten() {
        t.shows(label, line);
    }
    Ok(())
}

/// Everything that an answer says, but the date.
async fn whole(request: RequestBuilder) -> anyhow::Result<Vec<(&'static str, String)>> {
    let answer = request.send().await?;
    let mut lines = vec![("status", format!("{:?} {}", answer.version(), answer.status()))];
    for (name, value) in answer.headers() {
        if name != "date" {
            lines.push(("header", format!("{name}: {}", value.to_str()?)));
        }
    }
    let body = read_body(answer, 1024).await?;
    lines.push(("body", format!("{} bytes", body.len())));
    Ok(lines)
}
