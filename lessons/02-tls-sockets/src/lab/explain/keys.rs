//! From the traffic secrets of a key log to the text of each record, and to the check of both Finished messages.
//!
//! A key log has no earlier secret, so the schedule begins here with the traffic secrets. Each step names its section of
//! RFC 8446.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use aws_lc_rs::{aead, digest, hmac};
use rustls::KeyLog;

/// The secrets of one connection, under the labels of the NSS key log format (RFC 9850).
#[derive(Clone, Default)]
pub struct Secrets(Arc<Mutex<BTreeMap<String, Logged>>>);

/// The random of the ClientHello, which names the connection, and the secret.
type Logged = (Vec<u8>, Vec<u8>);

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.insert(label.to_owned(), (client_random.to_vec(), secret.to_vec()));
    }
}

/// Without the secrets.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Those of a key log in the NSS format; lines that aren't of it are left out.
    pub fn from_key_log(text: &str) -> Self {
        let secrets = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let [label, random, secret] = words[..]
                && let (Some(random), Some(secret)) = (bytes_of(random), bytes_of(secret))
            {
                secrets.log(label, &random, &secret);
            }
        }
        secrets
    }

    /// As a key log in the NSS format.
    pub fn key_log(&self) -> String {
        let secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |(label, (random, secret)): (&String, &Logged)| {
            format!("{label} {} {}\n", digits(random), digits(secret))
        };
        secrets.iter().map(line).collect()
    }

    /// The secret of this label, if there is one.
    pub fn get(&self, label: &str) -> Option<Vec<u8>> {
        let secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(secrets.get(label)?.1.clone())
    }
}

/// Bytes as hexadecimal digits.
pub fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits.
pub fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// A cipher suite of TLS 1.3 (RFC 8446 appendix B.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// TLS_AES_128_GCM_SHA256
    Aes128,
    /// TLS_AES_256_GCM_SHA384
    Aes256,
    /// TLS_CHACHA20_POLY1305_SHA256
    ChaCha20,
}

impl Suite {
    /// By its number.
    pub fn of(number: u16) -> Option<Self> {
        match number {
            0x1301 => Some(Self::Aes128),
            0x1302 => Some(Self::Aes256),
            0x1303 => Some(Self::ChaCha20),
            _ => None,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        if self == Self::Aes256 { hmac::HMAC_SHA384 } else { hmac::HMAC_SHA256 }
    }

    fn aead(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128 => &AES_128_GCM,
            Self::Aes256 => &AES_256_GCM,
            Self::ChaCha20 => &CHACHA20_POLY1305,
        }
    }

    /// The hash of the messages until now (section 4.4.1).
    pub fn hash(self, messages: &[u8]) -> Vec<u8> {
        let algorithm = if self == Self::Aes256 { &digest::SHA384 } else { &digest::SHA256 };
        digest::digest(algorithm, messages).as_ref().to_vec()
    }

    fn hash_length(self) -> usize {
        if self == Self::Aes256 { 48 } else { 32 }
    }

    /// HMAC with the hash of the suite.
    pub fn hmac_of(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(self.hmac(), key), text).as_ref().to_vec()
    }

    /// HKDF-Expand-Label (section 7.1): as many bytes as asked for, from a secret, for one purpose.
    pub fn expand_label(self, secret: &[u8], label: &str, context: &[u8], length: u8) -> Vec<u8> {
        let label = format!("tls13 {label}");
        let (label_length, context_length) = (label.len() as u8, context.len() as u8);
        // struct HkdfLabel: the length, the label and the context, the last two with their lengths.
        let info =
            [&[0, length, label_length][..], label.as_bytes(), &[context_length], context].concat();
        // HKDF-Expand (RFC 5869 section 2.3).
        let (mut expanded, mut block) = (Vec::new(), Vec::new());
        for count in 1..=u8::MAX {
            if expanded.len() >= usize::from(length) {
                break;
            }
            block = self.hmac_of(secret, &[&block[..], &info, &[count]].concat());
            expanded.extend_from_slice(&block);
        }
        expanded.truncate(usize::from(length));
        expanded
    }

    /// Derive-Secret (section 7.1), with the hash of the messages.
    pub fn derive_secret(self, secret: &[u8], label: &str, transcript: &[u8]) -> Vec<u8> {
        self.expand_label(secret, label, transcript, self.hash_length() as u8)
    }

    /// What a Finished message must hold (section 4.4.4): an HMAC over the conversation so far, with a key that both
    /// sides derive from the sender's handshake secret.
    pub fn verify_data(self, handshake_secret: &[u8], messages: &[u8]) -> Vec<u8> {
        let key = self.expand_label(handshake_secret, "finished", &[], self.hash_length() as u8);
        self.hmac_of(&key, &self.hash(messages))
    }

    /// The next traffic secret, after a KeyUpdate (section 7.2).
    pub fn next_secret(self, secret: &[u8]) -> Vec<u8> {
        self.expand_label(secret, "traffic upd", &[], self.hash_length() as u8)
    }
}

/// The key and the IV of one direction (section 7.3), and how many records it has opened.
pub struct RecordKey {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl RecordKey {
    /// From a traffic secret.
    pub fn new(suite: Suite, secret: &[u8]) -> Option<Self> {
        let key_length = u8::try_from(suite.aead().key_len()).ok()?;
        let key = suite.expand_label(secret, "key", &[], key_length);
        let iv = suite.expand_label(secret, "iv", &[], 12).try_into().ok()?;
        let key = LessSafeKey::new(UnboundKey::new(suite.aead(), &key).ok()?);
        Some(Self { key, iv, sequence: 0 })
    }

    // ANCHOR: open
    /// The text of a record, whose header is the associated data (section 5.2); none if its tag doesn't fit.
    pub fn open(&mut self, header: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        // The nonce is the IV plus the number of the record (section 5.3).
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        let mut text = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.key.open_in_place(nonce, Aad::from(header), &mut text).ok()?.len();
        text.truncate(opened);
        self.sequence += 1;
        Some(text)
    }
    // ANCHOR_END: open
}
