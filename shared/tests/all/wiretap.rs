//! The wiretap on real sockets and real TLS 1.2 and 1.3 traffic.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use careful_errors::ErrorChain;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use shared::tls_records::{Content, TLS_1_2, TLS_1_3, TlsView};
use shared::wiretap::{Action, Framing, Recording, replay};
use shared::{ClosedPort, Direction, LabCa, Wiretap, crypto_provider};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type TestResult = Result<(), Box<dyn Error>>;

/// Answers every line with itself until the client closes.
async fn echo_server() -> Result<std::net::SocketAddr, Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await
            });
        }
    });
    Ok(address)
}

async fn exchange(address: std::net::SocketAddr, text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(text).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_passive_tap_records_both_directions_and_changes_nothing() -> TestResult {
    let tap = Wiretap::listening_to(echo_server().await?).await?;
    assert_eq!(exchange(tap.address(), b"ping\npong\n").await?, b"ping\npong\n");
    let recording = tap.recording();
    assert_eq!(recording.connections[0].to_server, b"ping\npong\n");
    assert_eq!(recording.connections[0].to_client, b"ping\npong\n");
    let place = recording.find(b"pong").ok_or("pong is in the recording")?;
    assert_eq!((place.direction, place.offset), (Direction::ToServer, 5));
    assert_eq!(recording.find(b"secret"), None);
    Ok(())
}

#[tokio::test]
async fn an_active_tap_replaces_repeats_drops_delays_and_cuts_by_line() -> TestResult {
    let server = echo_server().await?;
    let attack = |unit: shared::wiretap::Unit<'_>| match (unit.direction, unit.bytes) {
        (Direction::ToServer, b"bob\n") => Action::Replace(b"mallory\n".to_vec()),
        (Direction::ToServer, b"twice\n") => Action::Repeat,
        (Direction::ToServer, b"drop\n") => Action::Replace(Vec::new()),
        (Direction::ToServer, b"late\n") => Action::Delay(Duration::from_millis(10)),
        (Direction::ToServer, b"cut\n") => Action::Cut,
        _ => Action::Pass,
    };
    let tap = Wiretap::attacking(server, Framing::Lines, attack).await?;
    let answer = exchange(tap.address(), b"alice\nbob\ntwice\ndrop\nlate\nno line feed").await?;
    assert_eq!(answer, b"alice\nmallory\ntwice\ntwice\nlate\nno line feed");
    // A cut is an end without an answer; whether the system reports it as a reset depends
    // on timing.
    let answer = exchange(tap.address(), b"cut\nbob\n").await.unwrap_or_default();
    assert_eq!(answer, b"");
    Ok(())
}

#[tokio::test]
async fn a_dropped_tap_closes_its_port_and_connections() -> TestResult {
    // A server of its own, that counts: after the tap is closed, another test may have its port.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let tap = Wiretap::listening_to(listener.local_addr()?).await?;
    let address = tap.address();
    let mut open = TcpStream::connect(address).await?;
    let (mut served, _) = listener.accept().await?;
    served.write_all(b"x").await?;
    open.read_exact(&mut [0]).await?;
    drop(tap);
    assert_eq!(open.read(&mut [0]).await.unwrap_or(0), 0, "the open connection ends");
    let again = TcpStream::connect(address).await;
    let served = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(served.is_err(), "the port is closed, and nothing comes from it");
    drop(again);
    Ok(())
}

#[tokio::test]
async fn a_tap_before_no_server_closes_the_clients_connection() -> TestResult {
    let unused = ClosedPort::new()?;
    let tap = Wiretap::listening_to(unused.address()?).await?;
    assert_eq!(exchange(tap.address(), b"hello").await.unwrap_or_default(), b"");
    Ok(())
}

