//! The take-home code as a product would use it: hostile clients, limits, shutdown, files.

use std::error::Error;
use std::io::BufRead;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use careful_errors::ErrorChain;
use careful_lines::{LINE_DEADLINE, LONGEST_LINE, read_line};
use careful_tls::config::{client_config, server_config};
use careful_tls::identity::ServerIdentity;
use careful_tls::server::{Deadlines, Drained, Event, Limits, Refused, TlsServer};
use careful_tls::stream::{ConnectError, close, connect};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use shared::LabCa;
use tls_sockets::lab::echo::{EchoDeadlines, PROTOCOL, echo};
use tls_sockets::lab::{BOTH, SERVER, client};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::client::TlsStream;

type TestResult = Result<(), Box<dyn Error>>;
const PATIENCE: Duration = Duration::from_secs(10);

/// A running echo server, and what it reported.
struct Stage {
    server: TlsServer,
    config: Arc<ClientConfig>,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Stage {
    async fn start(limits: Limits, deadlines: Deadlines) -> Result<Self, Box<dyn Error>> {
        Self::start_with(limits, deadlines, EchoDeadlines::default()).await
    }

    async fn start_with(
        limits: Limits,
        deadlines: Deadlines,
        echo_deadlines: EchoDeadlines,
    ) -> Result<Self, Box<dyn Error>> {
        let Lab { ca, listener, config } = Lab::set_up().await?;
        let (report, events) = mpsc::unbounded_channel();
        let observe = move |event| drop(report.send(event));
        let server =
            TlsServer::start(listener, config, limits, deadlines, observe, move |connection| {
                echo(connection, echo_deadlines)
            })?;
        Ok(Self { server, config: client_config(ca.roots(), PROTOCOL)?, events })
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    async fn connect(&self) -> Result<BufReader<TlsStream<TcpStream>>, ConnectError> {
        let name = ServerName::try_from(SERVER).expect("a name");
        let stream = connect(self.config.clone(), self.address(), name, PATIENCE).await?;
        Ok(BufReader::new(stream))
    }

    /// An honest client connects, says something, is answered, and closes.
    async fn an_honest_client_is_served(&self) -> TestResult {
        let mut stream = self.connect().await?;
        say(&mut stream, "hello").await?;
        close(&mut stream, PATIENCE).await?;
        Ok(())
    }

    async fn next_refusal(&mut self) -> Result<Refused, Box<dyn Error>> {
        match tokio::time::timeout(PATIENCE, self.events.recv()).await?.ok_or("no event")? {
            Event::Refused(_, why) => Ok(why),
            Event::AcceptFailed(error) => Err(error.into()),
        }
    }
}

async fn say(stream: &mut BufReader<TlsStream<TcpStream>>, line: &str) -> TestResult {
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    stream.flush().await?;
    let answer = read_line(stream, LONGEST_LINE, LINE_DEADLINE).await?;
    if answer.as_deref() == Some(line) { Ok(()) } else { Err(format!("{answer:?}").into()) }
}

/// What a server of a test's own stands on.
struct Lab {
    ca: LabCa,
    listener: TcpListener,
    config: Arc<ServerConfig>,
}

impl Lab {
    async fn set_up() -> Result<Self, Box<dyn Error>> {
        let ca = LabCa::new("Lab")?;
        let leaf = ca.leaf(SERVER).issue()?;
        let identity = ServerIdentity { chain: leaf.chain(), key: leaf.key() };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        Ok(Self { ca, listener, config: server_config(identity, PROTOCOL)? })
    }
}

fn quick() -> Deadlines {
    Deadlines { handshake: Duration::from_millis(200), ..Deadlines::default() }
}

#[tokio::test]
async fn silent_clients_stop_nobody() -> TestResult {
    // They may be silent for a minute: if the loop waited for them, so would everybody.
    let deadlines = Deadlines { handshake: Duration::from_secs(60), ..Deadlines::default() };
    let stage = Stage::start(Limits::default(), deadlines).await?;
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(TcpStream::connect(stage.address()).await?);
    }
    let served = stage.an_honest_client_is_served();
    tokio::time::timeout(Duration::from_secs(5), served).await?
}

#[tokio::test]
async fn a_silent_client_is_refused_in_time() -> TestResult {
    let mut stage = Stage::start(Limits::default(), quick()).await?;
    let silent = TcpStream::connect(stage.address()).await?;
    let why = stage.next_refusal().await?;
    assert!(matches!(why, Refused::TooSlow(_)), "{why:?}");
    drop(silent);
    Ok(())
}

#[tokio::test]
async fn a_handshake_takes_a_permit_before_it_begins() -> TestResult {
    let limits = Limits { connections: 1, ..Limits::default() };
    let deadlines = Deadlines { handshake: Duration::from_millis(400), ..Deadlines::default() };
    let stage = Stage::start(limits, deadlines).await?;
    let silent = TcpStream::connect(stage.address()).await?;
    // The silent one is accepted when this is answered; then it holds the one permit.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let started = Instant::now();
    stage.an_honest_client_is_served().await?;
    assert!(started.elapsed() >= Duration::from_millis(200), "{:?}", started.elapsed());
    drop(silent);
    Ok(())
}

#[tokio::test]
async fn a_client_that_does_not_read_gives_its_place_back() -> TestResult {
    let limits = Limits { connections: 1, ..Limits::default() };
    let echo_deadlines =
        EchoDeadlines { answer: Duration::from_millis(300), ..EchoDeadlines::default() };
    let stage = Stage::start_with(limits, Deadlines::default(), echo_deadlines).await?;
    let deaf = stage.connect().await?;
    let (_deaf_in, mut deaf_out) = tokio::io::split(deaf);
    // Lines without end, and no answer is read: some megabytes fit into the buffers on the way.
    let lines = [vec![b'x'; 200], vec![b'\n']].concat().repeat(100);
    let talk = tokio::spawn(async move { while deaf_out.write_all(&lines).await.is_ok() {} });
    // However long it takes to fill the buffers: an honest client that was not served in time tries again.
    let served = async { while stage.an_honest_client_is_served().await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(60), served).await?;
    talk.abort();
    Ok(())
}

#[tokio::test]
async fn an_observer_that_panics_does_not_end_the_server() -> TestResult {
    let Lab { ca, listener, config } = Lab::set_up().await?;
    let limits = Limits { connections: usize::MAX, ..Limits::default() };
    let panics = |_event| panic!("the observer's own mistake");
    let server =
        TlsServer::start(listener, config, limits, Deadlines::default(), panics, |connection| {
            echo(connection, EchoDeadlines::default())
        })?;
    let mut garbage = TcpStream::connect(server.address()).await?;
    garbage.write_all(&[0xff; 100]).await?;
    let _refused = garbage.read_to_end(&mut Vec::new()).await;
    let client = client_config(ca.roots(), PROTOCOL)?;
    let name = ServerName::try_from(SERVER)?;
    let mut stream = BufReader::new(connect(client, server.address(), name, PATIENCE).await?);
    say(&mut stream, "hello").await?;
    assert!(server.is_running());
    close(&mut stream, PATIENCE).await?;
    server.shut_down().await?;
    Ok(())
}

#[tokio::test]
async fn the_take_home_configurations_have_tls_1_3_only_and_no_early_data() -> TestResult {
    let mut stage = Stage::start(Limits::default(), Deadlines::default()).await?;
    let ca = LabCa::new("Lab")?;
    let leaf = ca.leaf(SERVER).issue()?;
    let identity = ServerIdentity { chain: leaf.chain(), key: leaf.key() };
    assert_eq!(server_config(identity, PROTOCOL)?.max_early_data_size, 0);
    assert!(!client_config(ca.roots(), PROTOCOL)?.enable_early_data);
    let old = client(ca.roots(), tls_sockets::lab::ONLY_1_2)?;
    let tcp = TcpStream::connect(stage.address()).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(old));
    let refused = connector.connect(ServerName::try_from(SERVER)?, tcp).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("ProtocolVersion")));
    assert!(matches!(stage.next_refusal().await?, Refused::Handshake(_)));
    let old_server = tls_sockets::lab::server(&leaf, tls_sockets::lab::ONLY_1_2)?;
    let handshake = tls_sockets::lab::handshake::shake_hands(
        old_server,
        (*client_config(ca.roots(), PROTOCOL)?).clone(),
        SERVER,
    );
    assert!(handshake.await?.client_says().contains("ProtocolVersion"));
    Ok(())
}

