//! A key id that leads to the attacker's key.

use std::sync::Arc;

use anyhow::Context;
use aws_lc_rs::rand;
use careful_https::body::read_body;
use careful_tokens::clock::Clock;
use careful_tokens::keys::SigningKey;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, Response};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use jwt::lab::stage::{AUDIENCE, ISSUER, NOW, Scope, key_id, pair};
use jwt::lab::web::{Handler, WebServer, url};
use jwt::lab::{careless, forge};
use serde_json::{Value, json};
use shared::Transcript;

use super::logged;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let now = Clock::system().now();
    let admin = json!({ "iss": ISSUER, "sub": "admin", "aud": AUDIENCE, "exp": now + 300 });
    let signed = |kid: &str, secret: &[u8]| {
        let header = json!({ "typ": "JWT", "alg": "HS256", "kid": kid });
        forge::hs256(secret, &forge::unsigned(&header, &admin))
    };

    // ANCHOR: file
    t.step("A careless verifier reads its key from the file that the key id names.");
    let folder = tempfile::tempdir()?;
    let (keys, public) = (folder.path().join("keys"), folder.path().join("public"));
    std::fs::create_dir(&keys)?;
    std::fs::create_dir(&public)?;
    let mut secret = [0; 32];
    rand::fill(&mut secret).ok().context("random bytes")?;
    std::fs::write(keys.join("2026-11"), secret)?;
    std::fs::write(public.join("robots.txt"), "User-agent: *\n")?;
    t.works("the bank's token", careless::key_from_file(&signed("2026-11", &secret), &keys))?;

    t.step("Mallory names a public file, whose contents she knows, and signs with them.");
    let forged = signed("../public/robots.txt", b"User-agent: *\n");
    t.shows("header", forge::json(&forged, 0).context("JSON")?);
    let fooled = careless::key_from_file(&forged, &keys)?;
    t.attack_works("the verifier takes her for admin", fooled["sub"] == "admin")?;
    // ANCHOR_END: file

    t.step("A second verifier asks a key server, and pastes the key id into the address.");
    let server = WebServer::start(key_server(secret)).await?;
    let client = server.client(server.address())?;
    let ask = async |token: &str| {
        let answer =
            client.get(url(server.address(), &careless::key_address(token)?)).send().await?;
        let key = DecodingKey::from_secret(&read_body(answer, 1024).await?);
        anyhow::Ok(careless::by_defaults(token, &key, Algorithm::HS256)?)
    };
    t.works("the bank's token", ask(&signed("2026-11", &secret)).await)?;
    let forged = signed("m1&tenant=mallory", b"the key of tenant mallory");
    t.shows("asks for", careless::key_address(&forged)?);
    t.attack_works(
        "the verifier gets the key of Mallory's own account",
        ask(&forged).await.is_ok_and(|claims| claims["sub"] == "admin"),
    )?;

    t.step("A third verifier takes the key from the header of the token itself (jwk).");
    let hers = EncodingKey::from_ed_der(&SigningKey::ed25519(key_id("m1")?)?.expose());
    let forged = with_own_key(&hers, &admin)?;
    let header = forge::json(&forged, 0).context("JSON")?.to_string();
    t.shows("header", header.replace(',', ", "));
    let fooled = careless::embedded_key(&forged)?;
    t.attack_works("Mallory's token brings the key that verifies it", fooled["sub"] == "admin")?;

    t.step("The take-home verifier looks the key id up in a map, and nowhere else.");
    let (_issuer, verifier) =
        pair(SigningKey::hs256(key_id("2026-11")?, &secret)?, &Clock::settable(NOW))?;
    for (name, token) in [
        ("a path", signed("../public/robots.txt", b"User-agent: *\n")),
        ("a query", signed("m1&tenant=mallory", b"the key of tenant mallory")),
        ("a key in the header", forged),
    ] {
        let refused = logged(verifier.verify::<Scope>(&token));
        t.refused_in_short(name, refused, "not in the set")?;
    }
    t.refused(
        "a key whose id is a path, when it is added",
        careful_tokens::keys::KeyId::new("../public/robots.txt"),
        "letters, digits",
    )
}

/// The keys of each tenant. Of a parameter that comes twice it takes the last one, as many do.
fn key_server(secret: [u8; 32]) -> Handler {
    Arc::new(move |request: Request<Bytes>| {
        let query = request.uri().query().unwrap_or_default();
        let mut tenants = query.split('&').filter_map(|pair| pair.strip_prefix("tenant="));
        let key = match tenants.next_back() {
            Some("bank") => Bytes::copy_from_slice(&secret),
            _ => Bytes::from_static(b"the key of tenant mallory"),
        };
        Response::new(Full::from(key))
    })
}

/// A token that brings the key that verifies it.
fn with_own_key(key: &EncodingKey, claims: &Value) -> anyhow::Result<String> {
    let public = SigningKey::from_pkcs8(
        key_id("m1")?,
        careful_tokens::keys::Algorithm::EdDsa,
        key.as_bytes(),
    )?;
    let set = careful_tokens::jwks::KeySet::new([public.verifying()])?.to_jwks()?;
    let set: Value = serde_json::from_str(&set)?;
    let header = json!({ "typ": "JWT", "alg": "EdDSA", "kid": "m1", "jwk": set["keys"][0] });
    let unsigned = forge::unsigned(&header, claims);
    let signature = jsonwebtoken::crypto::sign(unsigned.as_bytes(), key, Algorithm::EdDSA)?;
    Ok(format!("{unsigned}.{signature}"))
}
