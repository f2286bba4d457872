//! `lesson-2 --serve`: the take-home server, up until Ctrl-C, to be looked at with other tools.

use std::io::{ErrorKind, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use careful_errors::ErrorChain;
use careful_tls::config::server_config;
use careful_tls::identity::ServerIdentity;
use careful_tls::server::{Deadlines, Event, Limits, TlsServer};
use shared::LabCa;
use shared::lesson::ServeOptions;
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
    if options.key_log {
        write_secrets(&mut config)?;
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
    let about = format!(
        "An echo server for {SERVER} at {address}, until Ctrl-C.\n\
         Its certificates are in {}.\n\
         Look at it with:\n  \
         openssl s_client -connect {address} -servername {SERVER} -verify_hostname {SERVER} \\\n    \
         -verify_return_error -alpn course-echo/1 -CAfile {ca}\n",
        files.path().display()
    );
    // Nobody may be reading; the server is up all the same.
    let _ = std::io::stdout().write_all(about.as_bytes());
    until_stopped().await.context("cannot wait for Ctrl-C")?;
    let drained = server.shut_down().await?;
    let _ = writeln!(
        std::io::stdout(),
        "
Stopped; {} connections had to be cut.",
        drained.cut
    );
    Ok(())
}

/// Ctrl-C, or SIGTERM, which a service manager sends.
#[cfg(unix)]
async fn until_stopped() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn until_stopped() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

// ANCHOR: key_log
/// Two deliberate acts, a flag and a variable: who has this file reads every connection.
fn write_secrets(config: &mut Arc<rustls::ServerConfig>) -> anyhow::Result<()> {
    let file = std::env::var_os("SSLKEYLOGFILE").filter(|name| !name.is_empty());
    let Some(file) = file else {
        bail!("--key-log: expected the name of a file in SSLKEYLOGFILE, found none");
    };
    // A file that is there keeps its rights, by which others may read it.
    match careful_files::create_private(Path::new(&file)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("--key-log: {} exists: name a new file", file.display())
        }
        Err(error) => {
            let what = format!("--key-log: cannot write to {}", file.display());
            return Err(error).context(what);
        }
    }
    let config = Arc::get_mut(config).context("the configuration is in use")?;
    #[expect(clippy::disallowed_methods, reason = "asked for by a flag, and shown to be dangerous")]
    let key_log = rustls::KeyLogFile::new();
    config.key_log = Arc::new(key_log);
    let _ = writeln!(
        std::io::stderr(),
        "Writing the secrets of every connection to {}.",
        file.display()
    );
    Ok(())
}
// ANCHOR_END: key_log
