//! A client: a connection, requests and answers, and a login that renews itself.
//!
//! The mistakes this prevents: a client that waits forever; a request that is repeated although it
//! must not be; a server that is taken for another service.

use std::sync::Arc;
use std::time::Duration;

use careful_tls::config::client_config;
use careful_tls::stream::{ConnectError, close, connect};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::frames::{FrameDeadlines, FrameError, Frames};
use crate::protocol::{ALPN, Name, Refusal, Request, Response, Secret};

/// How often a request that may be repeated is tried in all.
const TRIES: u32 = 3;
const CLOSE: Duration = Duration::from_secs(1);

/// Where the server is, and how it proves who it is.
#[derive(Clone)]
pub struct Endpoint {
    address: Arc<str>,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    /// For TCP and the handshake together.
    pub connect: Duration,
    /// For frames.
    pub frames: FrameDeadlines,
    /// Before the second try of a request; before the third it is twice as long.
    pub pause: Duration,
}

impl Endpoint {
    /// A server of this name at this address, whose certificate one of these CAs issued. The address is an IP
    /// address or a host name, and a port: `127.0.0.1:7443`, `localhost:7443`. Where the name leads to is not
    /// trusted: the certificate must be for `name`. Five seconds to connect, forty for an answer, ten for a
    /// frame.
    ///
    /// # Errors
    /// None for the provider of this course.
    pub fn new(
        address: impl ToString,
        name: ServerName<'static>,
        roots: Arc<RootCertStore>,
    ) -> Result<Self, rustls::Error> {
        let seconds = Duration::from_secs;
        Ok(Self {
            address: address.to_string().into(),
            name,
            config: client_config(roots, ALPN)?,
            connect: seconds(5),
            frames: FrameDeadlines { idle: seconds(40), frame: seconds(10), write: seconds(10) },
            pause: Duration::from_millis(200),
        })
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No connection.
    #[error("no connection to the server")]
    Connect(#[from] ConnectError),
    /// The connection failed. Whether the request was carried out, nobody knows.
    #[error("the connection was lost before the answer")]
    Lost(#[source] FrameError),
    /// The server said goodbye before it answered.
    #[error("the server closed the connection before it answered")]
    Closed,
    /// The server refused.
    #[error("the server refused: {because} (request {request} in the server's log)")]
    Refused {
        /// Why.
        because: Refusal,
        /// The id in its log.
        request: String,
    },
    /// The server answered another question.
    #[error("expected the answer to {0}, got another one")]
    Unexpected(&'static str),
    /// A request that needs a login, without one.
    #[error("not logged in")]
    NoLogin,
}

impl ClientError {
    /// Whether the connection is to blame, so that another one may help.
    fn is_of_the_connection(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Lost(_) | Self::Closed)
    }

    /// Whether the server refused for this reason.
    pub fn is(&self, refusal: Refusal) -> bool {
        matches!(self, Self::Refused { because, .. } if *because == refusal)
    }
}

struct Tokens {
    access: Secret,
    refresh: Secret,
}

/// One connection to the server at a time.
pub struct Client {
    endpoint: Endpoint,
    frames: Option<Frames<TlsStream<TcpStream>>>,
    login: Option<(Name, Secret)>,
    tokens: Option<Tokens>,
}

impl Client {
    /// Not connected yet.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, frames: None, login: None, tokens: None }
    }

    /// The same, with a name and a password for requests that need them.
    pub fn with_login(endpoint: Endpoint, name: Name, password: Secret) -> Self {
        Self { login: Some((name, password)), ..Self::new(endpoint) }
    }

    // ANCHOR: call
    /// Asks once.
    ///
    /// # Errors
    /// See [`ClientError`]. After [`ClientError::Lost`] the request may have been carried out.
    pub async fn call(&mut self, request: &Request) -> Result<Response, ClientError> {
        // Taken out: if anything fails, or this is cancelled, the connection is not used again.
        let mut frames = match self.frames.take() {
            Some(frames) => frames,
            None => self.connect().await?,
        };
        frames.send(request).await.map_err(ClientError::Lost)?;
        let answer = frames.receive::<Response>().await.map_err(ClientError::Lost)?;
        let answer = answer.ok_or(ClientError::Closed)?;
        // After a bad request the server closes.
        match answer {
            Response::Refused { because, request } => {
                if because != Refusal::BadRequest {
                    self.frames = Some(frames);
                }
                // Another one's text, on its way to a terminal: an id has letters and digits.
                let fits = |c: &char| c.is_ascii_alphanumeric();
                let request = request.chars().filter(fits).take(32).collect();
                Err(ClientError::Refused { because, request })
            }
            answer => {
                self.frames = Some(frames);
                Ok(answer)
            }
        }
    }

    /// Asks again after a lost connection, for requests that may come twice.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn call_repeatedly(&mut self, request: &Request) -> Result<Response, ClientError> {
        let mut pause = self.endpoint.pause;
        for _ in 1..TRIES {
            match self.call(request).await {
                Err(error) if error.is_of_the_connection() => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                answered => return answered,
            }
        }
        self.call(request).await
    }
    // ANCHOR_END: call

    // ANCHOR: with_token
    /// Asks with an access token: logs in when there is none, and once more when it is refused.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn call_with_token(
        &mut self,
        request: impl Fn(Secret) -> Request,
    ) -> Result<Response, ClientError> {
        let token = match &self.tokens {
            Some(tokens) => tokens.access.clone(),
            None => self.log_in().await?,
        };
        match self.call_repeatedly(&request(token)).await {
            Err(error) if error.is(Refusal::Unauthorized) => {
                let token = self.renew().await?;
                self.call_repeatedly(&request(token)).await
            }
            answered => answered,
        }
    }

