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
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use curve25519_dalek::edwards::CompressedEdwardsY;
use jsonwebtoken::{DecodingKey, EncodingKey};
use thiserror::Error;
use zeroize::Zeroizing;

/// The length of an HMAC secret, in bytes: that of SHA-256's output, which is the least that RFC 7518 section 3.2
/// allows (MUST).
pub const SECRET: usize = 32;
/// The lengths of a secret in base64: those of the outputs of SHA-256, SHA-384 and SHA-512, in bytes. Every other
/// length is that of another thing: 33 and 65 bytes of a point, 44 and 91 of a public key in DER, 51 of OpenSSH's.
const SECRETS: [usize; 3] = [32, 48, 64];
/// The longest key id of your own, in bytes.
const LONGEST_ID: usize = 64;
/// The longest key id of another issuer, in bytes.
const LONGEST_FOREIGN_ID: usize = 256;
/// An uncompressed point of P-256: 4, x, y.
const P256_POINT: usize = 65;

/// How a token is signed. One key has one of them, and only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519 (RFC 8037): a private key signs, a public one verifies.
    EdDsa,
    /// ECDSA with P-256 and SHA-256 (RFC 7518 section 3.4): the same, for those who need it.
    Es256,
    /// HMAC with SHA-256 (RFC 7518 section 3.2): anybody who verifies can also sign.
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

/// The name of a key (`kid`). It is compared with others, and nothing else: it is no path, no part of an address, and no
/// query.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

