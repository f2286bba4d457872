//! To seal for somebody whose public key you have: HPKE (RFC 9180).
//!
//! The mistakes this prevents: RSA by hand, whose paddings have been broken again and again; a
//! message from anybody that is taken for one from a friend.
//!
//! ```text
//! offset  length  what
//!      0       1  suite: 1 X25519, 2 X-Wing (post-quantum hybrid); both HKDF-SHA256, AES-256-GCM
//!      1       n  encapsulated key: 32 bytes with X25519, 1,120 with X-Wing
//!    1+n       …  ciphertext and tag
//! ```

use std::fmt;

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::{X25519HkdfSha256, XWing};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use thiserror::Error;

use crate::context::Context;
use crate::format::{FormatError, Reader};

type Aead = AesGcm256;
type Kdf = HkdfSha256;

/// A way to agree on a key with the owner of a public key.
pub trait Suite: Kem {
    /// Its number in the format.
    const ID: u8;
    /// The length of an encapsulated key, in bytes.
    const ENCAPSULATED: usize;
}

/// X25519: small and fast.
pub type Classical = X25519HkdfSha256;
/// X25519 and ML-KEM-768 together: a recording of today stays closed to a quantum computer of
/// tomorrow. Its public keys have 1,216 bytes, and it has no authenticated mode.
pub type PostQuantum = XWing;

impl Suite for Classical {
    const ID: u8 = 1;
    const ENCAPSULATED: usize = 32;
}

impl Suite for PostQuantum {
    const ID: u8 = 2;
    const ENCAPSULATED: usize = 1120;
}

/// A private key and its public one. Never printed. A key of X25519 is wiped when it is dropped. One of X-Wing is expanded
/// while it is made and used, and copies of that may stay on the stack (hpke 0.15.1, x-wing 0.1.1).
pub struct KeyPair<S: Suite = Classical> {
    private: S::PrivateKey,
    public: S::PublicKey,
}

/// A public key. Where it came from decides what it is worth: compare it, or have it signed.
#[derive(Clone)]
pub struct PublicKey<S: Suite = Classical>(S::PublicKey);

/// Why a box was not sealed or opened.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BoxError {
    /// It does not have the format.
    #[error("not a sealed box")]
    Format(#[from] FormatError),
    /// The bytes are no key of this suite, or, when something is sealed for it, an X25519 key of
    /// small order (RFC 9180 section 7.1.4). X-Wing does not check its X25519 half.
    #[error("not a usable key")]
    Key,
    /// Wrong key, wrong context, wrong sender, changed: which of them, nobody is told.
    #[error("the box is not authentic")]
    NotAuthentic,
}

impl<S: Suite> KeyPair<S> {
    /// From the system's generator.
    pub fn random() -> Self {
        let (private, public) = S::gen_keypair();
        Self { private, public }
    }

    /// From the bytes of a private key, as [`expose`](Self::expose) returned them.
    ///
    /// # Errors
    /// [`BoxError::Key`]: they are none.
    pub fn from_bytes(private: &[u8]) -> Result<Self, BoxError> {
        let private = S::PrivateKey::from_bytes(private).map_err(|_| BoxError::Key)?;
        let public = S::sk_to_pk(&private);
        Ok(Self { private, public })
    }

    /// The private key, for a key store.
    pub fn expose(&self) -> zeroize::Zeroizing<Vec<u8>> {
        zeroize::Zeroizing::new(self.private.to_bytes().to_vec())
    }

    /// The public key, for everybody.
    pub fn public(&self) -> PublicKey<S> {
        PublicKey(self.public.clone())
    }

    /// Opens a box that **anybody** may have sealed.
    ///
    /// # Errors
    /// See [`BoxError`].
    pub fn open(&self, context: &Context, sealed: &[u8]) -> Result<Vec<u8>, BoxError> {
        self.open_in(&OpModeR::Base, context, sealed)
    }

    fn open_in(
        &self,
        mode: &OpModeR<'_, S>,
        context: &Context,
        sealed: &[u8],
    ) -> Result<Vec<u8>, BoxError> {
        let mut reader = Reader::new(sealed);
        reader.byte(S::ID, "the number of this suite")?;
        let encapsulated = reader.slice(S::ENCAPSULATED, "an encapsulated key")?;
        let ciphertext = reader.rest(16, "a ciphertext and a tag, at least 16 bytes")?;
        let encapsulated =
            S::EncappedKey::from_bytes(encapsulated).map_err(|_| BoxError::NotAuthentic)?;
        let opened = hpke::single_shot_open::<Aead, Kdf, S>(
            mode,
            &self.private,
            &encapsulated,
            context.as_bytes(),
            ciphertext,
            &[],
        );
        opened.map_err(|_| BoxError::NotAuthentic)
    }
}

// ANCHOR: auth
impl KeyPair<Classical> {
    /// Opens a box that `sender` sealed. Only who has the sender's private key can have made it, or
    /// who has yours: if your key leaks, others can pose to you as anybody (RFC 9180 section
    /// 9.1.1).
    ///
    /// # Errors
    /// See [`BoxError`].
    pub fn open_from(
        &self,
        sender: &PublicKey<Classical>,
        context: &Context,
        sealed: &[u8],
    ) -> Result<Vec<u8>, BoxError> {
        self.open_in(&OpModeR::Auth(sender.0.clone()), context, sealed)
    }

    /// Seals for `recipient`, who can tell that it came from you.
    ///
    /// # Errors
    /// See [`BoxError`].
    pub fn seal_for(
        &self,
        recipient: &PublicKey<Classical>,
        context: &Context,
        text: &[u8],
    ) -> Result<Vec<u8>, BoxError> {
        let pair = (self.private.clone(), self.public.clone());
        recipient.seal_in(&OpModeS::Auth(pair), context, text)
    }
}
// ANCHOR_END: auth

impl<S: Suite> PublicKey<S> {
    /// From bytes that a stranger may have sent. With X25519, a key of small order is refused when
    /// something is sealed for it; X-Wing does not check its X25519 half.
    ///
    /// # Errors
    /// [`BoxError::Key`]
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BoxError> {
        S::PublicKey::from_bytes(bytes).map(Self).map_err(|_| BoxError::Key)
    }

    /// For everybody.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }

    // ANCHOR: seal
    /// Seals for the owner of this key. The owner cannot tell from whom it came.
    ///
    /// # Errors
    /// See [`BoxError`].
    pub fn seal(&self, context: &Context, text: &[u8]) -> Result<Vec<u8>, BoxError> {
        self.seal_in(&OpModeS::Base, context, text)
    }

    fn seal_in(
        &self,
        mode: &OpModeS<'_, S>,
        context: &Context,
        text: &[u8],
    ) -> Result<Vec<u8>, BoxError> {
        let info = context.as_bytes();
        let (encapsulated, ciphertext) =
            hpke::single_shot_seal::<Aead, Kdf, S>(mode, &self.0, info, text, &[])
                .map_err(|_| BoxError::Key)?;
        Ok([&[S::ID], encapsulated.to_bytes().as_slice(), &ciphertext].concat())
    }
    // ANCHOR_END: seal
}

impl<S: Suite> fmt::Debug for KeyPair<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair")
    }
}

impl<S: Suite> fmt::Debug for PublicKey<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey")
    }
}
