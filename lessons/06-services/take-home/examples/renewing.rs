use std::error::Error;
use std::path::Path;

use axum::Router;
use axum::routing::get;
use careful_certificates::roots::Roots;
use careful_services::caller::Caller;
use careful_services::credentials::{Credentials, Trust, server_config};
use careful_services::reload::Reloading;
use careful_services::renew::{Facts, Obtain, SystemClock, keep_valid};
use careful_services::revoked::Revoked;
use careful_services::serve::{Deadlines, Limits, PROTOCOLS, Service};
use tokio::net::TcpListener;

/// Your issuer. Here a program on this machine gets certificates from it, and writes them to two files.
struct Files;

impl Obtain for Files {
    type Error = careful_tls::identity::IdentityError;

    async fn obtain(&self) -> Result<Credentials, Self::Error> {
        Credentials::from_pem_files(Path::new("new-chain.pem"), Path::new("new-key.pem"))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = Path::new("own.pem");
    // What was stored, and at the very first start what the issuer gives.
    let own = match Credentials::stored(file)? {
        Some(stored) => stored,
        None => {
            let first = Files.obtain().await?;
            first.store(file)?;
            first
        }
    };
    let facts = Facts::of(&own)?;
    let trust = Trust { roots: Roots::from_pem_file("ca.pem")?.to_store(), lists: Vec::new() };
    let router =
        Router::new().route("/whoami", get(async |Caller(service): Caller| service.to_string()));
    let service = Service::start(
        TcpListener::bind("127.0.0.1:8443").await?,
        server_config(&own, &trust, &PROTOCOLS)?,
        router,
        Revoked::new(),
        (Limits::default(), Deadlines::default()),
        |event| eprintln!("{event:?}"),
    )?;

    let current = service.current_config();
    let reloading = Reloading::new(own, trust, move |own: &Credentials, clients: &Trust| {
        current.replace(server_config(own, clients, &PROTOCOLS).map_err(|why| why.to_string())?);
        Ok(())
    });
    let install = |new: Credentials| {
        // First: a full disk must not end the service's certificate.
        reloading.show(new.clone())?;
        new.store(file).map_err(|why| why.to_string())
    };
    tokio::select! {
        () = keep_valid(&facts, &Files, &SystemClock, install, |news| eprintln!("{news:?}")) => {}
        stop = tokio::signal::ctrl_c() => stop?,
    }
    service.shut_down().await?;
    Ok(())
}
