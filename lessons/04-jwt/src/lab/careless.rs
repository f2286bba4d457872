//! Verifiers as they are found in the wild. Each makes one mistake.

use std::path::Path;

use jsonwebtoken::errors::Error;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use crate::lab::forge;
use crate::lab::stage::{AUDIENCE, ISSUER};

/// What most programs write: a key, an algorithm, an issuer, an audience. And the library's
/// defaults.
pub fn by_defaults(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Value, Error> {
    // ANCHOR: defaults
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    let claims = decode::<Value>(token, key, &validation)?.claims;
    // ANCHOR_END: defaults
    Ok(claims)
}

// ANCHOR: honors_none
/// INSECURE: written by hand, with an early return for tokens that say they are unsigned.
pub fn honors_none(token: &str, secret: &[u8]) -> Option<Value> {
    let header = forge::json(token, 0)?;
    if header["alg"] == "none" {
        return forge::json(token, 1);
    }
    let (unsigned, _signature) = token.rsplit_once('.')?;
    (forge::hs256(secret, unsigned) == token).then(|| forge::json(token, 1))?
}
// ANCHOR_END: honors_none

// ANCHOR: deny_list
/// INSECURE: the same, after the report: `none` is on a list of what is refused.
pub fn refuses_none(token: &str, secret: &[u8]) -> Option<Value> {
    let header = forge::json(token, 0)?;
    let algorithm = header["alg"].as_str()?;
    if algorithm == "none" {
        return None;
    }
    match algorithm.to_ascii_lowercase().as_str() {
        "none" => forge::json(token, 1),
        _ => honors_none(token, secret),
    }
}
// ANCHOR_END: deny_list

// ANCHOR: unverified
/// INSECURE: reads who it is before, or instead of, verifying it.
pub fn reads_only(token: &str) -> Result<Value, Error> {
    #[expect(clippy::disallowed_methods, reason = "the mistake that the part `none` attacks")]
    jsonwebtoken::dangerous::insecure_decode_claims(token)
}
// ANCHOR_END: unverified

// ANCHOR: confused
/// INSECURE: the token's header decides what the bytes of the key mean.
pub fn by_header(token: &str, key_pem: &str) -> Result<Value, Error> {
    let algorithm = decode_header(token)?.alg;
    let key = match algorithm {
        Algorithm::RS256 => DecodingKey::from_rsa_pem(key_pem.as_bytes())?,
        _ => DecodingKey::from_secret(key_pem.as_bytes()),
    };
    by_defaults(token, &key, algorithm)
}
// ANCHOR_END: confused

// ANCHOR: from_file
/// INSECURE: the key id is a file name.
pub fn key_from_file(token: &str, folder: &Path) -> anyhow::Result<Value> {
    let id = decode_header(token)?.kid.unwrap_or_default();
    let secret = std::fs::read(folder.join(id))?;
    Ok(by_defaults(token, &DecodingKey::from_secret(&secret), Algorithm::HS256)?)
}
// ANCHOR_END: from_file

// ANCHOR: from_query
/// INSECURE: the key id is pasted into the address of the key server.
pub fn key_address(token: &str) -> Result<String, Error> {
    let id = decode_header(token)?.kid.unwrap_or_default();
    Ok(format!("/key?tenant=bank&id={id}"))
}
// ANCHOR_END: from_query

// ANCHOR: embedded
/// INSECURE: the token brings the key that verifies it (the header's `jwk`).
pub fn embedded_key(token: &str) -> anyhow::Result<Value> {
    let header = decode_header(token)?;
    let jwk = header.jwk.ok_or_else(|| anyhow::anyhow!("no key in the header"))?;
    Ok(by_defaults(token, &DecodingKey::from_jwk(&jwk)?, header.alg)?)
}
// ANCHOR_END: embedded

// ANCHOR: any_audience
/// INSECURE: "InvalidAudience" was in the way, so the check was turned off.
pub fn any_audience(token: &str, key: &DecodingKey) -> Result<Value, Error> {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[ISSUER]);
    validation.validate_aud = false;
    Ok(decode::<Value>(token, key, &validation)?.claims)
}
// ANCHOR_END: any_audience
