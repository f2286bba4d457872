//! `mailbox`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use careful_certificates::roots::Roots;
use careful_errors::ErrorChain;
use careful_files::if_there;
use clap::{Arg, ArgMatches, Command, value_parser};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;

use careful_mailbox::account::{Account, AccountError};
use careful_mailbox::client::{Client, ClientError, Endpoint};
use careful_mailbox::passwords::{self, PasswordError};
use careful_mailbox::protocol::{Name, Refusal, Request, Response, Secret};

/// The largest file with a name in it, in bytes.
const MAX_NAME: u64 = 64;

/// Runs the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    super::run(command(), arguments, async |matches| {
        let out = work(&matches).await;
        // What was done before it failed is said, too.
        let (text, result) = match out {
            Ok(text) => (text, Ok(())),
            Err((text, error)) => (text, Err(error)),
        };
        say(text)?;
        result
    })
}

fn say(text: String) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}

fn command() -> Command {
    let name = || {
        Arg::new("who").value_name("NAME").required(true).value_parser(|name: &str| Name::new(name))
    };
    Command::new("mailbox")
        .about("Sends and reads sealed letters.")
        .after_help(
            "The first words, with `mailbox-server` running in another terminal:\n  \
             mailbox register alice\n  mailbox send bob \"lunch at one?\"\n  mailbox read\n\n\
             Accounts are kept in FOLDER/clients. The last one that was registered sends, or that \
             of --as; read reads all of them.\n\n\
             Exit codes: 0 done, 1 failed, 2 wrong command line.",
        )
        .arg(super::data())
        .arg(super::name())
        .arg(
            Arg::new("server")
                .long("server")
                .value_name("ADDRESS")
                .env("MAILBOX_SERVER")
                .default_value(super::ADDRESS)
                .value_parser(value_parser!(SocketAddr))
                .help("Where the server listens"),
        )
        .arg(
            Arg::new("ca")
                .long("ca")
                .value_name("FILE")
                .env("MAILBOX_CA")
                .value_parser(value_parser!(PathBuf))
                .help("The CAs to trust, in PEM [default: FOLDER/ca.pem]"),
        )
        .arg(
            Arg::new("as")
                .long("as")
                .value_name("NAME")
                .env("MAILBOX_AS")
                .value_parser(|name: &str| Name::new(name))
                .help("The account to use"),
        )
        .subcommand_required(true)
        .subcommand(
            Command::new("register")
                .about("Make an account; the password is MAILBOX_PASSWORD, or random")
                .arg(name()),
        )
        .subcommand(
            Command::new("send").about("Seal a letter and send it").arg(name()).arg(
                Arg::new("text")
                    .value_name("TEXT")
                    .required(true)
                    .num_args(1..)
                    .help("In quotes; several words are one text, too"),
            ),
        )
        .subcommand(Command::new("read").about("Read what has come"))
        .subcommand(
            Command::new("fingerprint")
                .about("Show the fingerprint of a key, to be compared with its owner")
                .arg(name()),
        )
        .subcommand(
            Command::new("trust")
                .about("Trust a changed key, after you have compared it with its owner")
                .arg(name())
                .arg(
                    Arg::new("fingerprint")
                        .value_name("FINGERPRINT")
                        .required(true)
                        .num_args(1..)
                        .help("As its owner says it"),
                ),
        )
        .subcommand(Command::new("status").about("Show the server's counters (operators)"))
        .subcommand(Command::new("ping").about("Ask whether the server is there"))
}

async fn work(matches: &ArgMatches) -> Result<String, (String, anyhow::Error)> {
    let mut out = String::new();
    match carry_out(matches, &mut out).await {
        Ok(()) => Ok(out),
        Err(error) => Err((out, error)),
    }
}

