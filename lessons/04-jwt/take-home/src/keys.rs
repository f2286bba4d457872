//! Keys for tokens: each has one id and one algorithm.
//!
//! The mistakes this prevents: an algorithm that the token chooses (RFC 8725 section 3.1), an HMAC
//! secret that can be guessed (section 3.5), a key id that is used for more than a look-up (section
//! 3.10).

use std::borrow::Borrow;
use std::fmt;

use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, ParsedPublicKey,
};
use curve25519_dalek::edwards::CompressedEdwardsY;
use jsonwebtoken::{DecodingKey, EncodingKey};
use thiserror::Error;
use zeroize::Zeroizing;

/// The shortest HMAC secret, in bytes: as long as SHA-256's output (RFC 7518 section 3.2, MUST).
pub const SHORTEST_SECRET: usize = 32;
/// The longest key id, in bytes.
const LONGEST_ID: usize = 64;
/// An uncompressed point of P-256: 4, x, y.
const P256_POINT: usize = 65;

/// How a token is signed. One key has one of them, and only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519 (RFC 8037): a private key signs, a public one verifies.
    EdDsa,
    /// ECDSA with P-256 and SHA-256 (RFC 7518 section 3.4): the same, for those who need it.
    Es256,
    /// HMAC with SHA-256 (RFC 7518 section 3.2): whoever verifies can also sign.
    Hs256,
}

impl Algorithm {
    /// The name in a token's header (`alg`).
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Hs256 => "HS256",
        }
    }

    pub(crate) fn of_jsonwebtoken(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
        }
    }
}

/// The name of a key (`kid`): 1 to 64 letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

/// Why there is no key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// Not a [`KeyId`].
    #[error("expected a key id of 1 to 64 letters, digits, '-', '_' and '.'")]
    Id,
    /// An HMAC secret that is too short to be random enough.
    #[error("expected a secret of at least 32 random bytes, got {0}: use hs256_random")]
    WeakSecret(usize),
    /// A public key, most likely, where a secret is expected: the mistake of key confusion.
    #[error("expected 32 random bytes as a secret, got another kind of key: {0}")]
    KeyAsSecret(&'static str),
    /// Not a private key of that algorithm in PKCS#8.
    #[error("expected a private key for {0} in PKCS#8")]
    Private(&'static str),
    /// Not a public key of that algorithm.
    #[error("expected a public key for {0}")]
    Public(&'static str),
    /// The system has no random bytes.
    #[error("the system gave no random bytes")]
    NoRandom,
}

impl KeyId {
    /// Checks the form.
    ///
    /// # Errors
    /// [`KeyError::Id`]
    pub fn new(id: &str) -> Result<Self, KeyError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        match (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(fits) {
            true => Ok(Self(id.to_owned())),
            false => Err(KeyError::Id),
        }
    }

    /// As it stands in a header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for KeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What signs. Never printed.
pub struct SigningKey {
    pub(crate) encoding: EncodingKey,
    verifying: VerifyingKey,
}

/// What verifies. For [`Algorithm::Hs256`] it is the secret itself, which also signs: keep it as
/// one.
#[derive(Clone)]
pub struct VerifyingKey {
    pub(crate) id: KeyId,
    pub(crate) algorithm: Algorithm,
    pub(crate) decoding: DecodingKey,
    /// The public key; none for HMAC, which has none.
    pub(crate) public: Option<Vec<u8>>,
}

impl SigningKey {
    /// A fresh Ed25519 key: the first choice.
    ///
    /// # Errors
    /// [`KeyError::NoRandom`]
    pub fn ed25519(id: KeyId) -> Result<Self, KeyError> {
        // Version 1: OpenSSL 3.0 and Python's cryptography do not read version 2, which has the
        // public key in it, too (observed with cryptography 50.0.2, Node.js 20.20.2).
        let key = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new());
        let key = key.map_err(|_| KeyError::NoRandom)?;
        Self::from_pkcs8(id, Algorithm::EdDsa, key.as_ref())
    }

    /// A fresh P-256 key.
    ///
    /// # Errors
    /// [`KeyError::NoRandom`]
    pub fn p256(id: KeyId) -> Result<Self, KeyError> {
        let key =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let key = key.map_err(|_| KeyError::NoRandom)?;
        Self::from_pkcs8(id, Algorithm::Es256, key.as_ref())
    }

    /// A private key from your key store, as [`expose`](Self::expose) gave it: PKCS#8 in DER.
    ///
    /// # Errors
    /// [`KeyError::Private`]: another format, another curve, or HMAC, which has no such key.
    pub fn from_pkcs8(id: KeyId, algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        let no_key = |_| KeyError::Private(algorithm.name());
        let (encoding, public) = match algorithm {
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(der).map_err(no_key)?;
                (EncodingKey::from_ed_der(der), pair.public_key().as_ref().to_vec())
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
                    .map_err(no_key)?;
                (EncodingKey::from_ec_der(der), pair.public_key().as_ref().to_vec())
            }
            Algorithm::Hs256 => return Err(KeyError::Private(algorithm.name())),
        };
        let verifying = VerifyingKey::from_public(id, algorithm, &public)?;
        Ok(Self { encoding, verifying })
    }

    // ANCHOR: hs256
    /// A secret that both sides share. From your key store; to make one, [`Self::hs256_random`].
    ///
    /// # Errors
    /// [`KeyError::WeakSecret`], [`KeyError::KeyAsSecret`]: jsonwebtoken itself takes any text, even
    /// an empty one (observed with 11.1.0). That the bytes are random is not checked.
    pub fn hs256(id: KeyId, secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < SHORTEST_SECRET {
            return Err(KeyError::WeakSecret(secret.len()));
        }
        if let Some(kind) = another_kind_of_key(secret) {
            return Err(KeyError::KeyAsSecret(kind));
        }
        let verifying = VerifyingKey {
            id,
            algorithm: Algorithm::Hs256,
            decoding: DecodingKey::from_secret(secret),
            public: None,
        };
        Ok(Self { encoding: EncodingKey::from_secret(secret), verifying })
    }

    /// A fresh secret of 32 random bytes.
    ///
    /// # Errors
    /// [`KeyError::NoRandom`]
    pub fn hs256_random(id: KeyId) -> Result<Self, KeyError> {
        let mut secret = Zeroizing::new([0; SHORTEST_SECRET]);
        rand::fill(&mut secret[..]).map_err(|_| KeyError::NoRandom)?;
        Self::hs256(id, &secret[..])
    }
    // ANCHOR_END: hs256

    /// The private key in PKCS#8, or the secret: for a key store.
    pub fn expose(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.encoding.as_bytes().to_vec())
    }

    /// Its name.
    pub fn id(&self) -> &KeyId {
        &self.verifying.id
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.verifying.algorithm
    }

    /// What verifies its tokens.
    pub fn verifying(&self) -> VerifyingKey {
        self.verifying.clone()
    }
}

