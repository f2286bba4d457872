//! INSECURE: three verifiers, written by hand. Each takes a token and says whose it is.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

/// What all three know.
pub struct Doors {
    /// The keys, by id: first that of the webhooks, which partners have, too; then the bank's own.
    pub keys: [(&'static str, [u8; 32]); 2],
    /// The service that this is.
    pub audience: &'static str,
}

fn json(part: &str) -> Option<Value> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn is_signed(secret: &[u8], message: &str, signature: &str) -> bool {
    let Ok(signature) = BASE64_URL_SAFE_NO_PAD.decode(signature) else { return false };
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::verify(&key, message.as_bytes(), &signature).is_ok()
}

impl Doors {
    fn key(&self, id: &str) -> Option<&[u8; 32]> {
        self.keys.iter().find(|(known, _)| *known == id).map(|(_, secret)| secret)
    }

    /// Old clients send no key id, or another one.
    pub fn door_1(&self, token: &str) -> Option<String> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let (header, claims) = (json(header)?, json(claims)?);
        let id = header["kid"].as_str().unwrap_or_default();
        let (_, first) = &self.keys[0];
        if !is_signed(self.key(id).unwrap_or(first), message, signature) {
            return None;
        }
        // Partners may call the webhooks, and nothing else.
        if id == "webhooks" || claims["aud"] != self.audience {
            return None;
        }
        Some(claims["sub"].as_str()?.to_owned())
    }

    /// The service has many addresses below its own: `/v1`, `/v2`.
    pub fn door_2(&self, token: &str) -> Option<String> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let (header, claims) = (json(header)?, json(claims)?);
        if !is_signed(self.key(header["kid"].as_str()?)?, message, signature) {
            return None;
        }
        if !claims["aud"].as_str()?.starts_with(self.audience) || header["kid"] == "webhooks" {
            return None;
        }
        Some(claims["sub"].as_str()?.to_owned())
    }

    /// The gateway checks the signature, the service behind it reads the claims.
    pub fn door_3(&self, token: &str) -> Option<String> {
        self.gateway(token).then(|| self.service(token)).flatten()
    }

    fn gateway(&self, token: &str) -> bool {
        let mut from_the_end = token.rsplitn(4, '.');
        let (Some(signature), Some(claims), Some(header)) =
            (from_the_end.next(), from_the_end.next(), from_the_end.next())
        else {
            return false;
        };
        let id = json(header).and_then(|header| header["kid"].as_str().map(str::to_owned));
        let key = id.filter(|id| id != "webhooks").and_then(|id| self.key(&id));
        key.is_some_and(|key| is_signed(key, &format!("{header}.{claims}"), signature))
    }

    fn service(&self, token: &str) -> Option<String> {
        let claims = json(token.split('.').nth(1)?)?;
        let is_ours = claims["aud"] == self.audience;
        is_ours.then(|| claims["sub"].as_str().map(str::to_owned)).flatten()
    }
}
