//! Tokens made by hand: what an attacker writes, and what no issuer would.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

/// Header and claims as they travel, unsigned: `base64url(header).base64url(claims)`.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    unsigned_text(&header.to_string(), &claims.to_string())
}

/// The same of any text, even if it is no JSON.
pub fn unsigned_text(header: &str, claims: &str) -> String {
    let encode = |text| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}", encode(header), encode(claims))
}

/// Signed with HMAC-SHA256 under whatever secret.
pub fn hs256(secret: &[u8], unsigned: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, unsigned.as_bytes());
    format!("{unsigned}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))
}

/// A part of a token, decoded; none if it is not there or no base64url.
pub fn part(token: &str, index: usize) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(index)?).ok()
}

/// A part of a token as JSON.
pub fn json(token: &str, index: usize) -> Option<Value> {
    serde_json::from_slice(&part(token, index)?).ok()
}
