//! The opponents of this lesson. Nothing in here is to be taken home.

pub mod bank;
pub mod careless;
pub mod interceptor;
pub mod plain;
pub mod server;
pub mod stage;
pub mod stall;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use shared::LoopbackServer;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What a client with a strict deadline will not wait for, and what ends a lesson that
/// forgot one.
const LAB_DEADLINE: std::time::Duration = std::time::Duration::from_secs(20);

/// A TLS server that calls `serve` for each connection whose handshake succeeds.
async fn tls_server<F, S>(tls: Arc<ServerConfig>, serve: F) -> io::Result<LoopbackServer>
where
    F: Fn(TlsStream<TcpStream>) -> S + Clone + Send + Sync + 'static,
    S: Future<Output = io::Result<()>> + Send + 'static,
{
    let acceptor = TlsAcceptor::from(tls);
    LoopbackServer::start(move |tcp| {
        let (acceptor, serve) = (acceptor.clone(), serve.clone());
        async move {
            let connection = async move { serve(acceptor.accept(tcp).await?).await };
            // The client's failure is what the lesson looks at, from the client's side.
            let _ = tokio::time::timeout(LAB_DEADLINE, connection).await;
        }
    })
    .await
}

/// A server of the lab under the name that its certificate carries: what a client needs
/// to know.
#[derive(Clone, Debug)]
pub struct Host {
    /// The name in the URL.
    pub name: &'static str,
    /// Where that name leads: the lesson's own DNS.
    pub address: SocketAddr,
}

impl Host {
    /// An https URL on this host.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}:{}{path}", self.name, self.address.port())
    }
}