async fn carry_out(matches: &ArgMatches, out: &mut String) -> anyhow::Result<()> {
    let data = super::path(matches, "data").unwrap_or_default();
    let ca = super::path(matches, "ca").unwrap_or_else(|| data.join("ca.pem"));
    let name = super::text(matches, "name").to_owned();
    let name = ServerName::try_from(name).context("expected the name of a server")?;
    let address = matches.get_one::<SocketAddr>("server").copied();
    let address = address.context("an address")?;
    let endpoint = Endpoint::new(address, name, roots(&ca)?)?;
    let _one_at_a_time = lock(&data)?;
    let (what, arguments) = matches.subcommand().context("a command")?;
    let who = || arguments.get_one::<Name>("who").cloned().context("a name");
    match what {
        "ping" => {
            let mut client = Client::new(endpoint);
            client.call(&Request::Ping {}).await?;
            out.push_str("The server is there.\n");
            client.close().await;
        }
        "register" => register(&data, endpoint, who()?, out).await?,
        "read" => read_all(&data, matches, &endpoint, out).await?,
        _ => {
            let mut account = chosen(&data, matches)?;
            let mut client = client(&endpoint, &account);
            let done = match what {
                "send" => {
                    let words = arguments.get_many::<String>("text").unwrap_or_default();
                    let text = words.cloned().collect::<Vec<_>>().join(" ");
                    send(&mut account, &mut client, &who()?, &text, out).await
                }
                "fingerprint" => fingerprint(&mut account, &mut client, &who()?, out).await,
                "trust" => {
                    let groups = arguments.get_many::<String>("fingerprint");
                    let compared = groups.unwrap_or_default().cloned();
                    let compared = compared.collect::<Vec<_>>().join(" ");
                    trust(&mut account, &mut client, &who()?, &compared, out).await
                }
                "status" => status(&mut client, out).await,
                other => bail!("expected a command, got {other}"),
            };
            client.close().await;
            done?;
        }
    }
    Ok(())
}

async fn register(
    data: &Path,
    endpoint: Endpoint,
    name: Name,
    out: &mut String,
) -> anyhow::Result<()> {
    let password = match std::env::var("MAILBOX_PASSWORD") {
        Ok(password) if !passwords::fits(&password) => {
            bail!("MAILBOX_PASSWORD: {}", PasswordError::Length)
        }
        Ok(password) => Secret::new(password),
        Err(_) => random_password()?,
    };
    let folder = folder(data, &name);
    let new = Account::create(&folder, name.clone(), password);
    let (account, new) = match new {
        // An answer was lost, perhaps: the same command finishes the work.
        Err(AccountError::Exists(_)) => (Account::load(&folder)?, false),
        new => (new?, true),
    };
    let mut client = client(&endpoint, &account);
    if let Err(error) = account.register(&mut client).await {
        let because = match &error {
            AccountError::Client(ClientError::Refused { because, .. }) => Some(*because),
            _ => None,
        };
        match because {
            // By this very account: then its password fits.
            Some(Refusal::Taken) if !new => {
                let name = name.clone();
                let own = move |token| Request::Key { token, name: name.clone() };
                client.call_with_token(own).await?;
            }
            Some(because) if new && because != Refusal::Unavailable => {
                // It was certainly not registered: nobody knows this key.
                let _ = std::fs::remove_dir_all(&folder);
                return Err(error.into());
            }
            // Perhaps it was. This is the only copy of its key.
            _ => return Err(error.into()),
        }
    }
    client.close().await;
    careful_files::replace(&data.join("clients/current"), name.as_str().as_bytes())?;
    let _ = writeln!(
        out,
        "{name} has an account; its key and password are in {}.\nFingerprint: {}",
        folder.display(),
        account.own_fingerprint()
    );
    Ok(())
}

async fn send(
    account: &mut Account,
    client: &mut Client,
    to: &Name,
    text: &str,
    out: &mut String,
) -> anyhow::Result<()> {
    let (fingerprint, known) = account.fingerprint_of(client, to).await?;
    if !known {
        let _ =
            writeln!(out, "First letter to {to}. Its key is pinned now; compare it: {fingerprint}");
    }
    let before = account.waiting();
    let count = match account.send(client, to, text).await {
        Ok(sent) => sent.letters,
        Err(error) => {
            out.push_str(match account.waiting() > before {
                true => "It waits, and goes with the next letter: do not write it again.\n",
                false => "Nothing was kept: send it again.\n",
            });
            return Err(error.into());
        }
    };
    let _ = writeln!(
        out,
        "Stored for {to}{}.",
        match count {
            1 => String::new(),
            more => format!(", with {} that had waited", more - 1),
        }
    );
    Ok(())
}

async fn read_all(
    data: &Path,
    matches: &ArgMatches,
    endpoint: &Endpoint,
    out: &mut String,
) -> anyhow::Result<()> {
    let accounts = match matches.get_one::<Name>("as") {
        Some(_) => vec![chosen(data, matches)?],
        None => all(data)?,
    };
    let (mut failed, all) = (0, accounts.len());
    for mut account in accounts {
        let name = account.name().clone();
        let mut client = client(endpoint, &account);
        let read = read_one(&mut account, &mut client, out).await;
        client.close().await;
        if let Err(error) = read {
            // The others are read all the same.
            failed += 1;
            let error = ErrorChain(error.as_ref()).to_string();
            let _ = writeln!(out, "{name}: {error}");
        }
    }
    match failed {
        0 => Ok(()),
        _ => bail!("{failed} of {all} accounts could not be read"),
    }
}

