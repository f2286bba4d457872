//! A plain HTTP server that writes down the headers of anybody who comes, and an HTTPS server
//! that sends everybody elsewhere.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderValue, LOCATION};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use shared::LoopbackServer;

use crate::lab::server::Handler;

/// The headers of every request that a server got.
#[derive(Clone, Default)]
pub struct HeaderLog(Arc<Mutex<Vec<HeaderMap>>>);

impl HeaderLog {
    /// Until now, request by request.
    pub fn seen(&self) -> Vec<HeaderMap> {
        self.lock().clone()
    }

    /// For an HTTPS server that writes them down.
    pub fn handler(&self) -> Handler {
        let log = self.clone();
        Arc::new(move |request| log.answer(request.headers()))
    }

    fn answer(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        self.lock().push(headers.clone());
        Response::new(Full::new(Bytes::from_static(b"hello")))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<HeaderMap>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An HTTP server without TLS.
pub async fn plain_server(log: HeaderLog) -> io::Result<LoopbackServer> {
    LoopbackServer::start(move |tcp| {
        let log = log.clone();
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = log.answer(request.headers());
                async { Ok::<_, Infallible>(answer) }
            });
            // A client that goes away is no concern of the lab's.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(tcp), service)
                .await;
        }
    })
    .await
}

/// Answers every request with 302 and this location.
pub fn redirect_to(location: &str) -> Handler {
    let location = HeaderValue::from_str(location);
    Arc::new(move |_request| {
        let mut response = Response::new(Full::default());
        match &location {
            Ok(location) => {
                *response.status_mut() = StatusCode::FOUND;
                response.headers_mut().insert(LOCATION, location.clone());
            }
            Err(_not_a_header) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
        }
        response
    })
}
