//! The service of this lesson: it answers each line with itself.

use std::io;
use std::time::Duration;

use careful_lines::{LINE_DEADLINE, LONGEST_LINE, LineError, read_line};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use careful_tls::server::Connection;
use careful_tls::stream::close;

/// The application protocol (ALPN, RFC 7301): a name that only this service has.
pub const PROTOCOL: &[u8] = b"course-echo/1";

/// How long a closing peer may take.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// How long one client may take.
#[derive(Clone, Copy, Debug)]
pub struct EchoDeadlines {
    /// For each line that it sends.
    pub line: Duration,
    /// For it to read an answer.
    pub answer: Duration,
}

impl Default for EchoDeadlines {
    /// 5 seconds for each.
    fn default() -> Self {
        Self { line: LINE_DEADLINE, answer: Duration::from_secs(5) }
    }
}

// ANCHOR: echo
/// Serves one connection, until the client closes it, misses a deadline, or the server stops. A
/// line that has arrived as a whole is answered first.
pub async fn echo(connection: Connection, deadlines: EchoDeadlines) {
    let Connection { stream, stopping, .. } = connection;
    let mut stream = BufReader::new(stream);
    // Why a connection ended is the client's affair; a product writes it to its log. It ends
    // with a goodbye, so that the client can tell it from an attack.
    let _why = answer_lines(&mut stream, &stopping, deadlines).await;
    let _closed = close(&mut stream, CLOSE_DEADLINE).await;
}

async fn answer_lines(
    stream: &mut BufReader<TlsStream<TcpStream>>,
    stopping: &CancellationToken,
    deadlines: EchoDeadlines,
) -> Result<(), LineError> {
    loop {
        let line = tokio::select! {
            biased;
            line = read_line(stream, LONGEST_LINE, deadlines.line) => line?,
            () = stopping.cancelled() => None,
        };
        let Some(line) = line else { return Ok(()) };
        let answer = format!("{line}\n");
        let answering = async {
            stream.write_all(answer.as_bytes()).await?;
            // A written record may still wait in rustls's buffer: reading does not send it.
            stream.flush().await
        };
        // A client that does not read must not keep its place.
        let in_time = timeout(deadlines.answer, answering).await;
        in_time.unwrap_or(Err(io::ErrorKind::TimedOut.into()))?;
    }
}
// ANCHOR_END: echo
