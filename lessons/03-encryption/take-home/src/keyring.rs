//! Keys with ids: rotation, retirement, envelopes.
//!
//! The mistake this prevents: one key forever. When it leaks, or has sealed enough, everything has
//! to be sealed again at once, which nobody can do; so it stays.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::context::{Context, Kind};
use crate::format::Reader;
use crate::sealing::{KeyId, OpenError, SealError, Sealer, SecretKey, key_id};

/// Why a ring was not changed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeyRingError {
    /// It has a key of this id, or had one.
    #[error("the ring has a key {0} already: choose another id")]
    AlreadyThere(KeyId),
    /// The current key seals.
    #[error(
        "cannot retire the key {0}, because it is the current key; rotate to another key first"
    )]
    IsCurrent(KeyId),
    /// It has no key of this id.
    #[error("the ring has no key {0}: nothing was retired")]
    Unknown(KeyId),
}

/// Why an envelope was not sealed again.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RewrapError {
    /// Its key does not open.
    #[error("the old key cannot be opened")]
    Open(#[from] OpenError),
    /// The current key does not seal.
    #[error("the new key cannot be sealed")]
    Seal(#[from] SealError),
}

/// One key seals; all that are not retired open.
pub struct KeyRing {
    current: KeyId,
    keys: BTreeMap<KeyId, Option<Sealer>>,
}

impl KeyRing {
    /// A ring with one key.
    pub fn new(id: KeyId, key: &SecretKey) -> Self {
        Self::resume(id, key, 0)
    }

    /// The same for a key that has sealed so many messages already: see [`Sealer::resume`].
    pub fn resume(id: KeyId, key: &SecretKey, sealed: u64) -> Self {
        let sealer = Sealer::resume(id, key, sealed);
        Self { current: id, keys: BTreeMap::from([(id, Some(sealer))]) }
    }

    /// How many messages the current key has sealed, those before [`resume`](Self::resume)
    /// included: to rotate by, and to store a number ahead of, before you seal.
    pub fn sealed(&self) -> u64 {
        self.keys.get(&self.current).and_then(Option::as_ref).map_or(0, Sealer::sealed)
    }

    // ANCHOR: rotate
    /// Adds a key and seals with it from now on. Messages of the old one still open, also those that somebody else
    /// seals who has the old key: if it leaked, [`retire`](Self::retire) it at once.
    ///
    /// # Errors
    /// [`KeyRingError::AlreadyThere`]: an id keeps its key.
    pub fn rotate(&mut self, id: KeyId, key: &SecretKey) -> Result<(), KeyRingError> {
        self.add_old(id, key)?;
        self.current = id;
        Ok(())
    }

    /// Adds a key that opens and does not seal. After a restart, the current key comes
    /// first, in [`resume`](Self::resume), and the old ones so.
    ///
    /// # Errors
    /// [`KeyRingError::AlreadyThere`]
    pub fn add_old(&mut self, id: KeyId, key: &SecretKey) -> Result<(), KeyRingError> {
        if self.keys.contains_key(&id) {
            return Err(KeyRingError::AlreadyThere(id));
        }
        self.keys.insert(id, Some(Sealer::new(id, key)));
        Ok(())
    }

    /// Forgets a key and remembers its id: messages of it are refused, and the error says
    /// why. What is still sealed under it is lost: seal it again first. But not if the key leaked: then whatever is
    /// sealed under it may be somebody else's, and only a copy from before the leak is worth sealing again.
    ///
    /// # Errors
    /// [`KeyRingError::IsCurrent`]: rotate first. [`KeyRingError::Unknown`]
    pub fn retire(&mut self, id: KeyId) -> Result<(), KeyRingError> {
        if id == self.current {
            return Err(KeyRingError::IsCurrent(id));
        }
        let key = self.keys.get_mut(&id).ok_or(KeyRingError::Unknown(id))?;
        *key = None;
        Ok(())
    }

    /// Remembers an id whose key was retired before a restart.
    ///
    /// # Errors
    /// [`KeyRingError::AlreadyThere`]
    pub fn remember_retired(&mut self, id: KeyId) -> Result<(), KeyRingError> {
        if self.keys.contains_key(&id) {
            return Err(KeyRingError::AlreadyThere(id));
        }
        self.keys.insert(id, None);
        Ok(())
    }
    // ANCHOR_END: rotate

    /// The id that seals.
    pub fn current(&self) -> KeyId {
        self.current
    }

    /// Seals with the current key.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn seal(&self, context: &Context, text: &[u8]) -> Result<Vec<u8>, SealError> {
        match self.keys.get(&self.current) {
            Some(Some(sealer)) => sealer.seal(context, text),
            // The current key is never retired.
            _ => Err(SealError::KeyIsWornOut),
        }
    }

    /// Opens with the key that the message names.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(&self, context: &Context, message: &[u8]) -> Result<Vec<u8>, OpenError> {
        let id = key_id(message)?;
        match self.keys.get(&id) {
            Some(Some(sealer)) => sealer.open(context, message),
            Some(None) => Err(OpenError::RetiredKey(id)),
            None => Err(OpenError::UnknownKey(id)),
        }
    }

    // ANCHOR: envelope
    /// Seals with a key of its own, which is sealed with the ring's current one and sent along.
    ///
    /// So the ring's key seals 32 bytes a message, however long the messages are; and to change the
    /// ring's key, only those 32 bytes are sealed again: [`rewrap`](Self::rewrap).
    ///
    /// ```text
    /// length of the sealed key (2 bytes) | sealed key | sealed message
    /// ```
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn seal_envelope(&self, context: &Context, text: &[u8]) -> Result<Vec<u8>, SealError> {
        let data_key = SecretKey::random();
        let wrapped = self.wrap(Kind::EnvelopeKey, context, &data_key)?;
        let message = Sealer::new(DATA_KEY, &data_key).seal(context, text)?;
        Ok(envelope(&wrapped, &message))
    }

    /// Opens an envelope.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_envelope(&self, context: &Context, bytes: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (wrapped, message) = split(bytes)?;
        let key = self.unwrap(Kind::EnvelopeKey, context, wrapped);
        let key = key.map_err(|error| error.after(LENGTH))?;
        let opened = Sealer::new(DATA_KEY, &key).open(context, message);
        opened.map_err(|error| error.after(LENGTH + wrapped.len()))
    }

    /// The same envelope, its data key sealed with the current key. The message is not touched. An envelope under a
    /// key that leaked becomes a good one by this, no matter who sealed it: retire that key first.
    ///
    /// # Errors
    /// See [`RewrapError`].
    pub fn rewrap(&self, context: &Context, bytes: &[u8]) -> Result<Vec<u8>, RewrapError> {
        let (wrapped, message) = split(bytes)?;
        let data_key = self.unwrap(Kind::EnvelopeKey, context, wrapped);
        let data_key = data_key.map_err(|error| error.after(LENGTH))?;
        Ok(envelope(&self.wrap(Kind::EnvelopeKey, context, &data_key)?, message))
    }
    // ANCHOR_END: envelope

    /// Seals a data key under the current key, for this context and no other.
    pub(crate) fn wrap(
        &self,
        kind: Kind,
        context: &Context,
        key: &SecretKey,
    ) -> Result<Vec<u8>, SealError> {
        self.seal(&wrapping(kind, context), key.expose())
    }

    /// The reverse.
    pub(crate) fn unwrap(
        &self,
        kind: Kind,
        context: &Context,
        wrapped: &[u8],
    ) -> Result<SecretKey, OpenError> {
        let bytes = Zeroizing::new(self.open(&wrapping(kind, context), wrapped)?);
        let mut key: [u8; 32] = bytes.as_slice().try_into().map_err(|_| OpenError::NotAuthentic)?;
        Ok(SecretKey::from_bytes(&mut key))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("current", &self.current)
            .field("keys", &self.keys.len())
            .finish()
    }
}

