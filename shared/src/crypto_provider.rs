//! The cryptography of the laboratory: aws-lc-rs, as in the take-home crates. Their
//! `careful_tls::provider` says why a program names it in one place.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// For every `ClientConfig` and `ServerConfig` of a lab.
pub fn crypto_provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