/// One TLS round trip through a tap, and what the tap recorded.
async fn tls_round_trip(
    version: &'static SupportedProtocolVersion,
    secret: &[u8],
    framing: Framing,
    attack: impl FnMut(shared::wiretap::Unit<'_>) -> Action + Send + 'static,
) -> Result<(Recording, std::io::Result<Vec<u8>>, std::net::SocketAddr), Box<dyn Error>> {
    let ca = LabCa::new("Tap Test")?;
    let identity = ca.leaf("bank.test").issue()?;
    let server = ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&TLS12, &TLS13])?
        .with_no_client_auth()
        .with_single_cert(identity.chain(), identity.key())?;
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut tls = acceptor.accept(tcp).await?;
                let mut text = vec![0; 64];
                let read = tls.read(&mut text).await?;
                tls.write_all(&text[..read]).await?;
                tls.shutdown().await
            });
        }
    });

    let mut client = ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[version])?
        .with_root_certificates(ca.roots())
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tap = Wiretap::attacking(address, framing, attack).await?;
    let answer = async {
        let tcp = TcpStream::connect(tap.address()).await?;
        let name = ServerName::try_from("bank.test").map_err(std::io::Error::other)?;
        let mut tls = TlsConnector::from(Arc::new(client)).connect(name, tcp).await?;
        tls.write_all(secret).await?;
        let mut answer = Vec::new();
        tls.read_to_end(&mut answer).await?;
        Ok(answer)
    };
    let answer = answer.await;
    Ok((tap.recording(), answer, address))
}

fn names(view: &TlsView) -> Vec<&'static str> {
    let records = view.to_server.iter().chain(&view.to_client);
    records
        .filter_map(|record| match &record.content {
            Content::Handshake(messages) => Some(messages.iter().map(|message| message.name)),
            _ => None,
        })
        .flatten()
        .collect()
}

#[tokio::test]
async fn in_tls_1_3_the_tap_reads_the_hellos_and_nothing_after_them() -> TestResult {
    let (wire, answer, _) =
        tls_round_trip(&TLS13, b"a secret word", Framing::Chunks, |_| Action::Pass).await?;
    assert_eq!(answer?, b"a secret word");
    assert_eq!(wire.find(b"a secret word"), None);
    assert_eq!(wire.find(b"Tap Test Intermediate"), None, "the certificate is encrypted");
    let view = wire.tls(0);
    let hello = view.client_hello().ok_or("a ClientHello")?;
    assert_eq!(hello.server_name.as_deref(), Some("bank.test"));
    assert_eq!(hello.alpn, ["http/1.1"]);
    assert_eq!(hello.versions, [TLS_1_3]);
    assert_eq!(hello.key_shares, [(0x11ec, 1216), (0x001d, 32)]);
    let answer = view.server_hello().ok_or("a ServerHello")?;
    assert_eq!(answer.version, TLS_1_3);
    assert_eq!(answer.key_share, Some((0x11ec, 1120)));
    assert_eq!(answer.random.len(), 32);
    assert_eq!(names(&view), ["ClientHello", "ServerHello"]);
    // 13 bytes of plaintext: 5 header, 13, 1 content type, 16 tag.
    let encrypted = Content::Encrypted("application data");
    assert!(view.to_server.iter().any(|record| record.length == 35 && record.content == encrypted));
    Ok(())
}