/// The id of every data key: it is known by the envelope that it comes in.
const DATA_KEY: KeyId = KeyId(*b"data-key");

/// The length of a sealed key's length.
const LENGTH: usize = 2;

/// A sealed key never opens as a message, nor the key of one kind as one of another.
fn wrapping(kind: Kind, context: &Context) -> Context {
    Context::of_kind(kind).with(context.as_bytes())
}

fn envelope(wrapped: &[u8], message: &[u8]) -> Vec<u8> {
    // A sealed key has 69 bytes.
    let length = u16::try_from(wrapped.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), wrapped, message].concat()
}

fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), OpenError> {
    let mut reader = Reader::new(bytes);
    let length = u16::from_be_bytes(reader.array("the length of a sealed key, 2 bytes")?);
    let wrapped = reader.slice(usize::from(length), "a sealed key")?;
    Ok((wrapped, reader.rest(0, "a sealed message")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_envelope_has_a_key_of_its_own() -> Result<(), Box<dyn std::error::Error>> {
        let ring = KeyRing::new(KeyId::random(), &SecretKey::random());
        let context = Context::new("note");
        let key = || -> Result<SecretKey, Box<dyn std::error::Error>> {
            let envelope = ring.seal_envelope(&context, b"text")?;
            Ok(ring.unwrap(Kind::EnvelopeKey, &context, split(&envelope)?.0)?)
        };
        assert_ne!(key()?.expose(), key()?.expose());
        Ok(())
    }
}
