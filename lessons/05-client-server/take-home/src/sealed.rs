//! A message from end to end: sealed by its sender for its recipient (lesson 3's HPKE,
//! authenticated mode), and bound to both and to its id.
//!
//! The mistakes this prevents: a server that reads; a message that is delivered as another one's,
//! to another one, or under another id.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use careful_encryption::context::Context;
use careful_encryption::public_key::{BoxError, KeyPair, PublicKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::protocol::{MAX_SEALED, MessageId, Name};

/// The longest text, in bytes. JSON may write a byte as six; a box has 49 bytes of its own.
pub const MAX_TEXT: usize = 7 * 1024;

/// What a sender says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// The sender's count of letters to this recipient, from 1: by it the recipient notices what
    /// is missing, repeated or out of order.
    pub number: u64,
    /// The text.
    pub text: String,
}

/// Why a letter was not sealed.
#[derive(Debug, Error)]
pub enum SealError {
    /// Longer than [`MAX_TEXT`].
    #[error("expected a text of at most {MAX_TEXT} bytes, got {0}")]
    TooLong(usize),
    /// The recipient's key cannot be used.
    #[error("it cannot be sealed")]
    Key(#[source] BoxError),
}

/// The box is not a letter of this sender to this recipient under this id.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not a letter from this sender to this recipient with this id")]
pub struct NotALetter;

// ANCHOR: context
/// What a letter is bound to.
pub fn context(from: &Name, to: &Name, id: MessageId) -> Context {
    Context::new("mailbox letter 1").with(from.as_str()).with(to.as_str()).with(id.0)
}
// ANCHOR_END: context

// ANCHOR: seal
/// Seals a letter.
///
/// # Errors
/// See [`SealError`].
pub fn seal(
    sender: (&Name, &KeyPair),
    recipient: (&Name, &PublicKey),
    id: MessageId,
    letter: &Letter,
) -> Result<Vec<u8>, SealError> {
    if letter.text.len() > MAX_TEXT {
        return Err(SealError::TooLong(letter.text.len()));
    }
    let json = serde_json::to_vec(letter).unwrap_or_default();
    let context = context(sender.0, recipient.0, id);
    sender.1.seal_for(recipient.1, &context, &json).map_err(SealError::Key)
}
// ANCHOR_END: seal

/// Opens one.
///
/// # Errors
/// [`NotALetter`]: whatever the reason.
pub fn open(
    recipient: (&Name, &KeyPair),
    sender: (&Name, &PublicKey),
    id: MessageId,
    sealed: &[u8],
) -> Result<Letter, NotALetter> {
    let context = context(sender.0, recipient.0, id);
    let opened = Some(sealed)
        .filter(|sealed| sealed.len() <= MAX_SEALED)
        .and_then(|sealed| recipient.1.open_from(sender.1, &context, sealed).ok());
    let letter = opened.and_then(|json| serde_json::from_slice(&json).ok());
    letter.ok_or(NotALetter)
}

// ANCHOR: fingerprint
/// What two people compare, by telephone or on paper: of a name and its key, 128 bits of SHA-256.
pub fn fingerprint(name: &Name, key: &PublicKey) -> String {
    let what = Context::new("mailbox key 1").with(name.as_str()).with(key.to_bytes());
    let hash = digest(&SHA256, what.as_bytes());
    let groups = hash.as_ref()[..16].chunks(2);
    let groups = groups.map(|pair| format!("{:02x}{:02x}", pair[0], pair[1]));
    groups.collect::<Vec<_>>().join(" ")
}
// ANCHOR_END: fingerprint

/// Without the text.
impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Letter {}", self.number)
    }
}
