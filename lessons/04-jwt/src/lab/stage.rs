//! The bank of this lesson: who issues, who verifies, what a token of it says.

use serde::{Deserialize, Serialize};

use careful_tokens::clock::Clock;
use careful_tokens::issuer::Issuer;
use careful_tokens::jwks::KeySet;
use careful_tokens::keys::{KeyId, SigningKey};
use careful_tokens::profile::{Profile, TokenType};
use careful_tokens::verifier::Verifier;

/// Who issues tokens.
pub const ISSUER: &str = "https://login.bank.test";
/// For which service.
pub const AUDIENCE: &str = "https://accounts.bank.test";
/// When it is, for anybody who does not look at the system's clock: in November 2026.
pub const NOW: u64 = 1_795_600_000;

/// What the bank's own claims are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// What the holder may do, words with spaces between them (RFC 8693 section 4.2).
    pub scope: String,
}

impl Scope {
    /// `scope`
    pub fn new(scope: &str) -> Self {
        Self { scope: scope.to_owned() }
    }
}

/// A key id of the lab.
pub fn key_id(id: &str) -> anyhow::Result<KeyId> {
    Ok(KeyId::new(id)?)
}

/// The bank's access tokens.
pub fn profile() -> anyhow::Result<Profile> {
    Ok(Profile::new(ISSUER, AUDIENCE, TokenType::ACCESS)?)
}

/// An issuer with this key, and a verifier of its tokens.
pub fn pair(key: SigningKey, clock: &Clock) -> anyhow::Result<(Issuer, Verifier)> {
    let keys = KeySet::new([key.verifying()])?;
    let verifier = Verifier::new(profile()?, keys, clock.clone());
    Ok((Issuer::new(profile()?, key, clock.clone()), verifier))
}
