//! `lesson-2 --serve`: the take-home server, up until Ctrl-C, to be looked at with other tools.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use careful_errors::ErrorChain;
use careful_tls::config::server_config;
use careful_tls::identity::ServerIdentity;
use careful_tls::server::{Deadlines, Event, Limits, TlsServer};
use shared::LabCa;
use shared::lesson::{ServeOptions, python, serve_until_stopped};
use tls_sockets::lab::SERVER;
use tls_sockets::lab::echo::{EchoDeadlines, PROTOCOL, echo};
use tokio::net::TcpListener;

/// Somebody types at the other end.
const PATIENCE: Duration = Duration::from_secs(300);

pub async fn run(options: ServeOptions) -> anyhow::Result<()> {
    let ca = LabCa::new("Course Lab")?;
    let files = tempfile::tempdir().context("no folder for the certificates")?;
    ca.leaf(SERVER).also_for("localhost").also_for("127.0.0.1").issue()?.write_to(files.path())?;
    let root = files.path().join("ca.pem");
    std::fs::write(&root, ca.root_pem())?;
    let (chain, key) = (files.path().join("chain.pem"), files.path().join("key.pem"));
    let mut config = server_config(ServerIdentity::from_pem_files(&chain, &key)?, PROTOCOL)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await;
    let listener = listener.with_context(|| format!("cannot listen on port {}", options.port))?;
    // Last, so that no other failure leaves an empty file behind.
    if let Some(file) = &options.key_log {
        write_secrets(&mut config, file)?;
    }
    let report = |event| {
        // A closed standard error is no reason to stop serving.
        let _ = match event {
            Event::Refused(peer, why) => {
                writeln!(std::io::stderr(), "{peer}: {}", ErrorChain(&why))
            }
            Event::AcceptFailed(error) => writeln!(std::io::stderr(), "accept: {error}"),
        };
    };
    let server = TlsServer::start(
        listener,
        config,
        Limits::default(),
        Deadlines::default(),
        report,
        |connection| echo(connection, EchoDeadlines { line: PATIENCE, ..EchoDeadlines::default() }),
    )?;

    let (address, ca) = (server.address(), root.display());
    let python = python(env!("CARGO_MANIFEST_DIR"), "secure_socket.py");
    let lines = [
        format!(
            "openssl s_client -connect {address} -servername {SERVER} -verify_hostname {SERVER} \
             -verify_return_error -alpn course-echo/1 -CAfile \"{ca}\""
        ),
        format!("{python} connect {} --name {SERVER} --ca \"{ca}\"", address.port()),
    ];
    let about = format!(
        "An echo server for {SERVER} at {address}, with its certificates in {}",
        files.path().display()
    );
    serve_until_stopped(&about, &lines).await.context("cannot wait for Ctrl-C")?;
    let drained = server.shut_down().await?;
    let _ = writeln!(std::io::stdout(), "\nStopped; {} connections had to be cut.", drained.cut);
    Ok(())
}

// ANCHOR: key_log
/// A reader of this file can read every connection in it. So it must be a new file: one that is there would keep its
/// rights, by which others may read it.
fn write_secrets(config: &mut Arc<rustls::ServerConfig>, path: &Path) -> anyhow::Result<()> {
    let file = match careful_files::create_private(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("--key-log: {} exists: name a new file", path.display())
        }
        Err(error) => {
            let what = format!("--key-log: cannot write to {}", path.display());
            return Err(error).context(what);
        }
    };
    let config = Arc::get_mut(config).context("the configuration is in use")?;
    config.key_log = Arc::new(SecretsToFile(Mutex::new(file)));
    let path = path.display();
    let _ = writeln!(std::io::stderr(), "Writing the secrets of every connection to {path}.");
    Ok(())
}

/// In the form that Wireshark reads: a label, the client's random and the secret, in hexadecimal. (rustls has a
/// `KeyLogFile` of its own. It takes the name from the variable SSLKEYLOGFILE, which cargo's HTTP library honors, too.)
struct SecretsToFile(Mutex<File>);

impl rustls::KeyLog for SecretsToFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk is no reason to end a connection.
        let _ = file.write_all(line.as_bytes());
    }
}

impl fmt::Debug for SecretsToFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretsToFile")
    }
}
// ANCHOR_END: key_log
