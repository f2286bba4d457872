//! RS256 to HS256: a public key, taken for a secret.

use anyhow::Context;
use careful_tokens::clock::Clock;
use careful_tokens::keys::SigningKey;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use jwt::lab::stage::{AUDIENCE, ISSUER, NOW, Scope, key_id, pair};
use jwt::lab::{careless, forge};
use serde_json::json;
use shared::Transcript;

use super::logged;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let now = Clock::system().now();
    let claims = json!({ "iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "exp": now + 300 });

    t.step("A bank signs with RSA (RS256) and publishes its public key.");
    let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256)?;
    let (private, public) = (rsa.serialize_pem(), rsa.public_key_pem());
    let key = EncodingKey::from_rsa_pem(private.as_bytes())?;
    let token = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key)?;
    t.shows("public key", public.lines().next().unwrap_or_default());
    t.works("Alice's token", careless::by_header(&token, &public))?;

    // ANCHOR: attack
    t.step(
        "Mallory writes HS256 into the header, and uses the public key as the secret of an HMAC.",
    );
    let mut admin = claims;
    admin["sub"] = "admin".into();
    let header = json!({ "typ": "JWT", "alg": "HS256" });
    let forged = forge::hs256(public.as_bytes(), &forge::unsigned(&header, &admin));
    // ANCHOR_END: attack
    t.shows("header", forge::json(&forged, 0).context("JSON")?);
    let fooled = careless::by_header(&forged, &public)?;
    t.attack_works(
        "a verifier that lets the header choose the algorithm takes her for admin",
        fooled["sub"] == "admin",
    )?;

    t.step("jsonwebtoken, which is told the one algorithm of the key.");
    let rsa_key = DecodingKey::from_rsa_pem(public.as_bytes())?;
    t.refused(
        "the same token",
        careless::by_defaults(&forged, &rsa_key, Algorithm::RS256),
        "InvalidAlgorithm",
    )?;
    t.refused(
        "the same token, with the algorithm of its header",
        careless::by_defaults(&forged, &rsa_key, Algorithm::HS256),
        "InvalidKeyFormat",
    )?;
    t.note(
        "The key is typed: from_rsa_pem makes one for RSA only. What undoes it is \
         from_secret(pem).",
    );

    t.step("The take-home verifier, in which each key has one algorithm.");
    let (issuer, verifier) = pair(SigningKey::ed25519(key_id("2026-11")?)?, &Clock::settable(NOW))?;
    let token = issuer.issue("alice", &Scope::new("read"))?;
    let jwks = careful_tokens::jwks::KeySet::new([issuer.verifying_key()])?.to_jwks()?;
    let header = json!({ "typ": "at+jwt", "alg": "HS256", "kid": "2026-11" });
    let claims = forge::json(token.expose(), 1).context("JSON")?;
    let forged = forge::hs256(jwks.as_bytes(), &forge::unsigned(&header, &claims));
    t.refused(
        "HS256 under the id of an EdDSA key",
        logged(verifier.verify::<Scope>(&forged)),
        "expected the algorithm EdDSA, got HS256",
    )
}
