use std::error::Error;
use std::path::Path;
use std::time::Duration;

use careful_tls::config::server_config;
use careful_tls::identity::ServerIdentity;
use careful_tls::server::{Deadlines, Limits, TlsServer};
use careful_tls::stream::close;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let identity = ServerIdentity::from_pem_files(Path::new("chain.pem"), Path::new("key.pem"))?;
    let server = TlsServer::start(
        TcpListener::bind("127.0.0.1:7444").await?,
        server_config(identity, b"hello/1")?,
        Limits::default(),
        Deadlines::default(),
        |event| eprintln!("{event:?}"),
        |mut connection| async move {
            let greeting = connection.stream.write_all(b"hello\n");
            // Anybody who connects must read within a deadline, here and for each message of yours.
            let _sent = tokio::time::timeout(Duration::from_secs(5), greeting).await;
            let _closed = close(&mut connection.stream, Duration::from_secs(1)).await;
        },
    )?;
    tokio::signal::ctrl_c().await?;
    server.shut_down().await?;
    Ok(())
}
