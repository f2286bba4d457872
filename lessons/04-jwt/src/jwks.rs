//! The keys that a service verifies with, and the JSON in which an issuer publishes them (JWKS, RFC
//! 7517 section 5).
//!
//! The mistakes this prevents: a secret that is published, two keys of one id, a key without an
//! algorithm of its own.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::keys::{Algorithm, KeyError, KeyId, P256_POINT, VerifyingKey};

/// The most keys in a set: an issuer has two while it rotates.
pub const MOST_KEYS: usize = 16;
/// The longest JWKS that is read, in bytes.
pub const LONGEST_JWKS: usize = 64 * 1024;

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
    /// A key that is none.
    #[error("the key {id} cannot be used")]
    Key {
        /// Which of them.
        id: String,
        /// Why.
        #[source]
        error: KeyError,
    },
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

/// What is read of a key from elsewhere. Members that are not named here are ignored (RFC 7517 section
/// 4).
#[derive(Deserialize)]
struct ForeignJwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    kid: Option<String>,
    /// The secret part of a key pair, or a shared secret.
    d: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ForeignSet {
    keys: Vec<ForeignJwk>,
}

impl KeySet {
    /// A set of these keys.
    ///
    /// # Errors
    /// [`KeySetError::Twice`], [`KeySetError::TooMany`]
    pub fn new(
        keys: impl IntoIterator<Item = VerifyingKey>,
    ) -> Result<Self, KeySetError> {
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
    /// Keys for encryption and of kinds that this library does not use are left out (RFC 7517 section
    /// 5); a secret refuses the set.
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeySetError> {
        if json.len() > LONGEST_JWKS {
            return Err(KeySetError::TooLong(json.len()));
        }
        let set: ForeignSet = serde_json::from_slice(json).map_err(|error| {
            KeySetError::Json { line: error.line(), column: error.column() }
        })?;
        if set.keys.len() > MOST_KEYS {
            return Err(KeySetError::TooMany);
        }
        let keys = set.keys.iter().filter_map(|jwk| verifying_key(jwk).transpose());
        Self::new(keys.collect::<Result<Vec<_>, _>>()?)
    }
    // ANCHOR_END: read
}

fn public_jwk(key: &VerifyingKey, public: &[u8]) -> PublicJwk {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let (kty, crv, x, y) = match key.algorithm {
        Algorithm::Es256 => {
            // Byte 0 says that the point is not compressed.
            let (x, y) = public[1..].split_at((P256_POINT - 1) / 2);
            ("EC", "P-256", encode(x), Some(encode(y)))
        }
        _ => ("OKP", "Ed25519", encode(public), None),
    };
    let (alg, kid) = (key.algorithm.name(), key.id.to_string());
    PublicJwk { kty, crv, x, y, usage: "sig", alg, kid }
}

/// The key, if it is one for the signatures that this library verifies.
fn verifying_key(jwk: &ForeignJwk) -> Result<Option<VerifyingKey>, KeySetError> {
    let id = jwk.kid.as_deref().unwrap_or("without an id");
    if jwk.kty == "oct" || jwk.d.is_some() || jwk.k.is_some() {
        return Err(KeySetError::Secret(id.escape_default().take(64).collect()));
    }
    let algorithm = match (jwk.kty.as_str(), jwk.crv.as_deref(), jwk.alg.as_deref()) {
        ("OKP", Some("Ed25519"), None | Some("EdDSA" | "Ed25519")) => Algorithm::EdDsa,
        ("EC", Some("P-256"), None | Some("ES256")) => Algorithm::Es256,
        _ => return Ok(None),
    };
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return Ok(None);
    }
    let key = || {
        let decode = |text: &Option<String>| {
            BASE64_URL_SAFE_NO_PAD
                .decode(text.as_deref().unwrap_or_default())
                .map_err(|_| KeyError::Public(algorithm.name()))
        };
        let public = match algorithm {
            Algorithm::Es256 => [&[4], &*decode(&jwk.x)?, &*decode(&jwk.y)?].concat(),
            _ => decode(&jwk.x)?,
        };
        VerifyingKey::from_public(KeyId::new(id)?, algorithm, &public)
    };
    key().map(Some).map_err(|error| KeySetError::Key {
        id: id.escape_default().take(64).collect(),
        error,
    })
}