impl VerifyingKey {
    /// A public key: 32 bytes for Ed25519, an uncompressed point of 65 for P-256.
    ///
    /// # Errors
    /// [`KeyError::Public`]: another length, no point of the curve, or HMAC, which has no public key.
    /// Of Ed25519 also bytes that are not the one encoding of a point (RFC 8032 section 5.1.2), and
    /// the points of small order, under which signatures can be made without a private key.
    pub fn from_public(id: KeyId, algorithm: Algorithm, public: &[u8]) -> Result<Self, KeyError> {
        let decoding = match algorithm {
            Algorithm::EdDsa if is_ed25519(public) => DecodingKey::from_ed_der(public),
            Algorithm::Es256 if is_p256(public) => DecodingKey::from_ec_der(public),
            _ => return Err(KeyError::Public(algorithm.name())),
        };
        Ok(Self { id, algorithm, decoding, public: Some(public.to_vec()) })
    }

    /// Its name.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// How its tokens are signed.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// Texts in which keys with a public half come: as a secret, each is one that others have. Random
/// bytes are no text.
fn another_kind_of_key(secret: &[u8]) -> Option<&'static str> {
    let text = secret.trim_ascii_start();
    let is_text = text.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    let kinds = [("-----BEGIN ", "a PEM"), ("ssh-", "one of OpenSSH"), ("{", "a JWK")];
    let fits = |(start, _): &(&str, _)| is_text && text.starts_with(start.as_bytes());
    kinds.into_iter().find(fits).map(|(_, kind)| kind)
}

/// An uncompressed point of the curve.
fn is_p256(public: &[u8]) -> bool {
    public.len() == P256_POINT && ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public).is_ok()
}

/// The one encoding of a point that is not of small order.
fn is_ed25519(public: &[u8]) -> bool {
    let Ok(encoded) = CompressedEdwardsY::from_slice(public) else { return false };
    encoded.decompress().is_some_and(|point| point.compress() == encoded && !point.is_small_order())
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {})", self.id(), self.algorithm().name())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({}, {})", self.id, self.algorithm.name())
    }
}