#[tokio::test]
async fn a_client_of_one_byte_at_a_time_does_not_outlive_the_deadline() -> TestResult {
    let mut stage = Stage::start(Limits::default(), quick()).await?;
    let mut slow = TcpStream::connect(stage.address()).await?;
    let started = Instant::now();
    // The header of a record of 512 bytes, then zeros, a byte each 20 milliseconds.
    let drip = async {
        for byte in [22, 3, 1, 2, 0].into_iter().chain(std::iter::repeat(0)).take(1000) {
            if slow.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = drip => {}
        why = stage.next_refusal() => assert!(matches!(why?, Refused::TooSlow(_))),
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    stage.an_honest_client_is_served().await
}

#[tokio::test]
async fn plain_http_and_garbage_are_refused_and_an_honest_client_is_served() -> TestResult {
    let mut stage = Stage::start(Limits::default(), Deadlines::default()).await?;
    for hostile in [&b"GET / HTTP/1.1\r\nHost: bank.test\r\n\r\n"[..], &[0xff; 300]] {
        let mut stream = TcpStream::connect(stage.address()).await?;
        stream.write_all(hostile).await?;
        let why = stage.next_refusal().await?;
        let Refused::Handshake(error) = &why else { panic!("{why:?}") };
        assert!(error.to_string().contains("InvalidContentType"), "{error}");
        stage.an_honest_client_is_served().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_reset_in_the_middle_of_the_handshake_is_survived() -> TestResult {
    let mut stage = Stage::start(Limits::default(), Deadlines::default()).await?;
    for _ in 0..5 {
        let mut stream = TcpStream::connect(stage.address()).await?;
        stream.write_all(&[22, 3, 1, 2, 0, 1]).await?;
        stream.set_zero_linger()?;
        drop(stream);
        // On Windows, accept itself may find that the client is gone: then nobody was refused.
        if !cfg!(windows) {
            let why = stage.next_refusal().await?;
            assert!(matches!(why, Refused::Handshake(_)), "{why:?}");
        }
    }
    stage.an_honest_client_is_served().await
}

#[tokio::test]
async fn clients_over_the_limit_wait_and_are_served_when_there_is_room() -> TestResult {
    let stage =
        Stage::start(Limits { connections: 2, ..Limits::default() }, Deadlines::default()).await?;
    let mut first = stage.connect().await?;
    let _second = stage.connect().await?;
    // The third's TCP connection is in the listener's queue; its handshake has not begun.
    let third = stage.an_honest_client_is_served();
    tokio::pin!(third);
    let waiting = tokio::time::timeout(Duration::from_millis(100), &mut third).await;
    assert!(waiting.is_err(), "the third client was served beyond the limit");
    close(&mut first, PATIENCE).await?;
    third.await
}

#[tokio::test]
async fn clients_over_the_limit_of_their_address_are_closed_at_once() -> TestResult {
    let mut stage =
        Stage::start(Limits { per_address: 2, ..Limits::default() }, Deadlines::default()).await?;
    let mut first = stage.connect().await?;
    let _second = stage.connect().await?;
    assert!(stage.connect().await.is_err());
    let why = stage.next_refusal().await?;
    assert!(matches!(why, Refused::TooMany(2)), "{why:?}");
    close(&mut first, PATIENCE).await?;
    // The place is given back when the server's side has ended, too.
    for _ in 0..100 {
        if stage.an_honest_client_is_served().await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err("no place was given back".into())
}

#[tokio::test]
async fn a_panic_in_a_handler_ends_one_connection() -> TestResult {
    let Lab { ca, listener, config } = Lab::set_up().await?;
    let first = Arc::new(Mutex::new(true));
    let server = TlsServer::start(
        listener,
        config,
        Limits::default(),
        Deadlines::default(),
        |_| {},
        move |connection| {
            let panics = std::mem::take(&mut *first.lock().expect("not poisoned"));
            async move {
                assert!(!panics, "the first connection panics");
                echo(connection, EchoDeadlines::default()).await;
            }
        },
    )?;
    let client = client_config(ca.roots(), PROTOCOL)?;
    let name = ServerName::try_from(SERVER)?;
    let mut doomed = connect(client.clone(), server.address(), name.clone(), PATIENCE).await?;
    assert!(doomed.read_to_end(&mut Vec::new()).await.is_err(), "no close_notify");
    let mut stream = BufReader::new(connect(client, server.address(), name, PATIENCE).await?);
    say(&mut stream, "still here").await
}

#[tokio::test]
async fn a_shutdown_says_goodbye_and_closes_the_port() -> TestResult {
    let stage = Stage::start(Limits::default(), Deadlines::default()).await?;
    let mut stream = stage.connect().await?;
    say(&mut stream, "before").await?;
    let address = stage.address();
    let config = stage.config.clone();
    let ending = tokio::spawn(stage.server.shut_down());
    // close_notify comes: an end, and not a truncation.
    assert_eq!(stream.read_to_end(&mut Vec::new()).await?, 0);
    stream.shutdown().await?;
    drop(stream);
    assert_eq!(ending.await??, Drained { cut: 0 });
    // Another test's server may have the port by now, with another CA.
    let name = ServerName::try_from(SERVER)?;
    assert!(connect(config, address, name, PATIENCE).await.is_err(), "the port is closed");
    Ok(())
}

#[tokio::test]
async fn a_shutdown_waits_for_work_in_progress() -> TestResult {
    let Lab { ca, listener, config } = Lab::set_up().await?;
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let server = TlsServer::start(
        listener,
        config,
        Limits::default(),
        Deadlines::default(),
        |_| {},
        move |connection| {
            let begun = begun.clone();
            async move {
                let mut stream = connection.stream;
                let _ = begun.send(());
                // The work of a request that came before the shutdown.
                tokio::time::sleep(Duration::from_millis(200)).await;
                let answered = async {
                    stream.write_all(b"done").await?;
                    stream.shutdown().await
                };
                drop(answered.await);
            }
        },
    )?;
    let name = ServerName::try_from(SERVER)?;
    let client = client_config(ca.roots(), PROTOCOL)?;
    let mut stream = connect(client, server.address(), name, PATIENCE).await?;
    has_begun.recv().await.ok_or("the server is gone")?;
    let ending = tokio::spawn(server.shut_down());
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    assert_eq!(answer, "done");
    drop(stream);
    assert_eq!(ending.await??, Drained { cut: 0 });
    Ok(())
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_handshakes() -> TestResult {
    let minute = Duration::from_secs(60);
    let deadlines = Deadlines { handshake: minute, shutdown: minute };
    let stage = Stage::start(Limits::default(), deadlines).await?;
    let silent = TcpStream::connect(stage.address()).await?;
    stage.an_honest_client_is_served().await?;
    let drained = tokio::time::timeout(Duration::from_secs(10), stage.server.shut_down()).await??;
    assert_eq!(drained, Drained { cut: 0 });
    drop(silent);
    Ok(())
}

#[tokio::test]
async fn lines_that_have_arrived_are_answered_before_a_shutdown() -> TestResult {
    let stage = Stage::start(Limits::default(), Deadlines::default()).await?;
    let mut stream = stage.connect().await?;
    say(&mut stream, "before").await?;
    stream.write_all("line\n".repeat(50).as_bytes()).await?;
    stream.flush().await?;
    // The first of them is answered, so all of them have arrived: they came in one record.
    assert_eq!(read_line(&mut stream, LONGEST_LINE, LINE_DEADLINE).await?.as_deref(), Some("line"));
    let ending = tokio::spawn(stage.server.shut_down());
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await?;
    assert_eq!(rest.lines().count(), 49);
    stream.shutdown().await?;
    drop(stream);
    assert_eq!(ending.await??, Drained { cut: 0 });
    Ok(())
}

#[tokio::test]
async fn a_client_over_a_limit_is_told_goodbye() -> TestResult {
    let stage = Stage::start(Limits::default(), Deadlines::default()).await?;
    let mut stream = stage.connect().await?;
    stream.write_all(&[b'x'; 256]).await?;
    stream.flush().await?;
    // An end with close_notify: Ok, and not a truncation.
    assert_eq!(stream.read_to_end(&mut Vec::new()).await?, 0);
    Ok(())
}

#[tokio::test]
async fn close_does_not_claim_an_end_that_has_not_come() -> TestResult {
    let (mut ours, mut theirs) = tokio::io::duplex(1 << 20);
    theirs.write_all(&vec![0; 70_000]).await?;
    let closed = close(&mut ours, PATIENCE).await;
    assert_eq!(closed.map_err(|error| error.kind()), Err(std::io::ErrorKind::InvalidData));
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let closed = close(&mut ours, Duration::from_millis(20)).await;
    assert_eq!(closed.map_err(|error| error.kind()), Err(std::io::ErrorKind::TimedOut));
    drop(theirs);
    Ok(())
}

#[tokio::test]
async fn a_shutdown_cuts_who_does_not_go_within_the_deadline() -> TestResult {
    let deadlines = Deadlines { shutdown: Duration::from_millis(50), ..Deadlines::default() };
    let stage = Stage::start(Limits::default(), deadlines).await?;
    // It is being served, and will never answer the goodbye.
    let mut stream = stage.connect().await?;
    say(&mut stream, "hello").await?;
    let started = Instant::now();
    let drained = stage.server.shut_down().await?;
    assert_eq!(drained, Drained { cut: 1 });
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    drop(stream);
    Ok(())
}

/// Hostile clients of every kind at once, honest ones between them, and at the end nothing is left:
/// no task, no descriptor.
#[cfg(target_os = "linux")]
#[test]
fn after_a_storm_no_task_and_no_descriptor_is_left() -> TestResult {
    if !snapshots::alone("claims::after_a_storm_no_task_and_no_descriptor_is_left") {
        return Ok(());
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let metrics = runtime.metrics();
    let descriptors = || std::fs::read_dir("/proc/self/fd").map(|list| list.count());
    runtime.block_on(async {
        // One round before counting: what a library opens once and keeps is no leak.
        storm().await?;
        let before = (descriptors()?, metrics.num_alive_tasks());
        for _ in 0..3 {
            storm().await?;
        }
        for _ in 0..200 {
            if (descriptors()?, metrics.num_alive_tasks()) <= before {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let after = (descriptors()?, metrics.num_alive_tasks());
        Err(format!("descriptors and tasks: before {before:?}, after {after:?}").into())
    })
}

#[cfg(target_os = "linux")]
async fn storm() -> TestResult {
    let stage = Stage::start_with(
        Limits::default(),
        quick(),
        EchoDeadlines { line: Duration::from_millis(300), ..EchoDeadlines::default() },
    )
    .await?;
    let mut hostile = Vec::new();
    for round in 0..20_u8 {
        let mut stream = TcpStream::connect(stage.address()).await?;
        match round % 4 {
            0 => {}
            1 => stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?,
            2 => stream.write_all(&[22, 3, 1]).await?,
            _ => stream.set_zero_linger()?,
        }
        if round % 4 == 3 {
            drop(stream)
        } else {
            hostile.push(stream)
        }
        if round % 5 == 0 {
            stage.an_honest_client_is_served().await?;
        }
    }
    // One that shook hands and then says nothing.
    let idle = stage.connect().await?;
    stage.an_honest_client_is_served().await?;
    drop((hostile, idle));
    stage.server.shut_down().await?;
    Ok(())
}

#[tokio::test]
async fn a_client_without_the_protocol_is_not_served_and_gets_a_goodbye() -> TestResult {
    let mut stage = Stage::start(Limits::default(), Deadlines::default()).await?;
    let mut without = (*stage.config).clone();
    without.alpn_protocols.clear();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(without));
    let tcp = TcpStream::connect(stage.address()).await?;
    let mut stream = connector.connect(ServerName::try_from(SERVER)?, tcp).await?;
    stream.write_all(b"hello\n").await?;
    let mut answer = Vec::new();
    // An end without close_notify would be an error.
    stream.read_to_end(&mut answer).await?;
    assert_eq!(answer, b"", "nothing was answered");
    stream.shutdown().await?;
    let why = stage.next_refusal().await?;
    assert!(matches!(why, Refused::Protocol(_)), "{why:?}");
    Ok(())
}

#[tokio::test]
async fn our_client_refuses_a_server_without_the_protocol_with_a_goodbye() -> TestResult {
    let ca = LabCa::new("Lab")?;
    let leaf = ca.leaf(SERVER).issue()?;
    let server = tls_sockets::lab::server(&leaf, BOTH)?;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(async move {
        let mut stream = acceptor.accept(listener.accept().await?.0).await?;
        // An end without close_notify would be an error.
        let came = stream.read_to_end(&mut Vec::new()).await?;
        stream.shutdown().await.map(|()| came)
    });
    let config = client_config(ca.roots(), PROTOCOL)?;
    let refused = connect(config, address, ServerName::try_from(SERVER)?, PATIENCE).await;
    assert!(matches!(refused, Err(ConnectError::Protocol(_))), "{:?}", refused.err());
    assert_eq!(serving.await??, 0, "nothing was sent to it");
    Ok(())
}

#[tokio::test]
async fn our_client_gives_a_silent_server_up() -> TestResult {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let config = Arc::new(client(Arc::new(RootCertStore::empty()), BOTH)?);
    let name = ServerName::try_from(SERVER)?;
    let deadline = Duration::from_millis(50);
    let refused = connect(config, listener.local_addr()?, name, deadline).await;
    assert!(matches!(refused, Err(ConnectError::TooSlow(_))), "{:?}", refused.err());
    Ok(())
}

// Files

fn files() -> Result<(tempfile::TempDir, LabCa), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let ca = LabCa::new("Lab")?;
    ca.leaf(SERVER).issue()?.write_to(folder.path())?;
    Ok((folder, ca))
}

fn load(folder: &Path) -> Result<ServerIdentity, String> {
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    ServerIdentity::from_pem_files(&chain, &key).map_err(|error| ErrorChain(&error).to_string())
}

/// Replaces a file, keeping its rights.
fn replace(folder: &Path, name: &str, text: &[u8]) -> TestResult {
    std::fs::OpenOptions::new().write(true).truncate(true).open(folder.join(name))?;
    std::fs::write(folder.join(name), text)?;
    Ok(())
}

#[test]
fn a_good_chain_and_key_are_loaded_and_do_not_print() -> TestResult {
    let (folder, _) = files()?;
    let identity = load(folder.path())?;
    assert_eq!(format!("{identity:?}"), "ServerIdentity { certificates: 2, .. }");
    server_config(identity, PROTOCOL)?;
    Ok(())
}

#[test]
fn every_file_that_cannot_be_used_is_named_with_what_is_wrong() -> TestResult {
    let (folder, ca) = files()?;
    let folder = folder.path();
    let chain = std::fs::read(folder.join("chain.pem"))?;
    let key = std::fs::read(folder.join("key.pem"))?;
    let two_keys = [key.clone(), key.clone()].concat();
    let encrypted =
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let one_line_key = String::from_utf8(key.clone())?.replace('\n', "\\n") + "\n";
    let old_way = String::from_utf8(key.clone())?
        .replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n");
    let cases: [(&str, &[u8], &str); 12] = [
        ("key.pem", old_way.as_bytes(), "one with a passphrase"),
        ("chain.pem", &key, "line 1 begins a private key"),
        ("key.pem", one_line_key.as_bytes(), "something else in line 1"),
        ("chain.pem", b"", "expected at least one"),
        ("chain.pem", b"garbage", "expected at least one"),
        ("chain.pem", &chain[..chain.len() - 40], "section 2 is broken or cut off"),
        ("chain.pem", &vec![b' '; 300_000], "at most 262144 bytes"),
        ("key.pem", b"", "expected one private key in PEM, found an empty file"),
        ("key.pem", &chain, "found a certificate"),
        ("key.pem", &two_keys, "expected one private key, found 2"),
        ("key.pem", encrypted, "one with a passphrase"),
        ("key.pem", &key[..key.len() - 40], "broken or cut off"),
    ];
    for (name, text, expected) in cases {
        let original = std::fs::read(folder.join(name))?;
        replace(folder, name, text)?;
        let error = load(folder).expect_err(expected);
        assert!(error.contains(name) && error.contains(expected), "{error}");
        let secret = String::from_utf8_lossy(&key[40..60]).into_owned();
        let as_numbers = format!("{:?}", secret.as_bytes());
        assert!(!error.contains(&secret), "the error holds a part of the key");
        assert!(!error.contains(&as_numbers[1..as_numbers.len() - 1]), "in numbers");
        replace(folder, name, &original)?;
    }
    std::fs::remove_file(folder.join("chain.pem"))?;
    assert!(load(folder).expect_err("missing").contains("chain.pem: it cannot be read"));
    drop(ca);
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_pipe_that_nobody_writes_to_is_refused_at_once() -> TestResult {
    let (folder, _) = files()?;
    let pipe = folder.path().join("chain.pem");
    std::fs::remove_file(&pipe)?;
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status()?.success());
    assert!(load(folder.path()).expect_err("a pipe").contains("expected a regular file"));
    Ok(())
}

/// A good leaf, and after it the CA that issued it, which expired in 2021.
fn issued_by_an_expired_ca() -> Result<ServerIdentity, Box<dyn Error>> {
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    (ca.not_before, ca.not_after) =
        (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let ca = rcgen::CertifiedIssuer::self_signed(ca, rcgen::KeyPair::generate()?)?;
    let key = rcgen::KeyPair::generate()?;
    let leaf = rcgen::CertificateParams::new([SERVER.to_owned()])?.signed_by(&key, &ca)?;
    let chain = vec![leaf.der().clone(), ca.der().clone()];
    Ok(ServerIdentity {
        chain,
        key: rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der())?,
    })
}

#[test]
fn an_identity_that_clients_would_refuse_is_refused_before_it_is_used() -> TestResult {
    let ca = LabCa::new("Lab")?;
    let identity = |leaf: shared::Identity| ServerIdentity { chain: leaf.chain(), key: leaf.key() };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let name = ServerName::try_from(SERVER)?;
    let good = identity(ca.leaf(SERVER).also_for("127.0.0.1").issue()?);
    let leaf = good.check(&name, now)?;
    assert_eq!(leaf.names, [SERVER, "127.0.0.1"]);
    assert!(good.check(&ServerName::try_from("127.0.0.1")?, now).is_ok());
    assert!(
        good.check(&name, leaf.not_before).is_ok() && good.check(&name, leaf.not_after).is_ok()
    );
    for (identity, name, now, says) in [
        (&good, "photos.test", now, "not for photos.test: it is for bank.test, 127.0.0.1"),
        (&good, SERVER, leaf.not_before - 1, "is the clock right?"),
        (&good, SERVER, 0, "clock says 1970-01-01 00:00:00 UTC: is the clock right?"),
        (&good, SERVER, leaf.not_after + 1, "expired at"),
        (&identity(ca.leaf(SERVER).common_name_only().issue()?), SERVER, now, "not for bank.test"),
        (
            &ServerIdentity { chain: Vec::new(), key: good.key.clone_key() },
            SERVER,
            now,
            "found none",
        ),
    ] {
        let refused = identity.check(&ServerName::try_from(name)?, now).expect_err(says);
        assert!(refused.to_string().contains(says), "{refused}");
    }

    // By whom and for what it was issued.
    let other = LabCa::new("Another lab")?;
    let mut foreign = identity(ca.leaf(SERVER).issue()?);
    foreign.chain.truncate(1);
    assert!(foreign.check(&name, now).is_ok(), "alone: its issuer is a root, perhaps");
    foreign.chain.push(other.leaf(SERVER).issue()?.chain().remove(1));
    for (identity, says) in [
        (foreign, "none of them issued it"),
        (identity(ca.leaf(SERVER).for_clients().issue()?), "from no server"),
        (identity(ca.leaf(SERVER).for_clients().without_intermediate().issue()?), "from no server"),
        (identity(ca.leaf(SERVER).as_ca().issue()?), "from no server"),
        (issued_by_an_expired_ca()?, "the intermediate that issued the certificate is valid from"),
    ] {
        let refused = identity.check(&name, now).expect_err(says);
        assert!(refused.to_string().contains(says), "{refused}");
    }
    let mut swapped = identity(ca.leaf(SERVER).issue()?);
    swapped.chain.insert(1, ca.root_der());
    assert!(swapped.check(&name, now).is_ok(), "TLS 1.3 clients tolerate the order");
    assert!(identity(ca.leaf(SERVER).without_purpose().issue()?).check(&name, now).is_ok());
    assert!(identity(ca.leaf(SERVER).self_signed().issue()?).check(&name, now).is_ok());
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused() -> TestResult {
    use std::os::unix::fs::PermissionsExt;
    let (folder, _) = files()?;
    for (mode, accepted) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
        let path = folder.path().join("key.pem");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
        assert_eq!(load(folder.path()).is_ok(), accepted, "{mode:o}");
    }
    Ok(())
}

#[test]
fn a_key_of_another_certificate_is_refused_before_anybody_connects() -> TestResult {
    let (one, other) = (files()?, files()?);
    std::fs::remove_file(one.0.path().join("key.pem"))?;
    std::fs::copy(other.0.path().join("key.pem"), one.0.path().join("key.pem"))?;
    let error = server_config(load(one.0.path())?, PROTOCOL).expect_err("inconsistent");
    assert!(matches!(error, rustls::Error::InconsistentKeys(_)), "{error:?}");
    Ok(())
}

#[test]
fn the_key_log_is_a_new_file_that_only_its_owner_reads() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("keys.log");
    // Its certificates go there, too: it is killed, and cannot tidy up.
    let temporary = |name: &'static str| (name, folder.path());
    let serve = || -> Result<String, Box<dyn Error>> {
        let mut server = std::process::Command::new(env!("CARGO_BIN_EXE_lesson-2"))
            .args(["--serve", "--key-log"])
            .arg(&file)
            .envs(["TMPDIR", "TMP"].map(temporary))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let errors = server.stderr.take().ok_or("no standard error")?;
        let read = std::io::BufReader::new(errors).read_line(&mut line);
        server.kill()?;
        server.wait()?;
        read?;
        Ok(line)
    };
    std::fs::write(&file, b"as it was")?;
    let refused = serve()?;
    assert!(refused.contains("keys.log exists: name a new file"), "{refused}");
    assert_eq!(std::fs::read(&file)?, b"as it was");

    std::fs::remove_file(&file)?;
    let served = serve()?;
    assert!(served.starts_with("Writing the secrets"), "{served}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    }
    Ok(())
}

/// Out of file descriptors, `accept` fails at once, again and again, while the next client waits in the queue: without a
/// pause that is a processor's whole time and a full log.
#[cfg(unix)]
#[test]
fn a_server_without_file_descriptors_pauses_and_goes_on() -> TestResult {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    /// Also when an assertion fails.
    struct Killed(std::process::Child);
    impl Drop for Killed {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    let mut server = Killed(
        Command::new("sh")
            .args(["-c", "ulimit -n 20 && exec \"$0\" --serve", env!("CARGO_BIN_EXE_lesson-2")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?,
    );
    let server = &mut server.0;
    let printed = BufReader::new(server.stdout.take().ok_or("its output")?);
    let address = |line: &str| line.split_once(" at ")?.1.split(',').next()?.parse().ok();
    let mut addresses = printed.lines().map_while(Result::ok).filter_map(|line| address(&line));
    let address: std::net::SocketAddr = addresses.next().ok_or("its address")?;
    let (count, counted) = std::sync::mpsc::channel();
    let errors = BufReader::new(server.stderr.take().ok_or("its errors")?);
    std::thread::spawn(move || {
        let failed =
            errors.lines().map_while(Result::ok).filter(|line| line.starts_with("accept:"));
        failed.for_each(|line| drop(count.send(line)));
    });

    let connect = || std::net::TcpStream::connect(address);
    let clients = (0..30).map(|_| connect()).collect::<Result<Vec<_>, _>>()?;
    let first = counted.recv_timeout(Duration::from_secs(10))?;
    assert!(first.contains("Too many open files"), "{first}");
    std::thread::sleep(Duration::from_secs(1));
    let in_a_second = counted.try_iter().count();
    assert!((1..=40).contains(&in_a_second), "{in_a_second} errors in a second");

    // When the clients are gone, it serves the next one: here, it closes after what is no handshake.
    drop(clients);
    let mut client = connect()?;
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    std::io::Write::write_all(&mut client, b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    let ended = std::io::Read::read_to_end(&mut client, &mut answer);
    let is_reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
    assert!(ended.as_ref().err().is_none_or(is_reset), "{ended:?}");
    Ok(())
}
