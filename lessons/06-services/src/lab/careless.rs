//! Services and an issuer as they are often written: each has one mistake.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use careful_certificates::leaf::Leaf;
use careful_services::caller::Connected;
use careful_services::credentials::Credentials;
use careful_services::renew::{Obtain, renew_at};
use http::{HeaderMap, StatusCode};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::pki::{names, now};

// ANCHOR: any_certificate
/// The CA has issued the certificate, so it's one of us.
pub fn any_certificate() -> Router {
    Router::new().route("/charge", get(async |_: Extension<Connected>| "charged"))
}
// ANCHOR_END: any_certificate

// ANCHOR: ends_with
/// Reads the names in the certificate, and compares each of them by its end.
pub fn ends_with() -> Router {
    let charge = async |Extension(client): Extension<Connected>| match names(client.leaf())
        .iter()
        .any(|name| name.ends_with("bank.test/checkout"))
    {
        true => Ok("charged"),
        false => Err(StatusCode::FORBIDDEN),
    };
    Router::new().route("/charge", get(charge))
}
// ANCHOR_END: ends_with

// ANCHOR: believes_the_header
/// The proxy has verified the certificate, and says in the header whose it is.
pub fn believes_the_header() -> Router {
    let charge = async |headers: HeaderMap| {
        let name = headers.get("x-client-name").and_then(|name| name.to_str().ok());
        match name == Some(super::CHECKOUT) {
            true => Ok("charged"),
            false => Err(StatusCode::FORBIDDEN),
        }
    };
    Router::new().route("/charge", get(charge))
}
// ANCHOR_END: believes_the_header

// ANCHOR: copies
/// Issues what the request asks for: its names, its purposes, its dates.
pub fn copies_the_request(
    wishes: &CertificateParams,
    key: &KeyPair,
    ca: &Issuer<'_, KeyPair>,
) -> anyhow::Result<rcgen::Certificate> {
    Ok(wishes.signed_by(key, ca)?)
}
// ANCHOR_END: copies

// ANCHOR: renews_once
/// Sleeps until the certificate is old, gets a new one and installs it.
pub async fn renews_once<O: Obtain>(
    leaf: &Leaf,
    source: &O,
    install: impl Fn(Credentials),
) -> Result<(), O::Error> {
    loop {
        let at = renew_at(leaf.not_before, leaf.not_after, 0.0);
        tokio::time::sleep(Duration::from_secs(at.saturating_sub(now()))).await;
        install(source.obtain().await?);
    }
}
// ANCHOR_END: renews_once

// ANCHOR: listener
/// A listener for `axum::serve` that shakes hands in `accept`.
pub struct TlsListener {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((tcp, address)) = self.tcp.accept().await else { continue };
            // axum calls `accept` again when this has returned.
            if let Ok(stream) = self.tls.accept(tcp).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
// ANCHOR_END: listener

/// Serves this router with that listener, until the task is dropped.
pub async fn serve(
    config: Arc<ServerConfig>,
    router: Router,
) -> anyhow::Result<(std::net::SocketAddr, tokio::task::AbortHandle)> {
    let tcp = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = tcp.local_addr().context("an address")?;
    let listener = TlsListener { tcp, tls: TlsAcceptor::from(config) };
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((address, serving.abort_handle()))
}
