//! Sealed messages: AES-256-GCM, with a nonce that nobody can choose.
//!
//! The mistakes this prevents: a nonce that is used twice, a key that is printed, an error that
//! says why, a format that cannot change.
//!
//! ```text
//! offset  length  what
//!      0       1  version: 1
//!      1       8  key id
//!      9      12  nonce, random
//!     21       n  ciphertext, as long as the text
//!   21+n      16  tag
//! ```
//!
//! The tag also covers the first 9 bytes and the [`Context`], which is not sent.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use aes_gcm::aead::{AeadInOut, Generate, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce, Tag};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::context::Context;
use crate::format::{FormatError, Reader};

/// The version that this code writes and reads.
pub const VERSION: u8 = 1;
/// Bytes that a message has besides the text.
pub const OVERHEAD: usize = HEADER + NONCE + TAG;
/// The longest text, in bytes: GCM's own limit is 2^36 - 32; larger things belong into a stream.
pub const MAX_TEXT: usize = 64 * 1024 * 1024;
/// Messages under one key, counted by each [`Sealer`]. With random nonces of 96 bits, SP 800-38D
/// section 8.3 allows 2^32: the chance that two are equal is then 2^-33.
///
/// That counts nonces alone. The blocks of 16 bytes count too: 2^32 messages of [`MAX_TEXT`] are
/// 2^54 of them, and an attacker can tell them from random bytes with an advantage of about 2^-21.
/// Anybody who seals long texts rotates earlier.
pub const MAX_MESSAGES: u64 = 1 << 32;

const HEADER: usize = 1 + KeyId::LENGTH;
const NONCE: usize = 12;
const TAG: usize = 16;

/// Which key. It is no secret, and it is no part of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub [u8; Self::LENGTH]);

impl KeyId {
    /// In bytes.
    pub const LENGTH: usize = 8;

