//! Makes tokens.

use std::fmt;

use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::Header;
use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::binding::Confirmation;
use crate::claims::{Claims, REGISTERED};
use crate::clock::Clock;
use crate::keys::{SigningKey, VerifyingKey};
use crate::profile::Profile;
use crate::verifier::LONGEST_TOKEN;

/// A signed token. Whoever has it can use it, so it is not printed.
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
}

impl Issuer {
    /// Its profile says for whom, its key how.
    pub fn new(profile: Profile, key: SigningKey, clock: Clock) -> Self {
        Self { profile, key, clock }
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

    /// A bearer token for `subject`: whoever has it can use it.
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
        let claims = Claims {
            iss: self.profile.issuer.clone(),
            sub: subject.to_owned(),
            aud: self.profile.audience.clone(),
            exp: now.saturating_add(self.profile.lifetime),
            iat: now,
            nbf: None,
            jti: random_id()?,
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

/// 16 random bytes: no two tokens have the same id.
fn random_id() -> Result<String, IssueError> {
    let mut id = [0; 16];
    rand::fill(&mut id).map_err(|_| IssueError::NoRandom)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(id))
}
