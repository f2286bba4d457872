//! A proxy that ends TLS, and passes on who its client was (RFC 9440).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Extension;
use axum::response::{IntoResponse, Response};
use careful_services::caller::Connected;
use careful_services::forwarded::{CLIENT_CERT, header};
use http::{StatusCode, Uri};
use rustls::ClientConfig;

use super::client::Connection;

// ANCHOR: proxy
/// Passes each request on to the ledger, on a connection of its own, with its client's
/// certificate in the header. What the client wrote into that header doesn't go along, because
/// this makes a new request.
pub fn router(ledger: SocketAddr, config: Arc<ClientConfig>) -> Router {
    let pass_on = async move |uri: Uri, Extension(client): Extension<Connected>| -> Response {
        let path = uri.path().to_owned();
        let forwarded = header(client.leaf());
        let answer = async {
            let mut ledger = Connection::open(config, ledger).await?;
            ledger.get_with(&path, &[(CLIENT_CERT, &forwarded)]).await
        };
        answer.await.map_err(|_refused| StatusCode::FORBIDDEN).into_response()
    };
    Router::new().fallback(pass_on)
}
// ANCHOR_END: proxy
