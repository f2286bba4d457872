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
use careful_tokens::keys::SigningKey;
use careful_tokens::refresh::RefreshLimits;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use tokio::net::TcpListener;

use careful_mailbox::account::Account;
use careful_mailbox::attempts::AttemptLimits;
use careful_mailbox::client::{Client, Endpoint};
use careful_mailbox::passwords::{PasswordLimits, Passwords};
use careful_mailbox::protocol::Name;
use careful_mailbox::server::{MailboxServer, ServerDeadlines};
use careful_mailbox::service::{Components, Service};
use careful_mailbox::signing_keys;
use careful_mailbox::store::{OPENING, Store, StoreLimits, check};

use super::lab;
use super::log::Log;

/// Less than lesson 4's: with those, ten accounts could fill the memory for tokens, and nobody
/// could log in any more.
fn refresh_limits() -> RefreshLimits {
    let day = Duration::from_secs(24 * 60 * 60);
    RefreshLimits { login: 3 * day, refreshes: 500, logins_of_one: 10, ..Default::default() }
}

/// Runs the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // What redb says of a damaged file is an error of this program, and no panic.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some(OPENING) {
            report(panic);
        }
    }));
    super::run(command(), arguments, serve)
}

/// Its command line.
pub fn command() -> Command {
    let number = value_parser!(u32).range(1..=1_000_000);
    Command::new("mailbox-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Stores sealed letters. It cannot read them.")
        .after_help(
            "Without --chain and --key it is a lab: it makes a CA of its own, and at each start a \
             certificate, and writes ca.pem for the clients; at the first one it registers bob, to have \
             somebody to write to.\n\n\
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
                .help("Connections at once; a quarter of them is kept for those who have logged in"),
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
        .arg(
            Arg::new("new-certificate")
                .long("new-certificate")
                .action(ArgAction::SetTrue)
                .conflicts_with("chain")
                .help("Issue another certificate by the lab's CA, and end; taken by SIGHUP, too"),
        )
        .arg(Arg::new("check").long("check").action(ArgAction::SetTrue).help(
            "Check the database, which no server may have open, and end: every page, letter and count",
        ))
}

/// What is read again while the server runs.
#[derive(Clone)]
struct Files {
    chain: PathBuf,
    key: PathBuf,
    signing: PathBuf,
}

impl Files {
    fn identity(&self) -> anyhow::Result<ServerIdentity> {
        Ok(ServerIdentity::from_pem_files(&self.chain, &self.key)?)
    }

    fn keys(&self) -> anyhow::Result<Vec<SigningKey>> {
        let keys = signing_keys::load(&self.signing);
        keys.with_context(|| format!("cannot use {}", self.signing.display()))
    }
}

async fn serve(matches: ArgMatches) -> anyhow::Result<()> {
    let data = super::path(&matches, "data").unwrap_or_default();
    careful_files::create_folder(&data)
        .with_context(|| format!("cannot use the folder {}", data.display()))?;
    let name = super::text(&matches, "name").to_owned();
    let database = data.join("mailbox.redb");
    let cannot_use = || format!("cannot use {}", database.display());
    let signing = data.join("signing-keys.json");
    if matches.get_flag("new-signing-key") {
        return new_signing_key(&signing);
    }
    if matches.get_flag("new-certificate") {
        if !data.join("ca.pem").exists() {
            bail!(
                "there is no lab in {}: mailbox-server makes it at its first start",
                data.display()
            );
        }
        let leaf = lab::new_certificate(&data, &name)?;
        say(&format!(
            "The certificate {}, for {name}, is valid until {}. A server of that name uses it from its next \
             reload on.\n",
            leaf.serial,
            leaf.not_after_text()
        ));
        return Ok(());
    }
    if matches.get_flag("check") {
        if !database.exists() {
            bail!("there is no database in {}", data.display());
        }
        let checked = check(&database).with_context(cannot_use)?;
        say(&checked.to_string());
        match checked.faults.len() {
            0 => say("The database is whole.\n"),
            faults => bail!("{faults} faults in {}: restore it from a copy", database.display()),
        }
        return Ok(());
    }
    // First of all: a signal that comes before its handler ends the process.
    let signals = Signals::new().context("cannot wait for signals")?;
    let log = Log::to_stderr(super::text(&matches, "log"));
    let lab = matches.get_one::<PathBuf>("chain").is_none();
    let or =
        |given: &str, ours: &str| super::path(&matches, given).unwrap_or_else(|| data.join(ours));
    let files = Files { chain: or("chain", "chain.pem"), key: or("key", "key.pem"), signing };

    let clock = Clock::system();
    let store = Store::open(&database, StoreLimits::default(), clock.clone());
    let store = store.with_context(cannot_use)?;
    let operators = matches.get_many::<Name>("operator").unwrap_or_default();
    let operators = operators.cloned().collect::<BTreeSet<_>>();
    for operator in &operators {
        if store.account(operator.clone()).await?.is_none() {
            bail!(
                "the operator {operator} has no account, and anybody could register that name: start \
                 without --operator, register {operator}, and start again"
            );
        }
    }
    let lost = log.as_ref().map(Log::dropped);
    let lost = Arc::new(move || lost.as_ref().map_or(0, |lost| lost() as u64));
    let lines_lost = lost.clone();
    let components = Components {
        name: name.clone(),
        store: store.clone(),
        passwords: Passwords::new(Cost::LEAST, PasswordLimits::default())?,
        attempts: AttemptLimits::default(),
        refresh: refresh_limits(),
        operators,
        clock,
        lines_lost: Box::new(move || lines_lost()),
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
        lab::new_certificate(&data, &name)?;
    }
    let many = |name| matches.get_one::<u32>(name).map_or(64, |&number| number as usize);
    let connections = many("connections");
    let limits =
        Limits { connections, per_address: many("per-address"), reserved: connections / 4 };
    let deadlines = ServerDeadlines::default();
    let identity = files.identity()?;
    let server = MailboxServer::start(listener, identity, service.clone(), limits, deadlines)?;
    let address = server.address();
    if lab {
        say(&format!(
            "A lab: {} has a CA, certificates and a database, for their owner alone.\n",
            data.display()
        ));
        register_bob(&data, &name, address).await?;
    }
    say(&format!("Its process id is {}.\n{name} listens on {address}\n", std::process::id()));
    let every = matches.get_one::<u64>("reload-every").copied().unwrap_or(0);
    let watched = lost.clone();
    let housekeeping =
        tokio::spawn(housekeeping(store.clone(), service.clone(), move || watched()));
    let read = move || (files.identity(), files.keys());
    until_stopped(signals, &server, read, Duration::from_secs(every)).await;
    housekeeping.abort();
    let drained = server.shut_down().await?;
    tokio::task::spawn_blocking(move || store.close()).await?;
    let lost = match lost() {
        0 => String::new(),
        lines => format!("; {lines} lines could not be logged"),
    };
    say(&format!("Stopped; {} connections had to be cut{lost}.\n", drained.cut));
    Ok(())
}

fn new_signing_key(file: &Path) -> anyhow::Result<()> {
    let rotated = signing_keys::rotate(file);
    let rotated = rotated.with_context(|| format!("cannot use {}", file.display()))?;
    let newest = rotated.keys.last().map(|key| key.id().to_string()).unwrap_or_default();
    say(&format!("The key {newest} signs after the next reload.\n"));
    if !rotated.synced {
        say(
            "The file is written, but its folder could not be synced: after a power loss the one before it may be \
             there. Do not add a key again for that.\n",
        );
    }
    Ok(())
}

/// The signals that the server heeds.
#[cfg(unix)]
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Heeds them from now on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> std::io::Result<Self> {
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

/// The signals that the server heeds: Ctrl-C is the one that there is everywhere.
#[cfg(not(unix))]
pub struct Signals;

#[cfg(not(unix))]
impl Signals {
    /// Heeds them from now on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> bool {
        tokio::signal::ctrl_c().await.is_ok()
    }
}

/// Serves until a signal says to stop; reloads when one says so, or it is time. A file that can't be read
/// for a long time, on a network drive that hangs for example, keeps no signal waiting.
pub async fn until_stopped(
    mut signals: Signals,
    server: &MailboxServer,
    read_files: impl Fn() -> FilesRead + Clone + Send + 'static,
    every: Duration,
) {
    let (mut reading, mut once_more) = (None, false);
    loop {
        let asked = tokio::select! {
            biased;
            stop = signals.next() => match stop {
                true => return,
                false => true,
            },
            read = read(&mut reading) => {
                reload(server, read);
                std::mem::take(&mut once_more)
            }
            () = wait(every) => true,
        };
        // One at a time: on a drive that hangs, each would keep a thread. What has changed meanwhile is read after it.
        if asked && reading.is_some() {
            tracing::warn!(
                "the certificate or the keys are still being read: once more after that"
            );
            once_more = true;
        } else if asked {
            reading = Some(tokio::task::spawn_blocking(read_files.clone()));
        }
    }
}

/// A certificate and signing keys, or why they were not read.
pub type FilesRead = (anyhow::Result<ServerIdentity>, anyhow::Result<Vec<SigningKey>>);

/// What was read, once.
async fn read(reading: &mut Option<tokio::task::JoinHandle<FilesRead>>) -> FilesRead {
    let Some(handle) = reading else { return std::future::pending().await };
    let read = handle.await;
    *reading = None;
    read.unwrap_or_else(|_panicked| {
        (Err(anyhow::anyhow!("not read")), Err(anyhow::anyhow!("not read")))
    })
}

// ANCHOR: reload
/// The certificate and the signing keys, each for itself: a fault of one doesn't keep the other from being
/// replaced, and neither is replaced by half.
fn reload(server: &MailboxServer, (identity, keys): FilesRead) {
    let identity = identity.and_then(|identity| Ok(server.replace_identity(identity)?));
    match identity {
        Ok(Some(leaf)) => {
            let (serial, expires) = (&leaf.serial, leaf.not_after_text());
            tracing::info!(serial, expires, "another certificate");
        }
        Ok(None) => tracing::debug!("the same certificate"),
        // What was there stays: a broken file does not end a running server.
        Err(error) => {
            tracing::error!(error = %ErrorChain(error.as_ref()), "the certificate was not replaced");
        }
    }
    match keys.and_then(|keys| Ok(server.replace_keys(keys)?)) {
        Ok(true) => tracing::info!("other signing keys"),
        Ok(false) => tracing::debug!("the same signing keys"),
        Err(error) => {
            tracing::error!(error = %ErrorChain(error.as_ref()), "the signing keys were not replaced");
        }
    }
}
// ANCHOR_END: reload

/// Every minute: what has expired goes, even when nobody writes, and the log says what is not in it.
async fn housekeeping(store: Store, service: Arc<Service>, dropped: impl Fn() -> u64) {
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
        let lines = service.lines_left_out();
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

/// Somebody to write to, through the same client as everybody's.
async fn register_bob(
    data: &Path,
    name: &str,
    address: std::net::SocketAddr,
) -> anyhow::Result<()> {
    let bob = Name::new("bob")?;
    let folder = super::folders::folder(data, &bob);
    if folder.exists() {
        return Ok(());
    }
    let roots = super::client::roots(&data.join("ca.pem"))?;
    let endpoint = Endpoint::new(address, super::server_name(name)?, roots)?;
    let account = Account::create(&folder, bob, super::client::random_password()?)?;
    let mut client = Client::new(endpoint);
    let registered = account.register(&mut client).await;
    client.close().await;
    match registered {
        Ok(()) => say("bob has an account here, to have somebody to write to.\n"),
        // The server is of use without him.
        Err(error) => {
            account.discard();
            say(&format!(
                "bob could not be registered, so nobody is here to write to: {}. Perhaps he is in the database, and his \
                 folder is elsewhere.\n",
                ErrorChain(&error)
            ));
        }
    }
    Ok(())
}

/// On standard output, if somebody reads it: the server runs all the same.
fn say(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