async fn read_one(
    account: &mut Account,
    client: &mut Client,
    out: &mut String,
) -> anyhow::Result<()> {
    let name = account.name().clone();
    let mut nothing = true;
    loop {
        let mut reading = account.read(client).await?;
        for found in &reading.found {
            nothing = false;
            let _ = writeln!(out, "{name}: {found}");
        }
        let (stopped, more) = (reading.stopped.take(), reading.more);
        // Shown first: if that fails, it is still there.
        say(std::mem::take(out))?;
        account.finish(client, reading).await?;
        if let Some(error) = stopped {
            return Err(error.into());
        }
        if !more {
            break;
        }
    }
    if nothing {
        let _ = writeln!(out, "{name}: nothing new");
    }
    Ok(())
}

async fn fingerprint(
    account: &mut Account,
    client: &mut Client,
    of: &Name,
    out: &mut String,
) -> anyhow::Result<()> {
    let text = if of == account.name() {
        account.own_fingerprint()
    } else {
        account.fingerprint_of(client, of).await?.0
    };
    let _ = writeln!(out, "{of}: {text}");
    Ok(())
}

async fn trust(
    account: &mut Account,
    client: &mut Client,
    name: &Name,
    compared: &str,
    out: &mut String,
) -> anyhow::Result<()> {
    account.trust(client, name, compared).await?;
    let _ = writeln!(out, "Pinned for {name}: {compared}");
    Ok(())
}

async fn status(client: &mut Client, out: &mut String) -> anyhow::Result<()> {
    let request = |token| Request::Status { token };
    let Response::Status(status) = client.call_with_token(request).await? else {
        bail!("expected the status, got another answer");
    };
    let json = serde_json::to_string_pretty(&status)?;
    let _ = writeln!(out, "{json}");
    Ok(())
}

fn client(endpoint: &Endpoint, account: &Account) -> Client {
    let (name, password) = (account.name().clone(), account.password());
    Client::with_login(endpoint.clone(), name, password)
}

/// Two that send at once would number their letters alike. Until it is dropped.
fn lock(data: &Path) -> anyhow::Result<std::fs::File> {
    let folder = data.join("clients");
    let locked = careful_files::create_folder(&folder)
        .and_then(|()| std::fs::File::create(folder.join("lock")))
        .and_then(|file| file.lock().map(|()| file));
    locked.with_context(|| format!("cannot lock {}", folder.display()))
}

/// The account of `--as`, or the current one.
fn chosen(data: &Path, matches: &ArgMatches) -> anyhow::Result<Account> {
    let current = || {
        let name = if_there(careful_files::read(&data.join("clients/current"), MAX_NAME))?;
        let name = name.context("no account yet: mailbox register NAME")?;
        Ok::<_, anyhow::Error>(Name::new(&String::from_utf8_lossy(&name))?)
    };
    let name = match matches.get_one::<Name>("as") {
        Some(name) => name.clone(),
        None => current()?,
    };
    let folder = folder(data, &name);
    if !folder.exists() {
        bail!("{name} has no account in {}: mailbox register {name}", data.display());
    }
    Ok(Account::load(&folder)?)
}

fn all(data: &Path) -> anyhow::Result<Vec<Account>> {
    let folder = data.join("clients");
    let entries = std::fs::read_dir(&folder)
        .with_context(|| format!("no accounts in {}", folder.display()))?;
    let mut accounts = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            accounts.push(Account::load(&path)?);
        }
    }
    accounts.sort_by(|one, other| one.name().cmp(other.name()));
    Ok(accounts)
}

pub(super) fn folder(data: &Path, name: &Name) -> PathBuf {
    data.join("clients").join(name.as_str())
}

/// The CAs of a file.
pub(super) fn roots(file: &Path) -> anyhow::Result<Arc<RootCertStore>> {
    let roots = Roots::from_pem_file(file).context("no CA to trust: did the server start?")?;
    Ok(roots.to_store())
}

/// 24 random bytes: nobody has to remember it, the account's file does.
pub(super) fn random_password() -> anyhow::Result<Secret> {
    let mut bytes = [0; 24];
    aws_lc_rs::rand::fill(&mut bytes).ok().context("the system gave no random bytes")?;
    Ok(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}
