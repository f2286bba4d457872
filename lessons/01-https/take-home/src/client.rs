//! A reqwest client with the defaults that this lesson argues for.
//!
//! reqwest's own defaults follow ten redirects, also from https to http, wait forever
//! for an answer, take a proxy from the environment and trust every CA of the platform
//! (observed with reqwest 0.13.5). For a program that talks to a service it knows, none
//! of that is wanted.

use std::time::Duration;

pub use careful_certificates::roots::Roots;
use reqwest::ClientBuilder;
use reqwest::redirect::Policy;
use reqwest::tls::Version;

/// TCP and TLS handshake together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the start of a request to the head of its answer, connecting and upload included;
/// then the longest time between two reads of the body (observed with reqwest 0.13.5).
pub const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// The whole request, from the first try to connect to the last byte of the body.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Whose certificates a client accepts.
#[derive(Clone, Debug)]
pub enum Trust {
    /// These CAs and no other: for a service whose CA you know.
    Only(Roots),
    /// The CAs of the operating system, for public servers.
    Platform,
    /// The CAs of the operating system **and** these. Any public CA can still vouch for
    /// your service.
    PlatformAnd(Roots),
}

// ANCHOR: secure_client
/// A client builder for an API over HTTPS:
///
/// - TLS 1.3 at least; the certificate and the name are checked against `trust`
/// - https URLs only, also after a redirect; no redirect is followed
/// - a deadline for connecting, for each read, and for the whole request
/// - no proxy from the environment, no Referer header
///
/// Each of these can be changed on the builder that it returns. For an older server:
/// `.tls_version_min(Version::TLS_1_2)`. For a company's proxy: `.proxy(…)`; an https
/// request then goes through a CONNECT tunnel, and TLS still ends at the server.
///
/// # Errors
/// A certificate of `trust` that reqwest refuses; [`Roots`] has checked them before.
pub fn secure_client(trust: &Trust) -> Result<ClientBuilder, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .https_only(true)
        .tls_version_min(Version::TLS_1_3)
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .timeout(TOTAL_TIMEOUT);
    Ok(match trust {
        Trust::Only(roots) => builder.tls_certs_only(certificates(roots)?),
        Trust::Platform => builder,
        Trust::PlatformAnd(roots) => builder.tls_certs_merge(certificates(roots)?),
    })
}
// ANCHOR_END: secure_client

fn certificates(roots: &Roots) -> Result<Vec<reqwest::Certificate>, reqwest::Error> {
    roots.certificates().iter().map(|der| reqwest::Certificate::from_der(der)).collect()
}