#[tokio::test]
async fn in_tls_1_2_the_tap_reads_the_certificate_too() -> TestResult {
    let (wire, answer, _) =
        tls_round_trip(&TLS12, b"a secret word", Framing::Chunks, |_| Action::Pass).await?;
    assert_eq!(answer?, b"a secret word");
    assert_eq!(wire.find(b"a secret word"), None);
    assert!(wire.find(b"Tap Test Intermediate").is_some(), "the certificate is in the clear");
    let view = wire.tls(0);
    let answer = view.server_hello().ok_or("a ServerHello")?;
    assert_eq!((answer.version, answer.key_share), (TLS_1_2, None));
    assert_eq!(answer.cipher_suite, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
    for name in [
        "ClientHello",
        "ClientKeyExchange",
        "ServerHello",
        "Certificate",
        "ServerKeyExchange",
        "ServerHelloDone",
    ] {
        assert!(names(&view).contains(&name), "{name} in {:?}", names(&view));
    }
    assert!(
        view.to_server.iter().any(|record| record.content == Content::Encrypted("handshake")),
        "Finished"
    );
    assert!(
        view.to_client.iter().any(|record| record.content == Content::Encrypted("alert")),
        "close_notify"
    );
    Ok(())
}

#[tokio::test]
async fn a_flipped_bit_in_a_record_is_refused() -> TestResult {
    for version in [&TLS12, &TLS13] {
        let attack = |unit: shared::wiretap::Unit<'_>| {
            let mut bytes = unit.bytes.to_vec();
            // The last byte of the server's first record of application data.
            if unit.direction == Direction::ToClient && bytes[0] == 23 {
                *bytes.last_mut().expect("a record is not empty") ^= 1;
            }
            Action::Replace(bytes)
        };
        let (_, answer, _) = tls_round_trip(version, b"hello", Framing::TlsRecords, attack).await?;
        let error = answer.err().ok_or("the change is noticed")?;
        assert_eq!(
            ErrorChain(&error).find(),
            Some(&rustls::Error::DecryptError),
            "{}",
            ErrorChain(&error)
        );
    }
    Ok(())
}

#[tokio::test]
async fn recorded_tls_says_nothing_on_a_second_connection() -> TestResult {
    let (wire, answer, server) =
        tls_round_trip(&TLS13, b"pay bob", Framing::Chunks, |_| Action::Pass).await?;
    assert_eq!(answer?, b"pay bob");
    let answer = replay(server, &wire.connections[0].to_server, Duration::from_secs(5)).await?;
    let view = shared::tls_records::view(&wire.connections[0].to_server, &answer);
    let sent = view
        .to_client
        .iter()
        .filter(|record| record.content == Content::Encrypted("application data"));
    let echo = sent.clone().any(|record| record.length == 5 + 7 + 1 + 16);
    assert!(!echo, "the server answers a replay with its flight and an alert, never with the echo");
    Ok(())
}

#[tokio::test]
async fn a_hello_retry_request_is_told_from_a_server_hello() -> TestResult {
    // The client sends no key share that this server takes: it has to try again.
    let ca = LabCa::new("Tap Test")?;
    let identity = ca.leaf("bank.test").issue()?;
    let only = |group: rustls::NamedGroup| {
        let mut provider = (*crypto_provider()).clone();
        provider.kx_groups.retain(|known| known.name() == group);
        Arc::new(provider)
    };
    let server = ServerConfig::builder_with_provider(only(rustls::NamedGroup::secp256r1))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(identity.chain(), identity.key())?;
    let client = ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(ca.roots())
        .with_no_client_auth();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let tap = Wiretap::listening_to(listener.local_addr()?).await?;
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let serving = async { acceptor.accept(listener.accept().await?.0).await };
    let asking = async {
        let tcp = TcpStream::connect(tap.address()).await?;
        let name = ServerName::try_from("bank.test").map_err(std::io::Error::other)?;
        TlsConnector::from(Arc::new(client)).connect(name, tcp).await
    };
    tokio::try_join!(serving, asking)?;
    let view = tap.recording().tls(0);
    let hellos: Vec<_> = names(&view).into_iter().filter(|name| name.contains("Hello")).collect();
    assert_eq!(hellos, ["ClientHello", "ClientHello", "HelloRetryRequest", "ServerHello"]);
    assert_eq!(view.server_hello().and_then(|hello| hello.key_share), Some((0x0017, 65)));
    Ok(())
}

#[tokio::test]
async fn a_closed_port_refuses_clients_and_nobody_else_gets_it() -> TestResult {
    let closed = ClosedPort::new()?;
    let refused = TcpStream::connect(closed.address()?).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(TcpListener::bind(closed.address()?).await.is_err());
    Ok(())
}
