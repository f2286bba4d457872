//! What a message is bound to: its associated data.
//!
//! The mistakes this prevents: a ciphertext that is moved to another record, or sent to another
//! recipient, and opens there; and parts that are glued together, so that `("al", "ice")` and
//! `("ali", "ce")` are the same. RFC 5116 section 3.3: the encoding must be injective.

/// Parts in an order that both sides know. The first says what it is all about, so that a message
/// of one kind never opens as one of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    encoded: Vec<u8>,
}

/// Contexts that this library makes for itself. Their first byte is one that no context of yours
/// has, so that a sealed key never opens as a message, whatever your contexts are.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Yours = 0,
    EnvelopeKey = 1,
    StreamKey = 2,
    Password = 3,
    SignedText = 4,
    SignedBox = 5,
}

impl Context {
    /// Starts with the purpose: a fixed text for each kind of message.
    pub fn new(purpose: &'static str) -> Self {
        Self::of_kind(Kind::Yours).with(purpose)
    }

    pub(crate) fn of_kind(kind: Kind) -> Self {
        Self { encoded: vec![kind as u8] }
    }

    // ANCHOR: with
    /// Adds a part: its length in 8 bytes, then the part. No two lists of parts have one
    /// encoding.
    #[must_use]
    pub fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.encoded.extend_from_slice(&(part.len() as u64).to_be_bytes());
        self.encoded.extend_from_slice(part);
        self
    }
    // ANCHOR_END: with

    /// The bytes that are authenticated along with a message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.encoded
    }
}
