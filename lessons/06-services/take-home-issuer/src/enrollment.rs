//! One-time tokens, by which a new service gets its first certificate.
//!
//! The mistakes this prevents: a password that a hundred machines share; a token that works
//! twice, so that nobody notices that somebody else used it; a name that the requester chooses.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

/// The most tokens that wait to be used.
const MOST: usize = 10_000;

/// A token for one service and one use. Give it to the machine on which the service starts, and
/// to nobody else.
pub struct Token(String);

impl Token {
    /// The token as text: 43 characters.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Without the token.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why there is no token, or none that counts.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum EnrollmentError {
    /// 10,000 tokens wait to be used.
    #[error("too many tokens wait to be used")]
    Full,
    /// The system has no randomness.
    #[error("no token could be made")]
    Random,
    /// No such token, one that was used, or one that is too old: its sender learns no more.
    #[error("the token is not accepted")]
    NotAccepted,
}

/// The tokens that were given out and not used yet. Only their hashes are kept.
#[derive(Default)]
pub struct Enrollment {
    /// By hash: the service, and until when the token is good, in seconds since 1970.
    waiting: HashMap<[u8; 32], (String, u64)>,
}

impl Enrollment {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    // ANCHOR: invite
    /// A token for this service, good until `now + good_for`. Times in seconds since 1970.
    ///
    /// # Errors
    /// See [`EnrollmentError`].
    pub fn invite(
        &mut self,
        service: &str,
        good_for: Duration,
        now: u64,
    ) -> Result<Token, EnrollmentError> {
        self.waiting.retain(|_, (_, until)| *until >= now);
        if self.waiting.len() >= MOST {
            return Err(EnrollmentError::Full);
        }
        let mut random = [0; 32];
        rand::fill(&mut random).map_err(|_| EnrollmentError::Random)?;
        let token = URL_SAFE_NO_PAD.encode(random);
        let until = now.saturating_add(good_for.as_secs());
        self.waiting.insert(hash(&token), (service.to_owned(), until));
        Ok(Token(token))
    }

    /// The service that the token was made for. It is used up, whatever becomes of the request.
    ///
    /// # Errors
    /// [`EnrollmentError::NotAccepted`]
    pub fn redeem(&mut self, token: &str, now: u64) -> Result<String, EnrollmentError> {
        let (service, until) =
            self.waiting.remove(&hash(token)).ok_or(EnrollmentError::NotAccepted)?;
        if until < now { Err(EnrollmentError::NotAccepted) } else { Ok(service) }
    }
    // ANCHOR_END: invite
}

/// 256 random bits can't be guessed, so a fast hash does, and looking it up gives nothing away.
fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_works_once_for_its_service_and_in_time() {
        let mut enrollment = Enrollment::new();
        let minute = Duration::from_secs(60);
        let token = enrollment.invite("spiffe://bank.test/billing", minute, 1000).expect("one");
        let other = enrollment.invite("spiffe://bank.test/ledger", minute, 1000).expect("one");
        assert_ne!(token.expose(), other.expose());
        let redeemed = enrollment.redeem(token.expose(), 1060);
        assert_eq!(redeemed, Ok("spiffe://bank.test/billing".to_owned()));
        assert_eq!(enrollment.redeem(token.expose(), 1060), Err(EnrollmentError::NotAccepted));
        assert_eq!(enrollment.redeem(other.expose(), 1061), Err(EnrollmentError::NotAccepted));
        assert_eq!(enrollment.redeem(other.expose(), 1000), Err(EnrollmentError::NotAccepted));
        assert_eq!(enrollment.redeem("", 1000), Err(EnrollmentError::NotAccepted));
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    #[test]
    fn tokens_that_nobody_used_make_room_when_they_are_too_old() {
        let mut enrollment = Enrollment::new();
        for _ in 0..MOST {
            enrollment.invite("x", Duration::from_secs(1), 0).expect("there is room");
        }
        let full = enrollment.invite("x", Duration::from_secs(1), 1);
        assert_eq!(full.err(), Some(EnrollmentError::Full));
        assert!(enrollment.invite("x", Duration::from_secs(1), 2).is_ok());
    }
}
