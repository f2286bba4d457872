//! `just bench 4`: the take-home issuer and verifier next to bare jsonwebtoken, and PyJWT.
//!
//! The Rust ways take turns within one run, round by round; each figure is the median. "Bare" is
//! `jsonwebtoken::encode` and `decode` with the library's defaults, issuer and audience, on the
//! same claims. PyJWT runs in the same run, where it is found, for half a second each. About half a
//! minute.

use std::hint::black_box;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use careful_tokens::claims::Claims;
use careful_tokens::clock::Clock;
use careful_tokens::jwks::KeySet;
use careful_tokens::keys::{Algorithm, KeyId, SigningKey};
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation, decode, encode};
use jwt::lab::stage::{AUDIENCE, ISSUER, Scope, pair};
use peers::Peer;
use serde_json::{Value, json};
use snapshots::measure::{ROUNDS, per_second};

fn main() -> anyhow::Result<()> {
    let python = Peer::python("jwt, cryptography");
    println!("thousands a second, median of {ROUNDS} rounds");
    println!("                 bare   take-home  ratio    PyJWT");
    let id = || KeyId::new("2026-11");
    let keys =
        [SigningKey::ed25519(id()?)?, SigningKey::p256(id()?)?, SigningKey::hs256_random(id()?)?];
    for key in keys {
        let algorithm = key.algorithm();
        let (encoding, decoding, name) = match algorithm {
            Algorithm::Hs256 => (
                EncodingKey::from_secret(&key.expose()),
                DecodingKey::from_secret(&key.expose()),
                jsonwebtoken::Algorithm::HS256,
            ),
            Algorithm::EdDsa => (
                EncodingKey::from_ed_der(&key.expose()),
                public(&key)?,
                jsonwebtoken::Algorithm::EdDSA,
            ),
            Algorithm::Es256 => (
                EncodingKey::from_ec_der(&key.expose()),
                public(&key)?,
                jsonwebtoken::Algorithm::ES256,
            ),
        };
        let theirs = python.as_ref().map(|python| pyjwt(python, &key)).transpose()?;
        let (issuer, verifier) = pair(key, &Clock::system())?;
        let scope = Scope::new("read");
        let token = issuer.issue("alice", &scope)?;
        let claims: Claims<Scope> = verifier.verify(token.expose())?;
        let mut header = Header::new(name);
        (header.typ, header.kid) = (Some("at+jwt".into()), Some("2026-11".into()));
        let mut validation = Validation::new(name);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);

        let issue =
            per_second([&mut || drop(black_box(encode(&header, &claims, &encoding))), &mut || {
                drop(black_box(issuer.issue("alice", &scope)))
            }]);
        let verify = per_second([
            &mut || {
                let decoded = decode::<Claims<Scope>>(token.expose(), &decoding, &validation);
                black_box(decoded).expect("verified");
            },
            &mut || {
                let verified = verifier.verify::<Scope>(token.expose());
                black_box(verified).expect("verified");
            },
        ]);
        for (at, (what, [bare, ours])) in
            [("issue", issue), ("verify", verify)].into_iter().enumerate()
        {
            let theirs =
                theirs.map_or("-".to_owned(), |rates| format!("{:.1}", rates[at] / 1000.0));
            println!(
                "{:6} {what:7} {:7.1}   {:9.1}   {:.2}  {theirs:>7}",
                algorithm.name(),
                bare / 1000.0,
                ours / 1000.0,
                ours / bare,
            );
        }
    }
    Ok(())
}

fn jwk(key: &SigningKey) -> anyhow::Result<Value> {
    let set = KeySet::new([key.verifying()])?.to_jwks()?;
    Ok(serde_json::from_str::<Value>(&set)?["keys"][0].clone())
}

fn public(key: &SigningKey) -> anyhow::Result<DecodingKey> {
    Ok(DecodingKey::from_jwk(&serde_json::from_value(jwk(key)?)?)?)
}

/// PyJWT's rates, to issue and to verify.
fn pyjwt(python: &Peer, key: &SigningKey) -> anyhow::Result<[f64; 2]> {
    let now = Clock::system().now();
    let mut given = json!({
        "algorithm": key.algorithm().name(), "issuer": ISSUER, "audience": AUDIENCE,
        "seconds": 0.5, "header": { "typ": "at+jwt", "kid": "2026-11" },
        "claims": {
            "iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "exp": now + 600, "iat": now,
            "jti": "0123456789abcdefghijkl", "scope": "read",
        },
    });
    if key.algorithm() == Algorithm::Hs256 {
        let hex: String = key.expose().iter().map(|byte| format!("{byte:02x}")).collect();
        given["secret"] = hex.into();
    } else {
        given["jwk"] = jwk(key)?;
        let der = BASE64_STANDARD.encode(&*key.expose());
        let kind = "PRIVATE KEY";
        given["pem"] = format!("-----BEGIN {kind}-----\n{der}\n-----END {kind}-----\n").into();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/peer.py");
    let answer = python.run_with_input([script, "bench"], &given.to_string());
    anyhow::ensure!(answer.code == Some(0), "PyJWT: {}", answer.said);
    Ok(serde_json::from_str(&answer.said)?)
}
