use std::error::Error;
use std::path::Path;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use careful_certificates::roots::Roots;
use careful_services::caller::Caller;
use careful_services::credentials::{Credentials, Trust, server_config};
use careful_services::revoked::Revoked;
use careful_services::rules::{Rules, require};
use careful_services::serve::{Deadlines, Limits, PROTOCOLS, Service};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let rules = Rules::new().allow("charge", ["spiffe://bank.test/checkout"])?;
    let charge = get(async |Caller(service): Caller| format!("charged for {service}"));
    let rule = from_fn_with_state(rules.to("charge")?, require);
    let router = Router::new().route("/charge", charge.route_layer(rule));

    let own = Credentials::from_pem_files(Path::new("chain.pem"), Path::new("key.pem"))?;
    let roots = Roots::from_pem_file("ca.pem")?.to_store();
    let config = server_config(&own, &Trust { roots, lists: Vec::new() }, &PROTOCOLS)?;
    let listener = TcpListener::bind("127.0.0.1:8443").await?;
    let limits = (Limits::default(), Deadlines::default());
    let observe = |event| eprintln!("{event:?}");
    let service = Service::start(listener, config, router, Revoked::new(), limits, observe)?;
    tokio::signal::ctrl_c().await?;
    service.shut_down().await?;
    Ok(())
}
