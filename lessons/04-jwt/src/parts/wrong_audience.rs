//! A genuine token, in the wrong place.

use anyhow::Context;
use careful_tokens::clock::Clock;
use careful_tokens::issuer::Issuer;
use careful_tokens::keys::SigningKey;
use careful_tokens::profile::{Profile, TokenType};
use jsonwebtoken::{Algorithm, DecodingKey};
use jwt::lab::stage::{AUDIENCE, ISSUER, Scope, key_id, pair};
use jwt::lab::{careless, forge};
use serde_json::json;
use shared::Transcript;

use super::logged;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let clock = Clock::system();
    let key = SigningKey::ed25519(key_id("2026-11")?)?;
    let same_key = || {
        SigningKey::from_pkcs8(
            key_id("2026-11")?,
            careful_tokens::keys::Algorithm::EdDsa,
            &key.expose(),
        )
        .map_err(anyhow::Error::from)
    };
    let set = careful_tokens::jwks::KeySet::new([key.verifying()])?.to_jwks()?;
    let jwk: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&set)?;
    let public = DecodingKey::from_jwk(&jwk.keys[0])?;
    let (_issuer, accounts) = pair(same_key()?, &clock)?;

    // ANCHOR: audience
    t.step("Alice logs in to Mallory's photo service with a token from her bank's login.");
    let photos = Profile::new(ISSUER, "https://photos.test", TokenType::ACCESS)?;
    let photos = Issuer::new(photos, same_key()?, clock.clone());
    let token = photos.issue("alice", &Scope::new("read"))?;
    // ANCHOR_END: audience
    let claims = forge::json(token.expose(), 1).context("JSON")?;
    for name in ["iss", "aud", "sub"] {
        t.shows(name, claims[name].as_str().unwrap_or_default());
    }

    t.step("Mallory shows that token to the bank. Its issuer, key, signature and times are right.");
    let fooled = careless::any_audience(token.expose(), &public)?;
    t.attack_works(
        "a verifier that doesn't check the audience takes Mallory for Alice",
        fooled["sub"] == "alice",
    )?;
    t.refused(
        "the take-home verifier",
        logged(accounts.verify::<Scope>(token.expose())),
        "for another audience",
    )?;

    t.step("A token without an audience, at a jsonwebtoken verifier that calls set_audience.");
    let now = clock.now();
    let anywhere = json!({ "iss": ISSUER, "sub": "alice", "exp": now + 300, "iat": now,
        "jti": "1", "scope": "read" });
    let mut header = jsonwebtoken::Header::new(Algorithm::EdDSA);
    (header.typ, header.kid) = (Some("at+jwt".into()), Some("2026-11".into()));
    let signing = jsonwebtoken::EncodingKey::from_ed_der(&key.expose());
    let token = jsonwebtoken::encode(&header, &anywhere, &signing)?;
    let defaults = careless::by_defaults(&token, &public, Algorithm::EdDSA);
    t.attack_works("jsonwebtoken doesn't check a claim that isn't there", defaults.is_ok())?;
    t.refused(
        "the take-home verifier",
        logged(accounts.verify::<Scope>(&token)),
        "missing field `aud`",
    )?;

    // ANCHOR: kind
    t.step("The login also signs receipts, with the same key, issuer and audience.");
    let receipts = Profile::new(ISSUER, AUDIENCE, TokenType::new("receipt+jwt"))?;
    let receipts = Issuer::new(receipts, same_key()?, clock.clone());
    let receipt = receipts.issue("alice", &Scope::new("read"))?;
    // ANCHOR_END: kind
    let defaults = careless::by_defaults(receipt.expose(), &public, Algorithm::EdDSA);
    t.attack_works(
        "jsonwebtoken's defaults take the receipt for an access token",
        defaults.is_ok(),
    )?;
    t.refused(
        "the take-home verifier",
        logged(accounts.verify::<Scope>(receipt.expose())),
        "expected the kind at+jwt",
    )
}
