//! Two accept loops on a page, before the whole one of the take-home crate. Both repeat lines.

use std::io;
use std::time::Duration;

use careful_lines::{LINE_DEADLINE, LONGEST_LINE, read_line};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

// ANCHOR: stops
/// INSECURE: the handshake is part of the loop. One silent client stops it, and one that isn't TLS ends it.
pub async fn one_after_the_other(listener: TcpListener, acceptor: TlsAcceptor) -> io::Result<()> {
    loop {
        let (tcp, _peer) = listener.accept().await?;
        let stream = acceptor.accept(tcp).await?;
        tokio::spawn(repeat_lines(stream));
    }
}
// ANCHOR_END: stops

// ANCHOR: small
/// Each handshake is in a task of its own, under a deadline.
pub async fn each_in_its_task(listener: TcpListener, acceptor: TlsAcceptor) -> io::Result<()> {
    loop {
        let (tcp, _peer) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if let Ok(Ok(stream)) = timeout(HANDSHAKE_DEADLINE, acceptor.accept(tcp)).await {
                repeat_lines(stream).await;
            }
        });
    }
}
// ANCHOR_END: small

async fn repeat_lines(stream: TlsStream<TcpStream>) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(line)) = read_line(&mut stream, LONGEST_LINE, LINE_DEADLINE).await {
        let answer = async {
            stream.write_all(line.as_bytes()).await?;
            stream.write_all(b"\n").await?;
            stream.flush().await
        };
        if !matches!(timeout(LINE_DEADLINE, answer).await, Ok(Ok(()))) {
            break;
        }
    }
}