/// Why there is no key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// Not a [`KeyId`].
    #[error("expected a key id of 1 to 64 letters, digits, '-', '_' and '.'")]
    Id,
    /// An HMAC secret of another length: too short to be random enough, or another thing.
    #[error("expected a secret of 32, 48 or 64 random bytes in base64, got {0}: use hs256_random")]
    SecretLength(usize),
    /// Not base64, so it's no secret, but a password or a key in a text: PEM, OpenSSH's form, a JWK.
    #[error("expected a secret in base64, got another text: use hs256_random")]
    NotBase64,
    /// A key or a text where random bytes are expected: the mistake of key confusion.
    #[error("expected random bytes as a secret, got {0}")]
    NotASecret(&'static str),
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
    /// One of your own: 1 to 64 letters, digits, `-`, `_` and `.`.
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

    /// One that another issuer chose, as `did:web:example.test#key-1` or base64. RFC 7517 section 4.5 allows every
    /// text; here it is 1 to 256 printable characters of ASCII, so that a log can show it.
    pub(crate) fn of_another_issuer(id: &str) -> Option<Self> {
        let fits = id.bytes().all(|byte| byte.is_ascii_graphic());
        (fits && (1..=LONGEST_FOREIGN_ID).contains(&id.len())).then(|| Self(id.to_owned()))
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
    /// A secret that both sides share: bytes from your key store. To make one, [`Self::hs256_random`].
    ///
    /// # Errors
    /// [`KeyError::NotASecret`] if all 32 bytes are printable: random ones never are (a chance of 1 in 10^13), and a
    /// password or a part of a PEM is. Whether other bytes are random can't be checked: a raw public key of Ed25519 has 32 bytes, too.
    pub fn hs256(id: KeyId, secret: &[u8; SECRET]) -> Result<Self, KeyError> {
        Self::of_secret(id, secret)
    }

    /// The same from a text: base64 or base64url of 32, 48 or 64 random bytes, as `openssl rand -base64 32` prints it.
    /// White space around it is left out.
    ///
    /// # Errors
    /// [`KeyError::NotBase64`], [`KeyError::SecretLength`], and [`KeyError::NotASecret`] for a text in base64, a text in
    /// hexadecimal digits, a key in DER and a point of P-256. jsonwebtoken itself takes any text, even an empty one
    /// (observed with 11.1.0).
    pub fn hs256_from_base64(id: KeyId, secret: &str) -> Result<Self, KeyError> {
        let text = secret.trim_ascii();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(KeyError::NotASecret("hexadecimal digits"));
        }
        let alphabet = match text.contains(['-', '_']) {
            true => &base64::alphabet::URL_SAFE,
            false => &base64::alphabet::STANDARD,
        };
        let padding =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let secret = GeneralPurpose::new(alphabet, padding).decode(text);
        let secret = Zeroizing::new(secret.map_err(|_| KeyError::NotBase64)?);
        match SECRETS.contains(&secret.len()) {
            true => Self::of_secret(id, &secret),
            false => Err(KeyError::SecretLength(secret.len())),
        }
    }

    fn of_secret(id: KeyId, secret: &[u8]) -> Result<Self, KeyError> {
        match no_random_bytes(secret) {
            Some(kind) => Err(KeyError::NotASecret(kind)),
            None => Ok(Self::of_random(id, secret)),
        }
    }

    fn of_random(id: KeyId, secret: &[u8]) -> Self {
        let verifying = VerifyingKey {
            id,
            algorithm: Algorithm::Hs256,
            decoding: DecodingKey::from_secret(secret),
            public: None,
        };
        Self { encoding: EncodingKey::from_secret(secret), verifying }
    }

    /// A fresh secret of 32 random bytes.
    ///
    /// # Errors
    /// [`KeyError::NoRandom`]
    pub fn hs256_random(id: KeyId) -> Result<Self, KeyError> {
        let mut secret = Zeroizing::new([0; SECRET]);
        rand::fill(&mut secret[..]).map_err(|_| KeyError::NoRandom)?;
        Ok(Self::of_random(id, &secret[..]))
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
    /// Whether both are the same public key under the same name. Secrets are never compared.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same = self.id == other.id && self.algorithm == other.algorithm;
        same && self.public.is_some() && self.public == other.public
    }

    /// A public key: 32 bytes for Ed25519, an uncompressed point of 65 for P-256.
    ///
    /// # Errors
    /// [`KeyError::Public`]: another length, no point of the curve, or HMAC, which has no public key.
    /// Of Ed25519 also bytes that are not the one encoding of a point (RFC 8032 section 5.1.2), and
    /// the points of small order, under which signatures can be made without a private key, and of mixed order, about
    /// whose signatures verifiers disagree.
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

/// What these bytes of 32, 48 or 64 are, if they can't be random.
fn no_random_bytes(secret: &[u8]) -> Option<&'static str> {
    let is_printable = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    // A SEQUENCE that fills it, with a length of one byte, as of all that is shorter than 128. The first thing in it is
    // the version of a private key, or the SEQUENCE of a public one that begins with an OBJECT IDENTIFIER. So of random
    // bytes, one in 2^31 is taken for a key. By the first two bytes alone it was one in 65,536.
    let der = matches!(secret, [0x30, length, rest @ ..] if usize::from(*length) == rest.len())
        && matches!(secret[2..], [2, 1, 0 | 1, ..] | [0x30, _, 6, ..]);
    // The two numbers of a JWK, without the 4 before them.
    let point = || secret.len() + 1 == P256_POINT && is_p256(&[&[4], secret].concat());
    match () {
        () if secret.iter().all(is_printable) => Some("a text"),
        () if der => Some("a key in DER"),
        () if point() => Some("a point of P-256"),
        () => None,
    }
}

/// An uncompressed point of the curve.
fn is_p256(public: &[u8]) -> bool {
    public.len() == P256_POINT && ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public).is_ok()
}

/// The one encoding of a point of the large subgroup. Verifiers disagree about points of mixed order, so none is taken.
fn is_ed25519(public: &[u8]) -> bool {
    let Ok(encoded) = CompressedEdwardsY::from_slice(public) else { return false };
    encoded.decompress().is_some_and(|point| {
        point.compress() == encoded && !point.is_small_order() && point.is_torsion_free()
    })
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
