//! The keys that a service verifies with, and the JSON in which an issuer publishes them (JWKS, RFC
//! 7517 section 5).
//!
//! The mistakes this prevents: a secret that is published, two keys of one id, a key without an
//! algorithm of its own, a set without keys that replaces a good one.

use std::collections::BTreeMap;
use std::fmt;

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
pub struct KeySet {
    keys: BTreeMap<KeyId, VerifyingKey>,
    left_out: Vec<LeftOut>,
}

/// A published key that was not taken, for your log: by it you see why a token's key is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its id, with what can't be printed escaped, cut off after 64 characters; none if it has none.
    pub id: Option<String>,
    /// Why.
    pub because: &'static str,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "{id}: {}", self.because),
            None => write!(f, "a key without an id: {}", self.because),
        }
    }
}

/// Why a set of keys was refused.
#[derive(Debug, Error)]
pub enum KeySetError {
    /// One id, two keys: which of them would verify?
    #[error("expected one key for each id, got two for {0}")]
    Twice(KeyId),
    /// More than [`MOST_KEYS`] that can be used.
    #[error("expected at most {MOST_KEYS} keys that can be used, got more")]
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
    #[error(
        "expected a key for EdDSA or ES256 with an id, got none that can be used{}",
        first_of(.0)
    )]
    NoKey(Vec<LeftOut>),
}

/// What an error has room for.
fn first_of(left_out: &[LeftOut]) -> String {
    left_out.first().map_or(String::new(), |first| format!(" ({first})"))
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
            if set.keys.contains_key(&key.id) {
                return Err(KeySetError::Twice(key.id));
            }
            set.add(key)?;
        }
        Ok(set)
    }

    /// The same key again is no other key.
    fn add(&mut self, key: VerifyingKey) -> Result<(), KeySetError> {
        match self.keys.get(&key.id) {
            Some(there) if there.is_same(&key) => return Ok(()),
            Some(_another) => return Err(KeySetError::Twice(key.id)),
            None => {}
        }
        if self.keys.len() == MOST_KEYS {
            return Err(KeySetError::TooMany);
        }
        self.keys.insert(key.id.clone(), key);
        Ok(())
    }

    /// The keys of a JWKS that were not taken, and why.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Their ids.
    pub fn ids(&self) -> impl Iterator<Item = &KeyId> {
        self.keys.keys()
    }

    pub(crate) fn into_keys(self) -> impl Iterator<Item = VerifyingKey> {
        self.keys.into_values()
    }

    // ANCHOR: publish
    /// The set as JSON, to be published.
    ///
    /// # Errors
    /// [`KeySetError::Secret`]: a key for HMAC verifies and signs; it is not for everybody.
    pub fn to_jwks(&self) -> Result<String, KeySetError> {
        let keys = self.keys.values().map(|key| match &key.public {
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
    /// malformed (RFC 7517 section 5). [`left_out`](Self::left_out) names them. A key that is there twice counts
    /// once. A secret refuses the set, two different keys of one id do, and so does a set of which nothing is left: the
    /// keys that you have are better.
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeySetError> {
        if json.len() > LONGEST_JWKS {
            return Err(KeySetError::TooLong(json.len()));
        }
        let set: ForeignSet = serde_json::from_slice(json)
            .map_err(|error| KeySetError::Json { line: error.line(), column: error.column() })?;
        if let Some(jwk) = set.keys.iter().find(|jwk| is_secret(jwk)) {
            return Err(KeySetError::Secret(printable_id(jwk).unwrap_or("without an id".into())));
        }
        let mut keys = Self::default();
        for jwk in &set.keys {
            match verifying_key(jwk) {
                Ok(key) => keys.add(key)?,
                Err(because) => keys.left_out.push(LeftOut { id: printable_id(jwk), because }),
            }
        }
        match keys.keys.is_empty() {
            true => Err(KeySetError::NoKey(keys.left_out)),
            false => Ok(keys),
        }
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

fn printable_id(jwk: &Map<String, Value>) -> Option<String> {
    Some(member(jwk, "kid")?.escape_default().take(64).collect())
}

/// The secret part of a key pair, or a shared secret.
fn is_secret(jwk: &Map<String, Value>) -> bool {
    let there = |name| jwk.get(name).is_some_and(|value| !value.is_null());
    member(jwk, "kty") == Some("oct") || there("d") || there("k")
}

/// The key, if it is one for the signatures that this library verifies; else why not. `Ed25519` as its algorithm
/// (RFC 9864) is another name than tokens have here, so such a key is left out.
fn verifying_key(jwk: &Map<String, Value>) -> Result<VerifyingKey, &'static str> {
    let algorithm = match (member(jwk, "kty"), member(jwk, "crv")) {
        (Some("OKP"), Some("Ed25519")) => Algorithm::EdDsa,
        (Some("EC"), Some("P-256")) => Algorithm::Es256,
        _ => return Err("of another kind than Ed25519 and P-256"),
    };
    // If it says what it is for, it says this (RFC 7517 sections 4.2 to 4.4).
    let verify = Value::from("verify");
    let for_this = |name: &str, fits: &dyn Fn(&Value) -> bool| {
        jwk.get(name).is_none_or(|value| value.is_null() || fits(value))
    };
    if !for_this("alg", &|value| value == algorithm.name()) {
        return Err("for another algorithm (alg)");
    }
    let ops = |value: &Value| value.as_array().is_some_and(|all| all.contains(&verify));
    if !for_this("use", &|value| value == "sig") || !for_this("key_ops", &ops) {
        return Err("for something else than signatures (use, key_ops)");
    }
    let coordinate = |name| {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(member(jwk, name)?).ok()?;
        Some(bytes).filter(|bytes| bytes.len() == COORDINATE)
    };
    let public = match algorithm {
        Algorithm::Es256 => {
            coordinate("x").zip(coordinate("y")).map(|(x, y)| [&[4], &*x, &*y].concat())
        }
        _ => coordinate("x"),
    };
    let public = public.ok_or("malformed")?;
    let id = member(jwk, "kid").ok_or("without an id")?;
    let id = KeyId::of_another_issuer(id)
        .ok_or("with an id that is not 1 to 256 printable characters of ASCII")?;
    VerifyingKey::from_public(id, algorithm, &public)
        .map_err(|_| "no point of its curve, or one of small order")
}
