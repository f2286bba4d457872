//! Encryption as it is found in the wild. Each leaves out one thing.

use aes::Aes256;
use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use ctr::cipher::{KeyIvInit, StreamCipher};

// ANCHOR: ctr
/// INSECURE: AES in counter mode, and no tag. Encrypting and decrypting are the same.
pub fn counter_mode(key: &[u8; 32], counter: &[u8; 16], text: &mut [u8]) {
    let mut cipher = ctr::Ctr128BE::<Aes256>::new(key.into(), counter.into());
    cipher.apply_keystream(text);
}
// ANCHOR_END: ctr

// ANCHOR: chosen_nonce
/// INSECURE: the caller chooses the nonce.
pub fn seal(key: &[u8; 32], nonce: &[u8; 12], text: &[u8]) -> Result<Vec<u8>, aes_gcm::Error> {
    let key: &Key<Aes256Gcm> = key.into();
    Aes256Gcm::new(key).encrypt(&Nonce::from(*nonce), text)
}
// ANCHOR_END: chosen_nonce

/// What the owner of the key makes of a message: aes-gcm itself, with all its checks.
pub fn open(key: &[u8; 32], nonce: &[u8; 12], sealed: &[u8]) -> Result<Vec<u8>, aes_gcm::Error> {
    let key: &Key<Aes256Gcm> = key.into();
    Aes256Gcm::new(key).decrypt(&Nonce::from(*nonce), sealed)
}

// ANCHOR: glued
/// INSECURE: the parts of a context glued together.
pub fn glued(parts: &[&str]) -> Vec<u8> {
    parts.concat().into_bytes()
}
// ANCHOR_END: glued
