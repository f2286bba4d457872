//! The keys that a service verifies with, and the JSON in which an issuer publishes them (JWKS, RFC
//! 7517 section 5).
//!
//! The mistakes this prevents: a secret that is published, two keys of one id, a key without an
//! algorithm of its own, a set without keys that replaces a good one.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::keys::{Algorithm, KeyId, VerifyingKey};

/// The most keys in a set: an issuer has two while it rotates.
pub const MOST_KEYS: usize = 16;
/// The longest JWKS that is read, in bytes.
pub const LONGEST_JWKS: usize = 64 * 1024;
/// An Ed25519 key, or a coordinate of P-256, in bytes.
const COORDINATE: usize = 32;

/// Keys by their ids, each with its algorithm.
#[derive(Clone, Debug, Default)]
pub struct KeySet(BTreeMap<KeyId, VerifyingKey>);

/// Why a set of keys was refused.
#[derive(Debug, Error)]
pub enum KeySetError {
    /// One id, two keys: which of them would verify?
    #[error("expected one key for each id, got two for {0}")]
    Twice(KeyId),
    /// More than [`MOST_KEYS`].
    #[error("expected at most {MOST_KEYS} keys, got more")]
    TooMany,
    /// More than [`LONGEST_JWKS`].
    #[error("expected at most {LONGEST_JWKS} bytes, got {0}")]
    TooLong(usize),
    /// A secret or a private key, which must never be published.
    #[error("expected public keys only, got a secret one: {0}")]
    Secret(String),
    /// Not a JWKS.
    #[error("expected a JWKS, see line {line}, column {column}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Every key was left out, or there was none.
    #[error("expected a key for EdDSA or ES256 with an id, got none that can be used")]
    NoKey,
}

/// A public key as JSON (RFC 7517 section 4; RFC 7518 section 6.2; RFC 8037 section 2).
#[derive(Serialize)]
struct PublicJwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
    kid: String,
}

/// What an issuer published. Each key may have members that nobody here knows (RFC 7517 section 4).
#[derive(Deserialize)]
struct ForeignSet {
    keys: Vec<Map<String, Value>>,
}

impl KeySet {
    /// A set of these keys.
    ///
    /// # Errors
    /// [`KeySetError::Twice`], [`KeySetError::TooMany`]
    pub fn new(keys: impl IntoIterator<Item = VerifyingKey>) -> Result<Self, KeySetError> {
        let mut set = Self::default();
        for key in keys {
            if set.0.len() == MOST_KEYS {
                return Err(KeySetError::TooMany);
            }
            if let Some(twice) = set.0.insert(key.id.clone(), key) {
                return Err(KeySetError::Twice(twice.id));
            }
        }
        Ok(set)
    }

    /// Their ids.
    pub fn ids(&self) -> impl Iterator<Item = &KeyId> {
        self.0.keys()
    }

    pub(crate) fn into_keys(self) -> impl Iterator<Item = VerifyingKey> {
        self.0.into_values()
    }

    // ANCHOR: publish
    /// The set as JSON, to be published.
    ///
    /// # Errors
    /// [`KeySetError::Secret`]: a key for HMAC verifies and signs; it is not for everybody.
    pub fn to_jwks(&self) -> Result<String, KeySetError> {
        let keys = self.0.values().map(|key| match &key.public {
            Some(public) => Ok(public_jwk(key, public)),
            None => Err(KeySetError::Secret(key.id.to_string())),
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        Ok(serde_json::json!({ "keys": keys }).to_string())
    }
    // ANCHOR_END: publish

    // ANCHOR: read
    /// Reads what an issuer published. It decides who is believed: fetch it over HTTPS from the
    /// issuer's own address, never from one that a token names (RFC 8725 section 3.10).
    ///
    /// Keys that cannot be used are left out: for encryption, of another kind, without an id,
    /// malformed (RFC 7517 section 5). A secret refuses the set, two keys of one id do, and so
    /// does a set of which nothing is left: the keys that you have are better.
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeySetError> {
        if json.len() > LONGEST_JWKS {
            return Err(KeySetError::TooLong(json.len()));
        }
        let set: ForeignSet = serde_json::from_slice(json)
            .map_err(|error| KeySetError::Json { line: error.line(), column: error.column() })?;
        if set.keys.len() > MOST_KEYS {
            return Err(KeySetError::TooMany);
        }
        if let Some(jwk) = set.keys.iter().find(|jwk| is_secret(jwk)) {
            let id = member(jwk, "kid").unwrap_or("without an id");
            return Err(KeySetError::Secret(id.escape_default().take(64).collect()));
        }
        let keys = Self::new(set.keys.iter().filter_map(verifying_key))?;
        if keys.0.is_empty() { Err(KeySetError::NoKey) } else { Ok(keys) }
    }
    // ANCHOR_END: read
}

fn public_jwk(key: &VerifyingKey, public: &[u8]) -> PublicJwk {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let (kty, crv, x, y) = match key.algorithm {
        Algorithm::Es256 => {
            // Byte 0 says that the point is not compressed.
            let (x, y) = public[1..].split_at(COORDINATE);
            ("EC", "P-256", encode(x), Some(encode(y)))
        }
        _ => ("OKP", "Ed25519", encode(public), None),
    };
    let (alg, kid) = (key.algorithm.name(), key.id.to_string());
    PublicJwk { kty, crv, x, y, usage: "sig", alg, kid }
}

fn member<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name)?.as_str()
}

/// The secret part of a key pair, or a shared secret.
fn is_secret(jwk: &Map<String, Value>) -> bool {
    let there = |name| jwk.get(name).is_some_and(|value| !value.is_null());
    member(jwk, "kty") == Some("oct") || there("d") || there("k")
}

/// The key, if it is one for the signatures that this library verifies. `Ed25519` as its algorithm
/// (RFC 9864) is another name than tokens have here, so such a key is left out.
fn verifying_key(jwk: &Map<String, Value>) -> Option<VerifyingKey> {
    let algorithm = match (member(jwk, "kty")?, member(jwk, "crv")?) {
        ("OKP", "Ed25519") => Algorithm::EdDsa,
        ("EC", "P-256") => Algorithm::Es256,
        _ => return None,
    };
    // If it says what it is for, it says this (RFC 7517 sections 4.2 to 4.4).
    let verify = Value::from("verify");
    let for_this = jwk.iter().all(|(name, value)| match name.as_str() {
        "alg" => value.is_null() || value == algorithm.name(),
        "use" => value.is_null() || value == "sig",
        "key_ops" => value.is_null() || value.as_array().is_some_and(|all| all.contains(&verify)),
        _ => true,
    });
    if !for_this {
        return None;
    }
    let coordinate = |name| {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(member(jwk, name)?).ok()?;
        Some(bytes).filter(|bytes| bytes.len() == COORDINATE)
    };
    let public = match algorithm {
        Algorithm::Es256 => [&[4], &*coordinate("x")?, &*coordinate("y")?].concat(),
        _ => coordinate("x")?,
    };
    let id = KeyId::new(member(jwk, "kid")?).ok()?;
    VerifyingKey::from_public(id, algorithm, &public).ok()
}
