//! Foreign peers: OpenSSL with frames by hand, and a Python client that was written from the book's
//! page on the protocol.

use std::error::Error;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use careful_mailbox::account::Account;
use careful_mailbox::client::Client;
use careful_mailbox::protocol::{Name, Secret};
use mailbox::lab::child::ServerProcess;
use peers::{Finished, ForeignServer, Peer};
use tempfile::TempDir;

type TestResult = Result<(), Box<dyn Error>>;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/");

/// The real server, as a process.
struct Mailbox {
    folder: TempDir,
    server: ServerProcess,
}

impl Mailbox {
    fn start() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let command = Command::new(env!("CARGO_BIN_EXE_mailbox-server"));
        let data = folder.path().join("data");
        let server = ServerProcess::start_command(command, &data, &[])?;
        Ok(Self { folder, server })
    }

    fn ca(&self) -> String {
        self.folder.path().join("data/ca.pem").display().to_string()
    }

    /// The Rust client, as a process.
    fn rust(&self, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
        self.rust_reading(arguments, "")
    }

    /// The same with a text on its standard input.
    fn rust_reading(&self, arguments: &[&str], text: &str) -> Result<String, Box<dyn Error>> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mailbox"))
            .arg("--data")
            .arg(self.folder.path().join("data"))
            .args(["--server", &self.server.address().to_string()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut input = child.stdin.take().ok_or("its standard input")?;
        // It may end without reading.
        let _ = input.write_all(text.as_bytes());
        drop(input);
        let output = child.wait_with_output()?;
        let said = String::from_utf8(output.stdout)?;
        match output.status.success() {
            true => Ok(said),
            false => Err(String::from_utf8(output.stderr)?.into()),
        }
    }

    fn python(&self, python: &Peer, arguments: &[&str]) -> Finished {
        self.python_reading(python, arguments, "")
    }

    fn python_reading(&self, python: &Peer, arguments: &[&str], text: &str) -> Finished {
        let script = format!("{FOLDER}mailbox.py");
        let (ca, address) = (self.ca(), self.server.address().to_string());
        let home = self.folder.path().join("python").display().to_string();
        let mut all = vec![script.as_str(), "--ca", &ca, "--server", &address];
        all.extend(["--name", "mailbox.test", "--home", &home]);
        all.extend(arguments);
        python.run_with_input(all, text)
    }
}

fn python() -> Option<Peer> {
    Peer::python("ssl, cryptography")
}

