//! The chapter's two small accept loops: what stops the first one doesn't stop the second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use shared::LabCa;
use tls_sockets::lab::small_loop::{each_in_its_task, one_after_the_other};
use tls_sockets::lab::{ONLY_1_3, SERVER, client, server};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// Long enough for a served client, and shorter than the deadline of a handshake.
const PATIENCE: Duration = Duration::from_secs(3);

async fn stage()
-> Result<(TcpListener, TlsAcceptor, TlsConnector, SocketAddr), Box<dyn std::error::Error>> {
    let ca = LabCa::new("Course Lab")?;
    let acceptor = TlsAcceptor::from(Arc::new(server(&ca.leaf(SERVER).issue()?, ONLY_1_3)?));
    let connector = TlsConnector::from(Arc::new(client(ca.roots(), ONLY_1_3)?));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, acceptor, connector, address))
}

/// An honest client's line, as it comes back.
async fn ask(connector: &TlsConnector, address: SocketAddr) -> std::io::Result<String> {
    let name = rustls::pki_types::ServerName::try_from(SERVER).expect("a name");
    let stream = connector.connect(name, TcpStream::connect(address).await?).await?;
    let mut stream = BufReader::new(stream);
    stream.write_all(b"hello\n").await?;
    stream.flush().await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_silent_client_stops_the_first_loop_and_not_the_second() -> TestResult {
    let (listener, acceptor, connector, address) = stage().await?;
    let serving = tokio::spawn(one_after_the_other(listener, acceptor));
    assert_eq!(ask(&connector, address).await?, "hello\n", "before the attack");
    let _silent = TcpStream::connect(address).await?;
    assert!(timeout(PATIENCE, ask(&connector, address)).await.is_err(), "nobody is served");
    serving.abort();

    let (listener, acceptor, connector, address) = stage().await?;
    let serving = tokio::spawn(each_in_its_task(listener, acceptor));
    let _silent = TcpStream::connect(address).await?;
    assert_eq!(timeout(PATIENCE, ask(&connector, address)).await??, "hello\n");
    serving.abort();
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_not_tls_ends_the_first_loop_and_not_the_second() -> TestResult {
    let (listener, acceptor, _connector, address) = stage().await?;
    let serving = tokio::spawn(one_after_the_other(listener, acceptor));
    TcpStream::connect(address).await?.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let ended = timeout(PATIENCE, serving).await??;
    assert!(ended.is_err(), "the loop is over");

    let (listener, acceptor, connector, address) = stage().await?;
    let serving = tokio::spawn(each_in_its_task(listener, acceptor));
    TcpStream::connect(address).await?.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    assert_eq!(timeout(PATIENCE, ask(&connector, address)).await??, "hello\n");
    serving.abort();
    Ok(())
}
