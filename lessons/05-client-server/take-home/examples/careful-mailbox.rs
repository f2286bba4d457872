use std::error::Error;

use careful_certificates::roots::Roots;
use careful_mailbox::client::{Client, Endpoint};
use careful_mailbox::protocol::Request;
use rustls::pki_types::ServerName;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let roots = Roots::from_pem_file("ca.pem")?.to_store();
    let name = ServerName::try_from("mailbox.test")?;
    let endpoint = Endpoint::new("127.0.0.1:7443", name, roots)?;
    let mut client = Client::new(endpoint);
    println!("{:?}", client.call(&Request::Ping {}).await?);
    client.close().await;
    Ok(())
}
