//! The bank's ledger: a service whose routes say who may call them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use careful_services::caller::Caller;
use careful_services::credentials::{Credentials, Trust, server_config};
use careful_services::revoked::Revoked;
use careful_services::rules::{Rules, require};
use careful_services::serve::{Deadlines, Event, Limits, PROTOCOLS, Service};
use careful_tls::server;
use rustls::ServerConfig;
use tokio::net::TcpListener;

use super::CHECKOUT;

// ANCHOR: router
/// `/whoami` answers every service with an identity. Only the checkout may call `/charge`.
pub fn router() -> anyhow::Result<Router> {
    let rules = Rules::new().allow("charge", [CHECKOUT])?;
    let charge = get(async |Caller(service): Caller| format!("charged for {service}"));
    Ok(Router::new()
        .route("/charge", charge.route_layer(from_fn_with_state(rules.to("charge")?, require)))
        .route("/whoami", get(async |Caller(service): Caller| format!("you are {service}"))))
}
// ANCHOR_END: router

/// The ledger's configuration.
pub fn config(own: &Credentials, clients: &Trust) -> anyhow::Result<Arc<ServerConfig>> {
    Ok(server_config(own, clients, &PROTOCOLS)?)
}

/// A running ledger, and its log.
pub struct Ledger {
    service: Service,
    log: Log,
    /// What it refuses from now on.
    pub revoked: Revoked,
}

/// Whom the ledger has refused, and why.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Writes down an event.
    pub fn write(&self, event: &Event) {
        let line = match event {
            Event::Connection(server::Event::Refused(_, refused)) => {
                let error: &dyn std::error::Error = refused;
                let causes = std::iter::successors(error.source(), |error| error.source());
                causes.last().map_or_else(|| refused.to_string(), ToString::to_string)
            }
            Event::Connection(server::Event::AcceptFailed(error)) => error.to_string(),
            Event::Unknown(_, unknown) => unknown.to_string(),
            Event::NotAllowed(_, service) => format!("not allowed: {service}"),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// The last line, once there are so many.
    pub async fn line(&self, number: usize) -> anyhow::Result<String> {
        let written = async {
            loop {
                let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
                match lines.get(number) {
                    Some(line) => return line.clone(),
                    None => tokio::time::sleep(std::time::Duration::from_millis(2)).await,
                }
            }
        };
        let patience = std::time::Duration::from_secs(5);
        tokio::time::timeout(patience, written).await.context("a line in the ledger's log")
    }
}

impl Ledger {
    /// Serves the ledger's router.
    pub async fn start(config: Arc<ServerConfig>) -> anyhow::Result<Self> {
        Self::start_with(config, router()?).await
    }

    /// Serves another one.
    pub async fn start_with(config: Arc<ServerConfig>, router: Router) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (log, revoked) = (Log::default(), Revoked::new());
        let lines = log.clone();
        let observe = move |event| lines.write(&event);
        let times = (Limits::default(), Deadlines::default());
        let service = Service::start(listener, config, router, revoked.clone(), times, observe)?;
        Ok(Self { service, log, revoked })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.service.address()
    }

    /// The line with this number in its log, from 0.
    pub async fn log(&self, number: usize) -> anyhow::Result<String> {
        self.log.line(number).await
    }

    /// Another configuration for every handshake from now on.
    pub fn replace_config(&self, config: Arc<ServerConfig>) {
        self.service.replace_config(config);
    }

    /// Answers what is there, and ends.
    pub async fn shut_down(self) -> anyhow::Result<()> {
        self.service.shut_down().await?;
        Ok(())
    }
}
