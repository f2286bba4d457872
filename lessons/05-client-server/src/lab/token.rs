//! An access token, taken apart and put together again: no key is needed for that.

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use careful_mailbox::protocol::Secret;
use serde_json::Value;

/// The id of the key that signed it, as its header says.
pub fn key_id(token: &Secret) -> anyhow::Result<Value> {
    Ok(decode(token.expose().split('.').next())?["kid"].clone())
}

/// The same token about another subject, under its old signature.
pub fn about_another(token: &Secret, subject: &str) -> anyhow::Result<Secret> {
    let mut parts = token.expose().split('.');
    let (header, claims, signature) = (parts.next(), parts.next(), parts.next());
    let mut claims = decode(claims)?;
    claims["sub"] = subject.into();
    let claims = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
    let (header, signature) = (header.context("a header")?, signature.context("a signature")?);
    Ok(Secret::new(format!("{header}.{claims}.{signature}")))
}

fn decode(part: Option<&str>) -> anyhow::Result<Value> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(part.context("a part of the token")?)?;
    Ok(serde_json::from_slice(&json)?)
}
