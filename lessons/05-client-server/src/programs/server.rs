//! `mailbox-server`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use careful_encryption::password::Cost;
use careful_errors::ErrorChain;
use careful_tls::identity::ServerIdentity;
use careful_tls::server::Limits;
use careful_tokens::clock::Clock;
use careful_tokens::refresh::RefreshLimits;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use rustls::pki_types::ServerName;
use shared::LabCa;
use tokio::net::TcpListener;

use careful_mailbox::account::Account;
use careful_mailbox::attempts::AttemptLimits;
use careful_mailbox::client::{Client, Endpoint};
use careful_mailbox::passwords::Passwords;
use careful_mailbox::protocol::Name;
use careful_mailbox::server::{MailboxServer, ServerDeadlines};
use careful_mailbox::service::{Components, Service};
use careful_mailbox::signing_keys;
use careful_mailbox::store::{Store, StoreLimits};

use super::log::Log;

/// Less than lesson 4's: with those, ten accounts could fill the memory for tokens, and nobody
/// could log in any more.
fn refresh_limits() -> RefreshLimits {
    let day = Duration::from_secs(24 * 60 * 60);
    RefreshLimits { login: 3 * day, refreshes: 500, logins_of_one: 10, ..Default::default() }
}

/// Password hashes at once, each 19 MiB, and those that may wait.
const HASHES: (usize, usize) = (2, 32);

/// Runs the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    super::run(command(), arguments, serve)
}

fn command() -> Command {
    let number = value_parser!(u32).range(1..=1_000_000);
    Command::new("mailbox-server")
        .about("Stores sealed letters. It cannot read them.")
        .after_help(
            "Without --chain and --key it is a lab: at each start it makes a CA and a \
             certificate of its own, and writes ca.pem for the clients; at the first one it \
             registers bob, to have somebody to write to.\n\n\
             Signals: SIGINT and SIGTERM finish what was accepted, and stop. SIGHUP reads the \
             certificate, its key and the signing keys again.\n\n\
             Exit codes: 0 stopped as told, 1 failed, 2 wrong command line.",
        )
        .arg(super::data())
        .arg(super::name())
        .arg(
            Arg::new("listen")
                .long("listen")
                .value_name("ADDRESS")
                .env("MAILBOX_LISTEN")
                .default_value(super::ADDRESS)
                .value_parser(value_parser!(std::net::SocketAddr))
                .help("Where to listen; port 0 lets the system choose"),
        )
        .arg(
            Arg::new("chain")
                .long("chain")
                .value_name("FILE")
                .env("MAILBOX_CHAIN")
                .requires("key")
                .value_parser(value_parser!(PathBuf))
                .help("The certificate chain, leaf first, in PEM"),
        )
        .arg(
            Arg::new("key")
                .long("key")
                .value_name("FILE")
                .env("MAILBOX_KEY")
                .requires("chain")
                .value_parser(value_parser!(PathBuf))
                .help("The leaf's private key, in PEM, readable for its owner alone"),
        )
        .arg(
            Arg::new("operator")
                .long("operator")
                .value_name("NAME")
                .env("MAILBOX_OPERATORS")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .value_parser(|name: &str| Name::new(name))
                .help(
                    "An account that may ask for the status; may come more than once. Register \
                     it first",
                ),
        )
        .arg(
            Arg::new("connections")
                .long("connections")
                .value_name("NUMBER")
                .env("MAILBOX_CONNECTIONS")
                .default_value("1024")
                .value_parser(number)
                .help("Connections at once"),
        )
        .arg(
            Arg::new("per-address")
                .long("per-address")
                .value_name("NUMBER")
                .env("MAILBOX_PER_ADDRESS")
                .default_value("64")
                .value_parser(number)
                .help("Connections at once from one address"),
        )
        .arg(
            Arg::new("reload-every")
                .long("reload-every")
                .value_name("SECONDS")
                .env("MAILBOX_RELOAD_EVERY")
                .default_value("300")
                .value_parser(value_parser!(u64))
                .help("How often the certificate and the keys are read again, as after SIGHUP; 0 means never"),
        )
        .arg(
            Arg::new("log")
                .long("log")
                .value_name("FORM")
                .env("MAILBOX_LOG")
                .default_value("text")
                .value_parser(["text", "json", "off"])
                .help("The log on standard error"),
        )
        .arg(
            Arg::new("new-signing-key").long("new-signing-key").action(ArgAction::SetTrue).help(
                "Add a key for tokens to the file, and end; a running server takes it by SIGHUP",
            ),
        )
}

