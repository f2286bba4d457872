//! The parts of this lesson, in the order of its chapter.

pub mod bearer;
pub mod confusion;
pub mod issue;
pub mod kid;
pub mod none;
pub mod revoke;
pub mod rotate;
pub mod verify;
pub mod weak_secret;
pub mod wrong_audience;

use careful_tokens::verifier::Refused;

/// What the verifier says: outward one text, and the reason for its log.
pub fn logged<T>(verified: Result<T, Refused>) -> anyhow::Result<T> {
    verified.map_err(|refused| {
        anyhow::Error::new(refused.reason().clone()).context(refused.to_string())
    })
}
