//! The one place that chooses the cryptography of a program: aws-lc-rs.
//!
//! The mistake this prevents: rustls has no cryptography of its own; a *provider* brings it. If a
//! program leaves the choice to cargo features, and two crates of its dependencies choose
//! differently, `ClientConfig::builder()` panics at run time. So every configuration here is built
//! with `builder_with_provider(crypto_provider())`, and nothing is installed for the whole process.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The provider for every `ClientConfig` and `ServerConfig`: aws-lc-rs. With rustls's feature
/// `prefer-post-quantum` its first key-exchange group is the post-quantum hybrid X25519MLKEM768
/// (observed with rustls 0.23.46); without the feature, that group comes last.
pub fn crypto_provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_post_quantum_hybrid_comes_first() {
        let provider = crypto_provider();
        let first = provider.kx_groups.first().map(|group| group.name());
        assert_eq!(first, Some(rustls::NamedGroup::X25519MLKEM768));
    }
}
