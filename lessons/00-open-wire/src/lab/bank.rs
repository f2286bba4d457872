//! The bank: a ledger behind a service. And the false bank, which only looks like one.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;
use thiserror::Error;

use crate::lab::ledger::{Ledger, LedgerError};
use crate::lab::service::{Clerk, ServeError, Service};

/// A bank that serves its ledger on loopback.
pub struct Bank {
    service: Service,
    ledger: Arc<Mutex<Ledger>>,
}

impl Bank {
    /// Opens the bank, over TLS if there is a configuration.
    pub async fn open(ledger: Ledger, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        Self::open_on(0, ledger, tls).await
    }

    /// The same on a port of your choice.
    pub async fn open_on(
        port: u16,
        ledger: Ledger,
        tls: Option<Arc<ServerConfig>>,
    ) -> io::Result<Self> {
        let ledger = Arc::new(Mutex::new(ledger));
        let book = ledger.clone();
        let clerk: Clerk =
            Arc::new(move |request, user| match answer(request, user, &mut lock(&book)) {
                Ok(text) => format!("OK {text}"),
                Err(error) => format!("NO {error}"),
            });
        Ok(Self { service: Service::start_on(port, clerk, tls).await?, ledger })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.service.address()
    }

    /// An account's balance in coins.
    pub fn balance(&self, name: &str) -> u32 {
        lock(&self.ledger).balance(name)
    }

    /// Waits for the next connection to end, and says how it ended.
    pub async fn outcome(&mut self) -> Result<(), ServeError> {
        self.service.outcome().await
    }
}

/// Why a request is refused.
#[derive(Debug, Error)]
enum RequestError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("expected LOGIN before PAY")]
    NotLoggedIn,
    #[error("expected \"LOGIN name password\" or \"PAY coins payee\"")]
    Unknown,
}

fn answer(
    request: &str,
    user: &mut Option<String>,
    ledger: &mut Ledger,
) -> Result<String, RequestError> {
    match *request.split(' ').collect::<Vec<_>>() {
        ["LOGIN", name, password] => {
            ledger.log_in(name, password)?;
            *user = Some(name.to_owned());
            Ok(format!("hello {name}"))
        }
        ["PAY", amount, payee] => {
            let payer = user.as_ref().ok_or(RequestError::NotLoggedIn)?;
            let amount = amount.parse().map_err(|_| RequestError::Unknown)?;
            ledger.pay(payer, payee, amount)?;
            Ok(format!("paid {amount} to {payee}"))
        }
        _ => Err(RequestError::Unknown),
    }
}

// ANCHOR: false_bank
/// Speaks the protocol, but has no accounts. Answers OK to everything, and writes each request down.
pub struct FalseBank {
    service: Service,
    diary: Arc<Mutex<Vec<String>>>,
}

impl FalseBank {
    /// Starts the false bank, over TLS if there is a configuration.
    pub async fn open(tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let diary = Arc::new(Mutex::new(Vec::new()));
        let pen = diary.clone();
        let clerk: Clerk = Arc::new(move |request, _user| {
            lock(&pen).push(request.to_owned());
            match *request.split(' ').collect::<Vec<_>>() {
                ["LOGIN", name, _] => format!("OK hello {name}"),
                ["PAY", amount, payee, ..] => format!("OK paid {amount} to {payee}"),
                _ => "OK".to_owned(),
            }
        });
        Ok(Self { service: Service::start(clerk, tls).await?, diary })
    }
    // ANCHOR_END: false_bank

    /// Where it waits.
    pub fn address(&self) -> SocketAddr {
        self.service.address()
    }

    /// Every line that it was told.
    pub fn diary(&self) -> Vec<String> {
        lock(&self.diary).clone()
    }

    /// Waits for the next connection to end, and says how it ended.
    pub async fn outcome(&mut self) -> Result<(), ServeError> {
        self.service.outcome().await
    }
}

/// A panic of another holder leaves data that is still consistent: a payment moves in one
/// go.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