#[test]
fn the_python_clients_seals_are_those_of_the_standard() {
    let Some(python) = python() else { return };
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/take-home/tests/vectors.json");
    let ran = python.run([&format!("{FOLDER}mailbox.py"), "self-test", vectors]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert!(ran.said.contains("letters and fingerprints are as in"), "{}", ran.said);
}

#[test]
fn letters_go_between_rust_and_python() -> TestResult {
    let Some(python) = python() else { return Ok(()) };
    let mailbox = Mailbox::start()?;
    let ran = mailbox.python(&python, &["register", "paula"]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    mailbox.rust(&["register", "rosa"])?;

    // Each sees the other's fingerprint as its owner does.
    let own = ran.said.trim().to_owned();
    assert_eq!(mailbox.rust(&["fingerprint", "paula"])?.trim(), own);
    let rosas = mailbox.rust(&["fingerprint", "rosa"])?;
    let seen = mailbox.python(&python, &["fingerprint", "paula", "rosa"]);
    assert_eq!(seen.said.trim(), rosas.trim());

    for text in ["one", "two, with ä and \"quotes\""] {
        mailbox.rust_reading(&["send", "paula", "-"], text)?;
        let sent = mailbox.python_reading(&python, &["send", "paula", "rosa"], text);
        assert_eq!((sent.code, sent.said.trim()), (Some(0), "stored"), "{}", sent.said);
    }
    let read = mailbox.python(&python, &["read", "paula"]);
    assert_eq!(
        read.said,
        "letter 1 from rosa: one\nletter 2 from rosa: two, with ä and \"quotes\"\n"
    );
    assert_eq!(
        mailbox.rust(&["--as", "rosa", "read"])?,
        "rosa: letter 1 from paula: one\nrosa: letter 2 from paula: two, with ä and \"quotes\"\n"
    );
    assert_eq!(mailbox.python(&python, &["read", "paula"]).said, "nothing new\n");

    // Another key is refused, and trusted when it was compared.
    mailbox.rust(&["--as", "rosa", "new-key"])?;
    let refused = mailbox.python_reading(&python, &["send", "paula", "rosa"], "three");
    assert_eq!(refused.code, Some(1), "{}", refused.said);
    assert!(refused.said.contains("the key of rosa changed from "), "{}", refused.said);
    let words = "0000 0000 0000 0000 0000 0000 0000 0000".split(' ');
    let guessed: Vec<&str> = ["trust", "paula", "rosa"].into_iter().chain(words).collect();
    let guessed = mailbox.python(&python, &guessed);
    assert!(guessed.said.contains("another key for rosa"), "{}", guessed.said);
    let rosas = mailbox.rust(&["--as", "rosa", "fingerprint", "rosa"])?;
    let print = rosas.trim().strip_prefix("rosa: ").ok_or("a fingerprint")?;
    let trust: Vec<&str> = ["trust", "paula", "rosa"].into_iter().chain(print.split(' ')).collect();
    assert_eq!(mailbox.python(&python, &trust).code, Some(0));
    let sent = mailbox.python_reading(&python, &["send", "paula", "rosa"], "three");
    assert_eq!((sent.code, sent.said.trim()), (Some(0), "stored"), "{}", sent.said);
    let nobody = mailbox.python_reading(&python, &["send", "paula", "nobody"], "four");
    assert!(nobody.said.contains("was not sent, and this client keeps none"), "{}", nobody.said);
    Ok(())
}

#[test]
fn the_python_client_refuses_a_server_of_another_ca() -> TestResult {
    let Some(python) = python() else { return Ok(()) };
    let (one, other) = (Mailbox::start()?, Mailbox::start()?);
    let script = format!("{FOLDER}mailbox.py");
    let (ca, address) = (other.ca(), one.server.address().to_string());
    let home = one.folder.path().join("python").display().to_string();
    let ran = python.run([
        script.as_str(),
        "--ca",
        &ca,
        "--server",
        &address,
        "--name",
        "mailbox.test",
        "--home",
        &home,
        "register",
        "paula",
    ]);
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(ran.said.to_lowercase().contains("certificate"), "{}", ran.said);
    Ok(())
}

#[test]
fn openssl_speaks_in_frames() -> TestResult {
    let Some(openssl) = Peer::openssl() else { return Ok(()) };
    let mailbox = Mailbox::start()?;
    let (address, ca) = (mailbox.server.address().to_string(), mailbox.ca());
    let mut command = openssl.command([
        "s_client",
        "-connect",
        &address,
        "-servername",
        "mailbox.test",
        "-verify_hostname",
        "mailbox.test",
        "-verify_return_error",
        "-CAfile",
        &ca,
        "-alpn",
        "mailbox/1",
        "-tls1_3",
        "-quiet",
        "-no_ign_eof",
    ]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().ok_or("input")?;
    let mut output = child.stdout.take().ok_or("output")?;
    let request = br#"{"do":"ping"}"#;
    input.write_all(&[&(request.len() as u32).to_be_bytes(), &request[..]].concat())?;
    input.flush()?;
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut length = [0; 4];
        let read = output.read_exact(&mut length).and_then(|()| {
            let mut answer = vec![0; u32::from_be_bytes(length).min(1000) as usize];
            output.read_exact(&mut answer).map(|()| answer)
        });
        let _ = tell.send(read);
    });
    let answer = told.recv_timeout(Duration::from_secs(20))?;
    child.kill()?;
    child.wait()?;
    assert_eq!(String::from_utf8(answer?)?, r#"{"is":"pong"}"#);
    Ok(())
}

/// What the chapter says of it: while it waits for one client's handshake, it accepts nobody; and a
/// handshake that fails ends it.
#[test]
fn a_client_that_says_nothing_stops_the_usual_server_and_ends_it() -> TestResult {
    let Some(python) = Peer::python("ssl") else { return Ok(()) };
    let (ca, folder, server) = usual_server(&python)?;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], server.port));
    let runtime = tokio::runtime::Runtime::new()?;
    let config = careful_tls::config::client_config(ca.roots(), b"any")?;
    let connect = |deadlines| {
        let (config, name) = (config.clone(), rustls::pki_types::ServerName::try_from(LAB));
        async move {
            let tcp = tokio::net::TcpStream::connect(address).await?;
            let connector = tokio_rustls::TlsConnector::from(config);
            let handshake = connector.connect(name.map_err(std::io::Error::other)?, tcp);
            match tokio::time::timeout(deadlines, handshake).await {
                Ok(done) => done.map(|_stream| true),
                Err(_elapsed) => Ok(false),
            }
        }
    };
    runtime.block_on(async {
        assert!(connect(Duration::from_secs(10)).await?, "it answers");
        let silent = tokio::net::TcpStream::connect(address).await?;
        assert!(!connect(Duration::from_millis(300)).await?, "and then it does not");
        drop(silent);
        let gone = async {
            while tokio::net::TcpStream::connect(address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await?;
        Ok::<_, Box<dyn Error>>(())
    })?;
    drop(folder);
    Ok(())
}

const LAB: &str = "mailbox.test";

fn usual_server(python: &Peer) -> Result<(shared::LabCa, TempDir, ForeignServer), Box<dyn Error>> {
    let ca = shared::LabCa::new("Lab")?;
    let folder = tempfile::tempdir()?;
    ca.leaf(LAB).issue()?.write_to(folder.path())?;
    let file = |name: &str| folder.path().join(name).display().to_string();
    let script = format!("{FOLDER}threaded_server.py");
    let server = python.serve([script, file("chain.pem"), file("key.pem")]);
    Ok((ca, folder, server))
}

#[test]
fn the_usual_server_runs() -> TestResult {
    let Some(python) = Peer::python("ssl") else { return Ok(()) };
    let (ca, folder, server) = usual_server(&python)?;
    let runtime = tokio::runtime::Runtime::new()?;
    // It answers a frame with itself, whatever it is, and knows no protocol: the mailbox's client
    // goes away before it says anything.
    let refused = runtime.block_on(async {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], server.port));
        let endpoint = mailbox::lab::stage::endpoint(&ca, address)?;
        let account = folder.path().join("account");
        let account = Account::create(&account, Name::new("alice")?, Secret::new("x"))?;
        let mut client = Client::new(endpoint);
        Ok::<_, Box<dyn Error>>(account.register(&mut client).await)
    })?;
    let error = refused.err().ok_or("refused")?;
    let said = careful_errors::ErrorChain(&error).to_string();
    assert!(said.contains("another service"), "{said}");
    Ok(())
}
