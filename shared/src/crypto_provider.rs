//! The one place that chooses the cryptography of the course: aws-lc-rs.
//!
//! rustls has no cryptography of its own; a *provider* brings it. If a program leaves the
//! choice to cargo features and two crates of its dependencies choose differently,
//! `ClientConfig::builder()` panics at run time. So every configuration of the course is
//! built with `builder_with_provider(crypto_provider())`, and nothing is installed
//! process-wide.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The provider for every `ClientConfig` and `ServerConfig` of the course: aws-lc-rs. With
/// rustls's feature `prefer-post-quantum` its first key-exchange group is the post-quantum
/// hybrid X25519MLKEM768 (observed with rustls 0.23.46); without the feature, it comes last.
pub fn crypto_provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