/// What is read again while the server runs.
struct Files {
    chain: PathBuf,
    key: PathBuf,
    signing: PathBuf,
}

impl Files {
    fn identity(&self) -> anyhow::Result<ServerIdentity> {
        Ok(ServerIdentity::from_pem_files(&self.chain, &self.key)?)
    }

    // ANCHOR: reload
    fn reload(&self, server: &MailboxServer) -> anyhow::Result<()> {
        // Both are read before either is replaced.
        let (identity, keys) = (self.identity()?, signing_keys::load(&self.signing)?);
        server.replace_identity(identity).context("the new certificate")?;
        server.replace_keys(keys).context("the new signing keys")
    }
    // ANCHOR_END: reload
}

async fn serve(matches: ArgMatches) -> anyhow::Result<()> {
    let data = super::path(&matches, "data").unwrap_or_default();
    careful_files::create_folder(&data)
        .with_context(|| format!("cannot use the folder {}", data.display()))?;
    let signing = data.join("signing-keys.json");
    if matches.get_flag("new-signing-key") {
        let keys = signing_keys::rotate(&signing)?;
        let newest = keys.last().map(|key| key.id().to_string()).unwrap_or_default();
        say(&format!("The key {newest} signs after the next reload.\n"));
        return Ok(());
    }
    // First of all: a signal that comes before its handler ends the process.
    let signals = Signals::new().context("cannot wait for signals")?;
    let log = Log::to_stderr(super::text(&matches, "log"));
    let name = super::text(&matches, "name").to_owned();
    let lab = matches.get_one::<PathBuf>("chain").is_none();
    let or =
        |given: &str, ours: &str| super::path(&matches, given).unwrap_or_else(|| data.join(ours));
    let files = Files { chain: or("chain", "chain.pem"), key: or("key", "key.pem"), signing };

    let clock = Clock::system();
    let database = data.join("mailbox.redb");
    let store = Store::open(&database, StoreLimits::default(), clock.clone())
        .with_context(|| format!("cannot use {}", database.display()))?;
    let operators = matches.get_many::<Name>("operator").unwrap_or_default();
    let components = Components {
        name: name.clone(),
        store: store.clone(),
        passwords: Passwords::new(Cost::LEAST, HASHES.0, HASHES.1)?,
        attempts: AttemptLimits::default(),
        refresh: refresh_limits(),
        operators: operators.cloned().collect::<BTreeSet<_>>(),
        clock,
    };
    let keys = signing_keys::load_or_make(&files.signing)?;
    let service = Arc::new(Service::new(components, keys)?);
    let address = matches.get_one::<std::net::SocketAddr>("listen").copied();
    let address = address.context("an address to listen on")?;
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
    if lab {
        // After the database and the port are ours: a second server must not replace the first
        // one's.
        make_certificates(&data, &name)?;
    }
    let many = |name| matches.get_one::<u32>(name).map_or(64, |&number| number as usize);
    let connections = Limits { connections: many("connections"), per_address: many("per-address") };
    let server = MailboxServer::start(
        listener,
        files.identity()?,
        service.clone(),
        connections,
        ServerDeadlines::default(),
    )?;
    let address = server.address();
    if lab {
        say(&format!(
            "A lab: {} has a CA, certificates and a database, for their owner alone.\n",
            data.display()
        ));
        register_bob(&data, &name, address).await?;
    }
    for operator in matches.get_many::<Name>("operator").unwrap_or_default() {
        if store.account(operator.clone()).await?.is_none() {
            say(&format!(
                "{operator} has no account yet: whoever registers that name is an operator\n"
            ));
        }
    }
    say(&format!("{name} listens on {address}\n"));
    let every = matches.get_one::<u64>("reload-every").copied().unwrap_or(0);
    let dropped = log.as_ref().map(Log::dropped);
    let dropped = move || dropped.as_ref().map_or(0, |dropped| dropped());
    let housekeeping = tokio::spawn(housekeeping(store.clone(), service.clone(), dropped));
    until_stopped(signals, &server, &files, Duration::from_secs(every)).await;
    housekeeping.abort();
    let drained = server.shut_down().await?;
    tokio::task::spawn_blocking(move || store.close()).await?;
    say(&format!("Stopped; {} connections had to be cut.\n", drained.cut));
    Ok(())
}

