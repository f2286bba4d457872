//! The service that this lesson talks to: a bank with a JSON API.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /balance` | `{"owner":"alice","coins":100}` |
//! | `POST /pay` with `{"to":"bob","coins":25}` | `{"to":"bob","coins":25}` and a debit |
//!
//! Both want `Authorization: Bearer` and the token. Lesson 4 makes such tokens; here it
//! is one fixed string.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use crate::lab::server::Handler;

/// The one token that the bank accepts.
pub const TOKEN: &str = "token-of-alice-7f3a91";

/// The answer to `GET /balance`.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub struct Balance {
    /// The account's owner.
    pub owner: String,
    /// In coins.
    pub coins: u32,
}

/// The body of `POST /pay`, and its receipt.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// The payee.
    pub to: String,
    /// In coins.
    pub coins: u32,
}

/// Alice's account.
#[derive(Clone)]
pub struct Bank {
    paid: Arc<Mutex<Vec<Payment>>>,
}

impl Bank {
    /// A bank with one account: Alice's, of 100 coins.
    #[allow(clippy::new_without_default, reason = "a default bank would say less")]
    pub fn new() -> Self {
        Self { paid: Arc::default() }
    }

    /// What Alice paid, in order, as the bank understood it.
    pub fn paid(&self) -> Vec<Payment> {
        lock(&self.paid).clone()
    }

    /// For [`crate::lab::server::HttpsServer::start`].
    pub fn handler(&self) -> Handler {
        let bank = self.clone();
        Arc::new(move |request| bank.answer(&request))
    }

    fn answer(&self, request: &Request<Bytes>) -> Response<Full<Bytes>> {
        let expected = format!("Bearer {TOKEN}");
        if request.headers().get(AUTHORIZATION).is_none_or(|value| value != expected.as_str()) {
            return status(StatusCode::UNAUTHORIZED);
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/balance") => {
                let coins = left(&lock(&self.paid));
                json(&Balance { owner: "alice".to_owned(), coins })
            }
            (&Method::POST, "/pay") => match serde_json::from_slice::<Payment>(request.body()) {
                Ok(payment) => self.pay(payment),
                Err(_not_a_payment) => status(StatusCode::BAD_REQUEST),
            },
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    fn pay(&self, payment: Payment) -> Response<Full<Bytes>> {
        // One lock for the check and the payment: two requests at once cannot both pass.
        let mut paid = lock(&self.paid);
        if payment.coins > left(&paid) {
            return status(StatusCode::CONFLICT);
        }
        paid.push(payment.clone());
        json(&payment)
    }
}

/// What Alice has left, in coins.
fn left(paid: &[Payment]) -> u32 {
    paid.iter().fold(100, |left, payment| left.saturating_sub(payment.coins))
}

fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    let Ok(body) = serde_json::to_vec(value) else {
        return status(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut response = Response::new(Full::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
