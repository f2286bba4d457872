//! The server as the attacker: it has the right certificate, passes requests on to the honest
//! server, and changes its answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use careful_tls::config::server_config;
use careful_tls::server::{Connection, Deadlines, Limits, TlsServer};
use tokio::net::TcpListener;

use crate::lab::stage::{Stage, identity};
use careful_mailbox::client::{Client, ClientError, Endpoint};
use careful_mailbox::frames::{FrameDeadlines, Frames};
use careful_mailbox::protocol::{ALPN, Request, Response};

/// What it does to an answer.
pub type Tamper = Arc<dyn Fn(&Request, Response) -> Response + Send + Sync>;

/// A spying server.
pub struct Spy {
    server: TlsServer,
}

impl Spy {
    /// Before the honest server of a stage, with a certificate of the same CA.
    pub async fn before(stage: &Stage, tamper: Tamper) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let config = server_config(identity(&stage.ca)?, ALPN)?;
        let honest = stage.endpoint()?;
        let handler = move |connection| relay(connection, honest.clone(), tamper.clone());
        let server = TlsServer::start(
            listener,
            config,
            Limits::default(),
            Deadlines::default(),
            |_event| {},
            handler,
        )?;
        Ok(Self { server })
    }

    /// Where clients are led to.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

async fn relay(connection: Connection, honest: Endpoint, tamper: Tamper) {
    let seconds = Duration::from_secs(10);
    let deadlines = FrameDeadlines { idle: seconds, frame: seconds, write: seconds };
    let mut frames = Frames::new(connection.stream, deadlines);
    let mut upstream = Client::new(honest);
    while let Ok(Some(request)) = frames.receive::<Request>().await {
        let answer = match upstream.call(&request).await {
            Ok(answer) => answer,
            Err(ClientError::Refused { because, request }) => {
                Response::Refused { because, request }
            }
            Err(_lost) => return,
        };
        if frames.send(&tamper(&request, answer)).await.is_err() {
            return;
        }
    }
}
