//! The exercises of lesson 2: for each, what judges an answer, and the proof that it judges rightly.

#[cfg(test)]
extern crate self as exercises_2;

#[path = "1-the-loop-that-one-client-stops/check.rs"]
pub mod accept_loop;
#[path = "2-pin-the-key/check.rs"]
pub mod pin;

use std::sync::{Arc, OnceLock};

use shared::LabCa;

/// One CA for all: making keys is what takes time.
pub(crate) fn ca() -> &'static LabCa {
    static CA: OnceLock<LabCa> = OnceLock::new();
    CA.get_or_init(|| LabCa::new("Course Lab").expect("a CA"))
}

pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A TLS 1.3 server with this identity.
pub(crate) fn server(identity: &shared::Identity) -> Result<rustls::ServerConfig, String> {
    let config = rustls::ServerConfig::builder_with_provider(shared::crypto_provider())
        .with_protocol_versions(&[&rustls::version::TLS13]);
    let config = config.map_err(text)?.with_no_client_auth();
    config.with_single_cert(identity.chain(), identity.key()).map_err(text)
}

/// A TLS 1.3 client that trusts the CA.
pub(crate) fn client() -> Result<Arc<rustls::ClientConfig>, String> {
    let config = rustls::ClientConfig::builder_with_provider(shared::crypto_provider())
        .with_protocol_versions(&[&rustls::version::TLS13]);
    let config = config.map_err(text)?.with_root_certificates(ca().roots());
    Ok(Arc::new(config.with_no_client_auth()))
}
