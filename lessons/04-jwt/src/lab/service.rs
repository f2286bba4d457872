//! The bank's service behind HTTPS, with the log that every server has: method, path, status.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, Response};

use crate::lab::stage::Scope;
use crate::lab::web::Handler;
use careful_tokens::bearer::{Challenge, bearer_token, refuse};
use careful_tokens::verifier::Verifier;

/// A service, its log, and the reasons for which it refused.
pub struct Service {
    verifier: Verifier,
    log: Mutex<Vec<String>>,
    reasons: Mutex<Vec<String>>,
}

impl Service {
    /// One that takes the tokens of this verifier.
    pub fn new(verifier: Verifier) -> Arc<Self> {
        Arc::new(Self { verifier, log: Mutex::default(), reasons: Mutex::default() })
    }

    /// The lines of its log: what every proxy on the way writes, too.
    pub fn log(&self) -> Vec<String> {
        lock(&self.log).clone()
    }

    /// Why it refused, the last reason last: what only its own log has.
    pub fn reasons(&self) -> Vec<String> {
        lock(&self.reasons).clone()
    }

    /// `/balance` takes the header; `/old/balance` a parameter of the URL, too.
    pub fn handler(self: &Arc<Self>) -> Handler {
        let service = self.clone();
        Arc::new(move |request| {
            let response = service.answer(&request);
            let (method, uri) = (request.method(), request.uri());
            let status = response.status().as_u16();
            lock(&service.log).push(format!("{method} {uri} {status}"));
            response
        })
    }

    // ANCHOR: answer
    fn answer(&self, request: &Request<Bytes>) -> Response<Full<Bytes>> {
        let token = match in_url(request) {
            Some(token) => Ok(token),
            None => bearer_token(request.headers()),
        };
        let token = match token {
            Ok(token) => token,
            Err(none) => return self.refuse(none.to_string(), none),
        };
        match self.verifier.verify::<Scope>(token) {
            Ok(claims) => Response::new(Full::from(format!("balance of {}", claims.sub))),
            Err(refused) => self.refuse(refused.reason().to_string(), &refused),
        }
    }

    /// The reason to its own log, the challenge to the sender.
    fn refuse(&self, reason: String, challenge: impl Into<Challenge>) -> Response<Full<Bytes>> {
        lock(&self.reasons).push(reason);
        refuse(challenge)
    }
    // ANCHOR_END: answer
}

// ANCHOR: in_url
/// INSECURE: a token in the URL, where the path is `/old/…`.
fn in_url(request: &Request<Bytes>) -> Option<&str> {
    let old = request.uri().path().starts_with("/old/");
    let query = request.uri().query().filter(|_| old)?;
    query.split('&').find_map(|pair| pair.strip_prefix("access_token="))
}
// ANCHOR_END: in_url

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
