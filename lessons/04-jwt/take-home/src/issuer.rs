//! Makes tokens.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::Header;
use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::binding::Confirmation;
use crate::claims::REGISTERED;
use crate::clock::Clock;
use crate::keys::{SigningKey, VerifyingKey};
use crate::profile::Profile;
use crate::verifier::LONGEST_TOKEN;

/// A signed token. Anybody who has it can use it, so it is not printed.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// The text, to be sent.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

/// Why no token was made.
#[derive(Debug, Error)]
pub enum IssueError {
    /// Nobody.
    #[error("expected the name of a subject, got an empty one")]
    NoSubject,
    /// Your own claims must not have the names of those that the issuer sets.
    #[error("expected claims of your own, got \"{0}\", which the issuer sets")]
    Reserved(&'static str),
    /// Your own claims are no JSON object.
    #[error("expected claims that are a JSON object")]
    NotAnObject,
    /// No verifier would look at it.
    #[error("expected a token of at most {LONGEST_TOKEN} bytes, got {0}: put less into it")]
    TooLong(usize),
    /// The system has no random bytes for the token's id.
    #[error("the system gave no random bytes")]
    NoRandom,
    /// The library did not sign.
    #[error("the token could not be signed")]
    Signing(#[source] jsonwebtoken::errors::Error),
}

/// Issues tokens of one profile, with one key.
#[derive(Debug)]
pub struct Issuer {
    profile: Profile,
    key: SigningKey,
    clock: Clock,
    ids: Ids,
}

impl Issuer {
    /// Its profile says for whom, its key how.
    pub fn new(profile: Profile, key: SigningKey, clock: Clock) -> Self {
        Self { profile, key, clock, ids: Ids::default() }
    }

    /// Signs with another key from now on. Publish [`Self::verifying_key`] of the new one first,
    /// and keep the old one published until its last token has expired.
    pub fn rotate(&mut self, key: SigningKey) -> SigningKey {
        std::mem::replace(&mut self.key, key)
    }

    /// What verifies its tokens.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.key.verifying()
    }

    /// A bearer token for `subject`: anybody who has it can use it.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn issue(&self, subject: &str, more: &impl Serialize) -> Result<Token, IssueError> {
        self.sign(subject, None, more)
    }

    /// A token that only the holder of a TLS client certificate can use (RFC 8705 section 3).
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn issue_bound(
        &self,
        subject: &str,
        holder: Confirmation,
        more: &impl Serialize,
    ) -> Result<Token, IssueError> {
        self.sign(subject, Some(holder), more)
    }

    // ANCHOR: sign
    fn sign(
        &self,
        subject: &str,
        holder: Option<Confirmation>,
        more: &impl Serialize,
    ) -> Result<Token, IssueError> {
        if subject.is_empty() {
            return Err(IssueError::NoSubject);
        }
        let now = self.clock.now();
        let claims = Payload {
            iss: &self.profile.issuer,
            sub: subject,
            aud: &self.profile.audience,
            exp: now.saturating_add(self.profile.lifetime),
            iat: now,
            jti: BASE64_URL_SAFE_NO_PAD.encode(self.ids.next()?),
            cnf: holder,
            more: own(more)?,
        };
        let mut header = Header::new(self.key.algorithm().of_jsonwebtoken());
        header.typ = Some(self.profile.kind.as_str().to_owned());
        header.kid = Some(self.key.id().to_string());
        let token = jsonwebtoken::encode(&header, &claims, &self.key.encoding);
        let token = Zeroizing::new(token.map_err(IssueError::Signing)?);
        match token.len() {
            0..=LONGEST_TOKEN => Ok(Token(token)),
            longer => Err(IssueError::TooLong(longer)),
        }
    }
    // ANCHOR_END: sign
}

/// [`Claims`](crate::claims::Claims), borrowed.
#[derive(Serialize)]
struct Payload<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: u64,
    iat: u64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// Claims of the caller's own, none of which may stand in the place of the issuer's.
fn own(more: &impl Serialize) -> Result<Map<String, Value>, IssueError> {
    let Ok(Value::Object(more)) = serde_json::to_value(more) else {
        return Err(IssueError::NotAnObject);
    };
    match REGISTERED.into_iter().find(|&name| more.contains_key(name)) {
        Some(name) => Err(IssueError::Reserved(name)),
        None => Ok(more),
    }
}

/// Random ids of 16 bytes: no two tokens have the same. They are unique, and no secrets. One question to the system's
/// generator costs more than to sign with HMAC (463 of 1,791 ns for a token), so it's asked for many at once. Don't do
/// that with keys or nonces, which must not lie about.
#[derive(Debug, Default)]
struct Ids(Mutex<Vec<[u8; 16]>>);

impl Ids {
    const AT_ONCE: usize = 64;

    fn next(&self) -> Result<[u8; 16], IssueError> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = left.pop() {
            return Ok(id);
        }
        let mut ids = [[0; 16]; Self::AT_ONCE];
        rand::fill(ids.as_flattened_mut()).map_err(|_| IssueError::NoRandom)?;
        let [id, rest @ ..] = ids;
        left.extend(rest);
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_id_comes_twice() -> Result<(), IssueError> {
        let (one, other, mut seen) = (Ids::default(), Ids::default(), HashSet::new());
        for _ in 0..3 * Ids::AT_ONCE {
            assert!(seen.insert(one.next()?) && seen.insert(other.next()?));
        }
        assert!(!seen.contains(&[0; 16]));
        Ok(())
    }
}
