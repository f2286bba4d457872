//! A record that no honest client sends, encrypted with the client's own key: only the peer itself can make it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA384, KeyType, Prk};
use rustls::KeyLog;

/// Keeps the secret of the client's first application data, as a key log has it.
#[derive(Clone, Default)]
pub struct ClientSecret(Arc<Mutex<Vec<u8>>>);

impl KeyLog for ClientSecret {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if label == "CLIENT_TRAFFIC_SECRET_0" {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = secret.to_vec();
        }
    }
}

/// Without the secret.
impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret")
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl ClientSecret {
    /// The client's first record of application data (number 0), of zeros alone: no byte of it says what it
    /// holds (RFC 8446 section 5.4). For TLS_AES_256_GCM_SHA384.
    pub fn record_of_zeros(&self) -> anyhow::Result<Vec<u8>> {
        let secret = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let key = expand(&secret, "key", 32)?;
        let nonce: [u8; 12] = expand(&secret, "iv", 12)?.try_into().ok().context("a nonce")?;
        let key = UnboundKey::new(&AES_256_GCM, &key).ok().context("a key")?;
        let mut record = vec![0; 16];
        let length = record.len() + AES_256_GCM.tag_len();
        let header = [23, 3, 3, 0, length as u8];
        LessSafeKey::new(key)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(header),
                &mut record,
            )
            .ok()
            .context("sealed")?;
        Ok([&header[..], &record].concat())
    }
}

/// HKDF-Expand-Label with an empty context (RFC 8446 section 7.1).
fn expand(secret: &[u8], label: &str, length: usize) -> anyhow::Result<Vec<u8>> {
    let label = format!("tls13 {label}");
    let (high, low) = ((length >> 8) as u8, length as u8);
    let info = [&[high, low, label.len() as u8][..], label.as_bytes(), &[0]].concat();
    let mut bytes = vec![0; length];
    Prk::new_less_safe(HKDF_SHA384, secret)
        .expand(&[&info], Length(length))
        .and_then(|key| key.fill(&mut bytes))
        .ok()
        .context("expanded")?;
    Ok(bytes)
}
