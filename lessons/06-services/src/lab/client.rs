//! A client that keeps its connection, so that a lesson can ask twice on one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::body::Body;
use careful_services::credentials::{Credentials, Trust, client_config};
use careful_tls::stream::connect;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::task::JoinHandle;

use super::LEDGER_NAME;

const PATIENCE: Duration = Duration::from_secs(3);

/// A configuration for HTTP/1.1 with these credentials.
pub fn with(own: &Credentials, servers: &Trust) -> anyhow::Result<Arc<ClientConfig>> {
    Ok(client_config(own, servers, &[b"http/1.1"])?)
}

/// One connection to the ledger.
pub struct Connection {
    sender: SendRequest<Body>,
    /// Ends with the connection, and says why.
    conversation: Option<JoinHandle<hyper::Result<()>>>,
    /// Whether its handshake continued an earlier session.
    pub resumed: bool,
    /// The ledger's certificate, DER.
    pub served: Vec<u8>,
}

impl Connection {
    /// TCP and TLS. In TLS 1.3 the server may still refuse the certificate afterwards.
    pub async fn open(config: Arc<ClientConfig>, address: SocketAddr) -> anyhow::Result<Self> {
        let name = ServerName::try_from(LEDGER_NAME)?;
        let stream = connect(config, address, name, PATIENCE).await?;
        let resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let chain = stream.get_ref().1.peer_certificates().context("a chain")?;
        let served = chain.first().context("a leaf")?.to_vec();
        let (sender, conversation) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, conversation: Some(tokio::spawn(conversation)), resumed, served })
    }

    /// Asks, and reads the whole answer. An answer that isn't 200 is an error with its status.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<String> {
        self.get_with(path, &[]).await
    }

    /// The same with headers of one's own.
    pub async fn get_with(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        let mut request = Request::get(path).header("host", LEDGER_NAME);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let asked = async {
            let sent = async {
                self.sender.ready().await?;
                self.sender
                    .send_request(request.body(Body::empty())?)
                    .await
                    .map_err(anyhow::Error::from)
            };
            let answer = match sent.await {
                Ok(answer) => answer,
                // The connection itself may know better why.
                Err(error) => match self.conversation.take() {
                    Some(conversation) => match conversation.await? {
                        Err(why) => return Err(refusal(&why.into())),
                        Ok(()) => return Err(refusal(&error)),
                    },
                    None => return Err(error),
                },
            };
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            match status {
                StatusCode::OK => Ok(String::from_utf8(body.to_vec())?),
                status => bail!("the ledger answers {status}"),
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.context("no answer in three seconds")?
    }
}

/// Opens a connection, asks once and closes.
pub async fn ask(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
    path: &str,
) -> anyhow::Result<String> {
    Connection::open(config.clone(), address).await?.get(path).await
}

/// Which of hyper's steps noticed the refusal is chance. The last cause isn't.
fn refusal(why: &anyhow::Error) -> anyhow::Error {
    let last = why.chain().last().map(ToString::to_string).unwrap_or_default();
    anyhow::Error::msg(last).context("the ledger ends the connection")
}
