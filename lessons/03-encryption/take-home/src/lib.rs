//! Encryption of data, as you would store it and send it.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`sealing`] | a `Sealer` for messages: AES-256-GCM, nonces that nobody can choose |
//! | [`context`] | what a message is bound to, encoded without ambiguity |
//! | [`keyring`] | keys with ids: rotation, retirement, envelopes |
//! | [`password`] | a key from a password: Argon2id |
//! | [`stream`] | files larger than memory, in verified chunks |
//! | [`public_key`] | to seal for somebody whose public key you have: HPKE |
//! | [`signing`] | who said it: Ed25519 |
//! | [`signed_box`] | both: signed by one, sealed for one |
//! | [`mod@format`] | a strict reader of bytes from strangers |
#![warn(missing_docs)]

pub mod context;
pub mod format;
pub mod keyring;
pub mod password;
pub mod public_key;
pub mod sealing;
pub mod signed_box;
pub mod signing;
pub mod stream;