    /// A random one.
    pub fn random() -> Self {
        Self(<[u8; Self::LENGTH]>::generate())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// 32 random bytes, on the heap, so that moving the key leaves no copy behind. Wiped when it is
/// dropped, and never printed.
pub struct SecretKey(Box<Zeroizing<[u8; 32]>>);

impl SecretKey {
    /// From the system's generator.
    pub fn random() -> Self {
        Self::from_bytes(&mut <[u8; 32]>::generate())
    }

    /// Takes bytes that are uniformly random already: from another `SecretKey`, from a key store. A
    /// password is none; see [`crate::password`]. The caller's copy is wiped.
    pub fn from_bytes(bytes: &mut [u8; 32]) -> Self {
        // Filled where it stays: an array that is moved can leave a copy on the stack.
        let mut key = Self(Box::new(Zeroizing::new([0; 32])));
        key.0.copy_from_slice(bytes);
        bytes.zeroize();
        key
    }

    /// For a key store, or to be sealed under another key.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

/// Seals and opens messages under one key.
pub struct Sealer {
    id: KeyId,
    /// On the heap, as the key: moving the sealer leaves no copy behind.
    cipher: Box<Aes256Gcm>,
    sealed: AtomicU64,
}

/// Why a message was not sealed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SealError {
    /// More than [`MAX_TEXT`].
    #[error("expected a text of at most {MAX_TEXT} bytes, got more: use a stream")]
    TooLong,
    /// [`MAX_MESSAGES`] of this sealer.
    #[error("this key has sealed 2^32 messages: rotate to another one")]
    KeyIsWornOut,
}

/// Why a message was not opened.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OpenError {
    /// It does not have the format: anybody can see that, so it may be told.
    #[error("not a sealed message")]
    Format(#[from] FormatError),
    /// It was sealed under a key of another id.
    #[error("sealed under the key {0}, which is not in the ring")]
    UnknownKey(KeyId),
    /// It was sealed under a key that is not used any more.
    #[error("sealed under the key {0}, which is retired")]
    RetiredKey(KeyId),
    /// Wrong key, wrong context, changed on the way: which of them, nobody is told.
    #[error("the message is not authentic")]
    NotAuthentic,
    /// To make a key from a password takes memory, and there is not enough.
    #[error("not enough memory to make the key: {0} KiB")]
    NoMemory(u32),
}

impl OpenError {
    /// The same error of a part that begins after `bytes` others.
    pub(crate) fn after(self, bytes: usize) -> Self {
        match self {
            Self::Format(error) => Self::Format(error.after(bytes)),
            other => other,
        }
    }
}

impl Sealer {
    /// A sealer for a key. The cipher keeps its own copy of it, and wipes that, too.
    pub fn new(id: KeyId, key: &SecretKey) -> Self {
        Self::resume(id, key, 0)
    }

    /// The same for a key that has sealed so many messages already: in another process, before a
    /// restart. A sealer does not know of the others of its key; if you share a key, add up the counts.
    ///
    /// A count that is stored after sealing is too small after a crash: store a number ahead of it,
    /// before you seal.
    pub fn resume(id: KeyId, key: &SecretKey, sealed: u64) -> Self {
        let key: &Key<Aes256Gcm> = key.expose().into();
        let cipher = Box::new(Aes256Gcm::new(key));
        Self { id, cipher, sealed: AtomicU64::new(sealed) }
    }

    /// How many messages it has sealed, those before [`resume`](Self::resume) included.
    pub fn sealed(&self) -> u64 {
        self.sealed.load(Ordering::Relaxed)
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    // ANCHOR: seal
    /// Seals a text and binds it to a context.
    ///
    /// # Errors
    /// [`SealError::TooLong`], [`SealError::KeyIsWornOut`]
    pub fn seal(&self, context: &Context, text: &[u8]) -> Result<Vec<u8>, SealError> {
        if text.len() > MAX_TEXT {
            return Err(SealError::TooLong);
        }
        if self.sealed.fetch_add(1, Ordering::Relaxed) >= MAX_MESSAGES {
            self.sealed.store(MAX_MESSAGES, Ordering::Relaxed);
            return Err(SealError::KeyIsWornOut);
        }
        let nonce = Nonce::generate();
        let mut message = Vec::with_capacity(OVERHEAD + text.len());
        message.push(VERSION);
        message.extend_from_slice(&self.id.0);
        let bound = associated_data(&message, context);
        message.extend_from_slice(&nonce);
        let start = message.len();
        message.extend_from_slice(text);
        let tag =
            self.cipher.encrypt_inout_detached(&nonce, &bound, (&mut message[start..]).into());
        // The one error of the cipher is a text beyond GCM's limit, far above MAX_TEXT.
        message.extend_from_slice(&tag.map_err(|_| SealError::TooLong)?);
        Ok(message)
    }
    // ANCHOR_END: seal

    // ANCHOR: open
    /// Opens a message that was sealed under this key and for this context.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing of the text is returned with an error.
    pub fn open(&self, context: &Context, message: &[u8]) -> Result<Vec<u8>, OpenError> {
        let sealed = SealedMessage::read(message)?;
        if sealed.id != self.id {
            return Err(OpenError::UnknownKey(sealed.id));
        }
        let bound = associated_data(&message[..HEADER], context);
        let mut text = sealed.ciphertext.to_vec();
        self.cipher
            .decrypt_inout_detached(&sealed.nonce, &bound, text.as_mut_slice().into(), &sealed.tag)
            .map_err(|_| OpenError::NotAuthentic)?;
        Ok(text)
    }
    // ANCHOR_END: open
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The key id of a message, without opening it: to find the key.
///
/// # Errors
/// It does not have the format.
pub fn key_id(message: &[u8]) -> Result<KeyId, FormatError> {
    SealedMessage::read(message).map(|sealed| sealed.id)
}

struct SealedMessage<'a> {
    id: KeyId,
    nonce: Nonce<aes_gcm::aead::consts::U12>,
    ciphertext: &'a [u8],
    tag: Tag,
}

impl<'a> SealedMessage<'a> {
    fn read(message: &'a [u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(message);
        reader.byte(VERSION, "version 1")?;
        let id = KeyId(reader.array("a key id of 8 bytes")?);
        let nonce: [u8; NONCE] = reader.array("a nonce of 12 bytes")?;
        let sealed = reader.rest(TAG, "a ciphertext and a tag, at least 16 bytes")?;
        let (ciphertext, tag) = sealed.split_at(sealed.len() - TAG);
        if ciphertext.len() > MAX_TEXT {
            return Err(reader.error("at most 64 MiB of ciphertext", "more".to_owned()));
        }
        let tag: [u8; TAG] =
            tag.try_into().map_err(|_| reader.error("a tag of 16 bytes", "less".to_owned()))?;
        Ok(Self { id, nonce: nonce.into(), ciphertext, tag: tag.into() })
    }
}

/// The header and the context. The header has a fixed length, so the two cannot be confused.
fn associated_data(header: &[u8], context: &Context) -> Vec<u8> {
    [header, context.as_bytes()].concat()
}
