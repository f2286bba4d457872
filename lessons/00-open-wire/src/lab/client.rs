//! The client's side of the payment protocol: lines of text.
//!
//! ```text
//! client   LOGIN alice correct-horse
//! server   OK hello alice
//! client   PAY 25 bob
//! server   OK paid 25 to bob
//! ```

use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use careful_lines::{LINE_DEADLINE, LONGEST_LINE, LineError, read_line};

/// A client on any stream: plain TCP, or TLS. The protocol does not notice which.
pub struct BankClient<S> {
    stream: BufReader<S>,
}

/// Why the bank did not do it, as far as the client can tell.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The bank said no.
    #[error("the bank refused: {0}")]
    Refused(String),
    /// The bank's answer did not come, or was no line.
    #[error("no answer from the bank")]
    Line(#[from] LineError),
    /// The bank closed the connection without an answer.
    #[error("the bank closed the connection without an answer")]
    Closed,
    /// The request could not be sent.
    #[error("the request could not be sent")]
    Io(#[from] io::Error),
}

impl<S: AsyncRead + AsyncWrite + Unpin> BankClient<S> {
    /// Speaks on a connected stream.
    pub fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// Logs in; returns the bank's greeting.
    pub async fn log_in(&mut self, name: &str, password: &str) -> Result<String, ClientError> {
        self.ask(&format!("LOGIN {name} {password}")).await
    }

    /// Orders a payment; returns the bank's receipt.
    pub async fn pay(&mut self, amount: u32, payee: &str) -> Result<String, ClientError> {
        self.ask(&format!("PAY {amount} {payee}")).await
    }

    /// Closes the connection in order: over TLS, this sends close_notify.
    pub async fn close(mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    async fn ask(&mut self, request: &str) -> Result<String, ClientError> {
        self.stream.write_all(format!("{request}\n").as_bytes()).await?;
        self.stream.flush().await?;
        let answer = read_line(&mut self.stream, LONGEST_LINE, LINE_DEADLINE)
            .await?
            .ok_or(ClientError::Closed)?;
        match answer.strip_prefix("OK ") {
            Some(text) => Ok(text.to_owned()),
            None => Err(ClientError::Refused(answer.trim_start_matches("NO ").to_owned())),
        }
    }
}