/// The signals that the server heeds.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one: whether it says to stop, and not to reload.
    async fn next(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => true,
            _ = self.terminate.recv() => true,
            _ = self.hangup.recv() => false,
        }
    }
}

/// Ctrl-C is the one that there is everywhere.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> bool {
        tokio::signal::ctrl_c().await.is_ok()
    }
}

/// Serves until a signal says to stop; reloads when one says so, or it is time.
async fn until_stopped(
    mut signals: Signals,
    server: &MailboxServer,
    files: &Files,
    every: Duration,
) {
    loop {
        tokio::select! {
            biased;
            stop = signals.next() => if stop { return },
            () = wait(every) => {}
        }
        reload(server, files);
    }
}

/// Every minute: what has expired goes, even when nobody writes, and the log says what is not in it.
async fn housekeeping(store: Store, service: Arc<Service>, dropped: impl Fn() -> usize) {
    let mut minute = tokio::time::interval(Duration::from_secs(60));
    let (mut said_dropped, mut said_left_out) = (0, 0);
    loop {
        minute.tick().await;
        if let Err(error) = store.forget_expired().await {
            tracing::error!(error = %ErrorChain(&error), "what has expired is still there");
        }
        let lines = dropped();
        if lines > said_dropped {
            tracing::error!(lines = lines - said_dropped, "could not be logged");
            said_dropped = lines;
        }
        let lines = service.strangers_log().left_out() + service.accounts_log().left_out();
        if lines > said_left_out {
            tracing::info!(lines = lines - said_left_out, "left out of the log: too many at once");
            said_left_out = lines;
        }
    }
}

async fn wait(every: Duration) {
    match every.is_zero() {
        true => std::future::pending().await,
        false => tokio::time::sleep(every).await,
    }
}

fn reload(server: &MailboxServer, files: &Files) {
    match files.reload(server) {
        Ok(()) => tracing::info!("reloaded"),
        // What was there stays: a broken file does not end a running server.
        Err(error) => {
            tracing::error!(error = %ErrorChain(error.as_ref()), "not reloaded")
        }
    }
}

/// The lab's certificates, by a CA whose key is nowhere but in memory, and gone when this returns.
fn make_certificates(data: &Path, name: &str) -> anyhow::Result<()> {
    // A key that is not the lab's own is somebody's only copy.
    if data.join("key.pem").exists() && !data.join("ca.pem").exists() {
        bail!(
            "{} is not of a lab: give --chain and --key to use it, or another --data",
            data.join("key.pem").display()
        );
    }
    let ca = LabCa::new("Mailbox Lab")?;
    let identity = ca.leaf(name).also_for("localhost").also_for("127.0.0.1").issue()?;
    careful_files::replace(&data.join("ca.pem"), ca.root_pem().as_bytes())?;
    careful_files::replace(&data.join("chain.pem"), identity.chain_pem().as_bytes())?;
    careful_files::replace(&data.join("key.pem"), identity.key_pem().as_bytes())?;
    Ok(())
}

/// Somebody to write to, through the same client as everybody's.
async fn register_bob(
    data: &Path,
    name: &str,
    address: std::net::SocketAddr,
) -> anyhow::Result<()> {
    let bob = Name::new("bob")?;
    let folder = super::client::folder(data, &bob);
    if folder.exists() {
        return Ok(());
    }
    let roots = super::client::roots(&data.join("ca.pem"))?;
    let endpoint = Endpoint::new(address, ServerName::try_from(name.to_owned())?, roots)?;
    let account = Account::create(&folder, bob, super::client::random_password()?)?;
    let mut client = Client::new(endpoint);
    account.register(&mut client).await?;
    client.close().await;
    say("bob has an account here, to have somebody to write to.\n");
    Ok(())
}

/// On standard output, if somebody reads it: the server runs all the same.
fn say(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
