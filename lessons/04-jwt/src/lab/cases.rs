//! One good token, and thirty more that differ from it in one thing each. Who accepts which?

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde_json::{Value, json};

use crate::lab::stage::{AUDIENCE, ISSUER, Scope, key_id, profile};
use crate::lab::{careless, forge};
use careful_tokens::clock::Clock;
use careful_tokens::jwks::KeySet;
use careful_tokens::keys::{SECRET, SigningKey};
use careful_tokens::verifier::Verifier;

/// The id of the one key.
const KEY: &str = "2026-11";

/// A token, and what is done to it.
pub struct Case {
    /// What is different.
    pub name: &'static str,
    /// The token.
    pub token: String,
    /// The secret that verifier and signer have.
    pub secret: Vec<u8>,
    now: u64,
}

impl Case {
    /// Whether jsonwebtoken's defaults accept it.
    pub fn defaults(&self) -> bool {
        let key = DecodingKey::from_secret(&self.secret);
        careless::by_defaults(&self.token, &key, Algorithm::HS256).is_ok()
    }

    /// Whether the profile does; the reason if it does not.
    pub fn profile(&self) -> anyhow::Result<Result<(), String>> {
        let key = match <&[u8; SECRET]>::try_from(&*self.secret) {
            Ok(secret) => SigningKey::hs256(key_id(KEY)?, secret),
            // As it stands in a configuration.
            Err(_) => {
                SigningKey::hs256_from_base64(key_id(KEY)?, &String::from_utf8_lossy(&self.secret))
            }
        };
        let key = match key {
            Ok(key) => key,
            Err(weak) => return Ok(Err(weak.to_string())),
        };
        let keys = KeySet::new([key.verifying()])?;
        let verifier = Verifier::new(profile()?, keys, Clock::settable(self.now));
        let verified = verifier.verify::<Scope>(&self.token);
        Ok(verified.map(|_claims| ()).map_err(|refused| refused.reason().to_string()))
    }
}

/// The cases, made `now`: the defaults have no other clock than the system's.
pub fn all(now: u64, secret: &[u8; 32], public_pem: &str) -> Vec<Case> {
    let header = json!({ "typ": "at+jwt", "alg": "HS256", "kid": KEY });
    let claims = json!({
        "iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "scope": "read",
        "exp": now + 200, "iat": now.saturating_sub(100), "jti": "case-of-the-table",
    });
    let signed = |header: &Value, claims: &Value, secret: &[u8]| {
        forge::hs256(secret, &forge::unsigned(header, claims))
    };
    let mut cases = Vec::new();
    let mut add = |name, token: String, secret: &[u8]| {
        cases.push(Case { name, token, secret: secret.to_vec(), now });
    };
    // A claim or a header field that is missing (null) or other than it should be.
    let changed = |of: &Value, name: &str, value: Value| {
        let mut changed = of.clone();
        changed[name] = value;
        if changed[name].is_null()
            && let Some(map) = changed.as_object_mut()
        {
            map.remove(name);
        }
        changed
    };
    let good = signed(&header, &claims, secret);
    add("a good one", good.clone(), secret);
    for (name, claim, value) in [
        ("no exp", "exp", Value::Null),
        ("exp 30 s ago", "exp", json!(now.saturating_sub(30))),
        ("exp 5 minutes ago", "exp", json!(now.saturating_sub(300))),
        ("exp in milliseconds", "exp", json!((now + 200) * 1000)),
        ("exp a year ahead", "exp", json!(now + 365 * 24 * 3600)),
        ("exp with a fraction", "exp", json!(now as f64 + 200.5)),
        ("exp \"never\"", "exp", json!("never")),
        ("nbf an hour ahead", "nbf", json!(now + 3600)),
        ("nbf \"tomorrow\"", "nbf", json!("tomorrow")),
        ("iat two minutes ahead", "iat", json!(now + 120)),
        ("no iat", "iat", Value::Null),
        ("no iss", "iss", Value::Null),
        ("another iss", "iss", json!("https://login.evil.test")),
        ("iss a list with ours", "iss", json!([ISSUER, "https://login.evil.test"])),
        ("no aud", "aud", Value::Null),
        ("another aud", "aud", json!("https://photos.bank.test")),
        ("aud the number 5", "aud", json!(5)),
        ("aud a list with ours", "aud", json!([AUDIENCE, "https://photos.bank.test"])),
        ("no sub", "sub", Value::Null),
        ("sub the number 5", "sub", json!(5)),
        ("no jti", "jti", Value::Null),
    ] {
        add(name, signed(&header, &changed(&claims, claim, value), secret), secret);
    }
    let twice = claims.to_string().replacen('{', &format!("{{\"exp\":{now},"), 1);
    add(
        "exp twice",
        forge::hs256(secret, &forge::unsigned_text(&header.to_string(), &twice)),
        secret,
    );
    for (name, field, value) in [
        ("typ of another kind", "typ", json!("logout+jwt")),
        ("no typ", "typ", Value::Null),
        ("crit with an extension", "crit", json!(["rate"])),
        ("kid unknown", "kid", json!("2019-01")),
    ] {
        let mut header = changed(&header, field, value);
        if field == "crit" {
            // What crit names has to be there (RFC 7515 section 4.1.11).
            header["rate"] = json!(1);
        }
        add(name, signed(&header, &claims, secret), secret);
    }
    let none = changed(&header, "alg", json!("none"));
    add("alg none, no signature", format!("{}.", forge::unsigned(&none, &claims)), secret);
    let hs512 = forge::unsigned(&changed(&header, "alg", json!("HS512")), &claims);
    let tag = jsonwebtoken::crypto::sign(
        hs512.as_bytes(),
        &EncodingKey::from_secret(secret),
        Algorithm::HS512,
    );
    add("alg HS512, same secret", format!("{hs512}.{}", tag.unwrap_or_default()), secret);
    add("no signature", good[..=good.rfind('.').unwrap_or(0)].to_owned(), secret);
    let mut forged = forge::part(&good, 2).unwrap_or_default();
    forged[0] ^= 1;
    let forged = BASE64_URL_SAFE_NO_PAD.encode(forged);
    let unsigned = good.rsplit_once('.').unwrap_or_default().0;
    add("a bit of the signature", format!("{unsigned}.{forged}"), secret);
    add("an empty secret", signed(&header, &claims, b""), b"");
    add("a secret of 6 bytes", signed(&header, &claims, b"secret"), b"secret");
    let pem = public_pem.as_bytes();
    add("a public key as secret", signed(&header, &claims, pem), pem);
    cases
}