    /// The next pair of tokens: by the refresh token, or else by the password. A refresh is never
    /// repeated: a token that comes twice ends the login.
    async fn renew(&mut self) -> Result<Secret, ClientError> {
        if let Some(tokens) = self.tokens.take()
            && let Ok(answer) = self.call(&Request::Refresh { refresh: tokens.refresh }).await
        {
            return self.take_tokens(answer);
        }
        self.log_in().await
    }
    // ANCHOR_END: with_token

    /// The same for a request that must not come twice: after a lost answer it is not repeated.
    ///
    /// # Errors
    /// See [`ClientError`]. After [`ClientError::Lost`] and [`ClientError::Closed`] it may have been carried
    /// out.
    pub async fn call_with_token_once(
        &mut self,
        request: impl Fn(Secret) -> Request,
    ) -> Result<Response, ClientError> {
        let token = match &self.tokens {
            Some(tokens) => tokens.access.clone(),
            None => self.log_in().await?,
        };
        let answer = match self.call(&request(token)).await {
            // A token that has expired, or ended: nothing was done.
            Err(error) if error.is(Refusal::Unauthorized) => {
                let token = self.renew().await?;
                self.call(&request(token)).await
            }
            answered => answered,
        };
        if matches!(answer, Ok(Response::Ended { .. })) {
            // All logins have ended, this one among them.
            self.tokens = None;
        }
        answer
    }

    /// Other words for the next login.
    pub fn set_login(&mut self, name: Name, password: Secret) {
        self.login = Some((name, password));
        self.tokens = None;
    }

    /// Logs in now, with these words.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn log_in_with(&mut self, name: Name, password: Secret) -> Result<(), ClientError> {
        self.set_login(name, password);
        self.log_in().await.map(drop)
    }

    async fn log_in(&mut self) -> Result<Secret, ClientError> {
        let (name, password) = self.login.clone().ok_or(ClientError::NoLogin)?;
        let answer = self.call_repeatedly(&Request::LogIn { name, password }).await?;
        self.take_tokens(answer)
    }

    fn take_tokens(&mut self, answer: Response) -> Result<Secret, ClientError> {
        match answer {
            Response::Tokens { access, refresh, .. } => {
                self.tokens = Some(Tokens { access: access.clone(), refresh });
                Ok(access)
            }
            _ => Err(ClientError::Unexpected("log_in")),
        }
    }

    /// The access token, if there is one.
    pub fn token(&self) -> Option<&Secret> {
        self.tokens.as_ref().map(|tokens| &tokens.access)
    }

    async fn connect(&self) -> Result<Frames<TlsStream<TcpStream>>, ClientError> {
        let Endpoint { address, name, config, connect: deadline, frames, .. } =
            self.endpoint.clone();
        let stream = connect(config, &*address, name, deadline).await?;
        Ok(Frames::new(stream, frames))
    }

    /// Ends the login on the server, if there is one, and says goodbye.
    pub async fn close(mut self) {
        if let Some(Tokens { access, refresh }) = self.tokens.take() {
            // If it fails, both run out by themselves.
            let _ = self.call(&Request::LogOut { refresh, token: Some(access) }).await;
        }
        if let Some(frames) = self.frames.take() {
            let _ = close(&mut frames.into_stream(), CLOSE).await;
        }
    }
}
