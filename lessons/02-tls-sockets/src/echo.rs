//! The service of this lesson: it answers each line with itself.

use std::io;
use std::time::Duration;

use open_wire::lines::{LineLimits, read_line};
use tokio::io::{AsyncWriteExt, BufReader};

use crate::config::require_protocol;
use crate::server::Connection;
use crate::stream::close;

/// The application protocol (ALPN, RFC 7301): a name that only this service has.
pub const PROTOCOL: &[u8] = b"course-echo/1";

/// How long a closing peer may take.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

// ANCHOR: echo
/// Serves one connection, until the client closes it, breaks a limit, or the server stops.
pub async fn echo(connection: Connection, limits: LineLimits) {
    // What ends a connection here is the client's affair; a product writes it to its log.
    let _ended = serve(connection, limits).await;
}

async fn serve(connection: Connection, limits: LineLimits) -> io::Result<()> {
    let Connection { stream, stopping, .. } = connection;
    require_protocol(stream.get_ref().1, PROTOCOL).map_err(io::Error::other)?;
    let mut stream = BufReader::new(stream);
    loop {
        let line = tokio::select! {
            line = read_line(&mut stream, limits) => line.map_err(io::Error::other)?,
            () = stopping.cancelled() => None,
        };
        let Some(line) = line else { return close(&mut stream, CLOSE_DEADLINE).await };
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        // A written record may still wait in rustls's buffer: reading does not send it.
        stream.flush().await?;
    }
}
// ANCHOR_END: echo
