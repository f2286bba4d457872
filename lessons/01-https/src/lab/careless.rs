//! Clients as they are found in the wild. Each turns off one thing that the lesson turns
//! on.

use reqwest::ClientBuilder;

// ANCHOR: accepts_any_certificate
/// INSECURE: accepts any certificate of anybody. The answer that the web gives to
/// `UnknownIssuer`.
pub fn accepts_any_certificate() -> ClientBuilder {
    #[expect(clippy::disallowed_methods, reason = "the mistake that the part `mitm` attacks")]
    let builder = reqwest::Client::builder().tls_danger_accept_invalid_certs(true);
    builder.no_proxy()
}
// ANCHOR_END: accepts_any_certificate
