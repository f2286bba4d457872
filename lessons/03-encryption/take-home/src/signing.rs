//! Who said it: Ed25519 signatures (RFC 8032). They hide nothing.
//!
//! The mistakes this prevents: a signature over a text that is taken for another kind of text; over
//! bytes that two programs read differently.

use std::fmt;

use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use curve25519_dalek::edwards::CompressedEdwardsY;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::context::{Context, Kind};

type EncodedSeed = Curve25519SeedBin<'static>;

/// In bytes.
pub const SIGNATURE: usize = 64;

/// A private key and its public one. Never printed.
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

/// A public key, of 32 bytes, which is none of the few keys of small order: under those, one
/// signature fits every text, or one text in two, four or eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyingKey([u8; 32]);

/// The signature is not this key's over this text in this context.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the signature is not valid")]
pub struct NotSigned;

/// The system gave no key, or the bytes are none that may be trusted.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not a usable key")]
pub struct NoKey;

impl SigningKey {
    /// From the system's generator.
    ///
    /// # Errors
    /// [`NoKey`]
    pub fn random() -> Result<Self, NoKey> {
        Ed25519KeyPair::generate().map(|pair| Self { pair }).map_err(|_| NoKey)
    }

    /// From the 32 bytes that RFC 8032 calls the private key.
    ///
    /// # Errors
    /// [`NoKey`]
    pub fn from_seed(seed: &Zeroizing<[u8; 32]>) -> Result<Self, NoKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice());
        pair.map(|pair| Self { pair }).map_err(|_| NoKey)
    }

    /// The 32 bytes of the private key, for a key store.
    ///
    /// # Errors
    /// [`NoKey`]: the library does not hand them out.
    pub fn expose(&self) -> Result<Zeroizing<[u8; 32]>, NoKey> {
        let seed = self.pair.seed().map_err(|_| NoKey)?;
        let bytes: EncodedSeed = seed.as_be_bytes().map_err(|_| NoKey)?;
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(bytes.as_ref());
        Ok(seed)
    }

    /// The public key, for everybody.
    pub fn public(&self) -> VerifyingKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        VerifyingKey(key)
    }

    // ANCHOR: sign
    /// Signs a text in a context: what kind of text it is, for whom, which number it has.
    /// Both are encoded so that no other pair of context and text has the same bytes.
    pub fn sign(&self, context: &Context, text: &[u8]) -> [u8; SIGNATURE] {
        let mut signature = [0; SIGNATURE];
        signature.copy_from_slice(self.pair.sign(&signed_bytes(context, text)).as_ref());
        signature
    }
    // ANCHOR_END: sign
}

impl VerifyingKey {
    // ANCHOR: small_order
    /// From bytes that a stranger may have sent.
    ///
    /// # Errors
    /// [`NoKey`]: they are no point of the curve, not in the one encoding of RFC 8032 section
    /// 5.1.2, or of small or mixed order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, NoKey> {
        let point = CompressedEdwardsY(bytes).decompress().ok_or(NoKey)?;
        // Of small order: one signature fits many texts. Of mixed order: verifiers disagree.
        let order = !point.is_small_order() && point.is_torsion_free();
        match point.compress().0 == bytes && order {
            true => Ok(Self(bytes)),
            false => Err(NoKey),
        }
    }
    // ANCHOR_END: small_order

    /// For everybody.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Whether the owner of this key signed this text in this context.
    ///
    /// # Errors
    /// [`NotSigned`]
    pub fn verify(
        &self,
        context: &Context,
        text: &[u8],
        signature: &[u8],
    ) -> Result<(), NotSigned> {
        let key = UnparsedPublicKey::new(&ED25519, &self.0);
        key.verify(&signed_bytes(context, text), signature).map_err(|_| NotSigned)
    }
}

/// The bytes that are signed: the kind of this module, the context, the text.
pub fn signed_bytes(context: &Context, text: &[u8]) -> Vec<u8> {
    Context::of_kind(Kind::SignedText).with(context.as_bytes()).with(text).as_bytes().to_vec()
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}
