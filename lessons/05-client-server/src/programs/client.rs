//! `mailbox`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{IsTerminal, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use careful_certificates::leaf::date;
use careful_certificates::roots::Roots;
use careful_errors::ErrorChain;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use rustls::RootCertStore;

use careful_mailbox::account::{Account, AccountError, Fate, RefusedLetter, SendError};
use careful_mailbox::client::{Client, ClientError, Endpoint};
use careful_mailbox::passwords::{self, PasswordError};
use careful_mailbox::protocol::{Name, Refusal, Request, Response, Secret, Status};
use careful_mailbox::sealed::MAX_TEXT;

use super::folders;

/// Letters that one `read` shows of an account: a server that always has more must not keep it busy.
const MAX_READ: usize = 2000;

const UNSETTLED: &str = "nothing was done, because an earlier change of the password or the key has to be settled first";

/// Runs the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    super::run(command(), arguments, async |matches| work(&matches).await)
}

/// What was done, on standard output.
fn say(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}

/// Its command line.
pub fn command() -> Command {
    let name = || {
        Arg::new("who").value_name("NAME").required(true).value_parser(|name: &str| Name::new(name))
    };
    Command::new("mailbox")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Sends and reads sealed letters.")
        .after_help(
            "The first words, with `mailbox-server` running in another terminal:\n  \
             mailbox register alice\n  mailbox send bob\n  mailbox read\n\n\
             Accounts are kept in FOLDER/clients. The last one that was registered sends, or that \
             of --as; read reads all of them.\n\n\
             Exit codes: 0 done, 1 failed, 2 wrong command line.",
        )
        .arg(super::data().global(true))
        .arg(super::name().global(true))
        .arg(
            Arg::new("server")
                .long("server")
                .value_name("HOST:PORT")
                .env("MAILBOX_SERVER")
                .default_value(super::ADDRESS)
                .value_parser(host_and_port)
                .global(true)
                .help("Where the server listens: an address or a host name, and a port"),
        )
        .arg(
            Arg::new("ca")
                .long("ca")
                .value_name("FILE")
                .env("MAILBOX_CA")
                .value_parser(value_parser!(PathBuf))
                .global(true)
                .help("The CAs to trust, in PEM [default: FOLDER/ca.pem]"),
        )
        .arg(
            Arg::new("as")
                .long("as")
                .value_name("NAME")
                .env("MAILBOX_AS")
                .value_parser(|name: &str| Name::new(name))
                .global(true)
                .help("The account to use"),
        )
        .subcommand_required(true)
        .subcommand(
            Command::new("register")
                .about("Make an account; the password is MAILBOX_PASSWORD, or random")
                .arg(name()),
        )
        .subcommand(
            Command::new("send")
                .about("Seal a letter and send it; you are asked for its text")
                .arg(name())
                .arg(
                    Arg::new("text")
                        .value_name("-")
                        .value_parser(only_a_hyphen)
                        .num_args(0..)
                        .help("Read the text from standard input, to its end"),
                ),
        )
        .subcommand(Command::new("send-waiting").about("Send the letters that wait"))
        .subcommand(Command::new("read").about("Read what has come"))
        .subcommand(
            Command::new("accounts").about("Show the accounts of this machine, and who sends"),
        )
        .subcommand(
            Command::new("sender").about("Choose the account that sends without --as").arg(name()),
        )
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
        .subcommand(Command::new("new-password").about(
            "Change the password, to that of MAILBOX_PASSWORD or a random one; ends all logins",
        ))
        .subcommand(
            Command::new("new-key")
                .about("Read and send everything, then change the key; everybody else is warned")
                .arg(
                    Arg::new("drop")
                        .long("drop")
                        .action(ArgAction::SetTrue)
                        .help("Lose the letters that can't be read or sent before"),
                ),
        )
        .subcommand(Command::new("end-logins").about("End all logins, on whatever machine"))
        .subcommand(
            Command::new("delete")
                .about("Delete an account: its letters on the server, its key and its folder here")
                .arg(name())
                .arg(
                    Arg::new("yes")
                        .long("yes")
                        .action(ArgAction::SetTrue)
                        .help("Don't ask whether I mean it"),
                ),
        )
        .subcommand(
            Command::new("start-over")
                .about("Give an account whose state.json is lost a new one, without pinned keys"),
        )
        .subcommand(
            Command::new("status")
                .about("Show the server's counters (operators)")
                .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("As JSON")),
        )
        .subcommand(Command::new("ping").about("Ask whether the server is there"))
}

fn only_a_hyphen(text: &str) -> Result<String, &'static str> {
    match text {
        "-" => Ok(text.to_owned()),
        _ => Err(
            "a text on the command line can be read by everybody on this machine, and stays in the shell's \
                  history. Leave it out and type it when you are asked, or send it through a pipe, with -",
        ),
    }
}

/// A host is looked up when it is needed; a port has to be there.
fn host_and_port(text: &str) -> Result<String, String> {
    let fits = text.rsplit_once(':').is_some_and(|(host, port)| {
        let v6 = host.starts_with('[') && host.ends_with(']');
        !host.is_empty() && (v6 || !host.contains(':')) && port.parse::<u16>().is_ok()
    });
    match fits {
        true => Ok(text.to_owned()),
        false => Err("expected a host and a port, for example localhost:7443 or [::1]:7443".into()),
    }
}

/// What a command needs.
struct Setting<'m> {
    data: PathBuf,
    /// None for a command that asks no server.
    endpoint: Option<Endpoint>,
    /// `--as`
    named: Option<&'m Name>,
}

/// These ask no server, and work without its CA.
const LOCAL: [&str; 3] = ["accounts", "sender", "start-over"];

impl Setting<'_> {
    /// The account of `--as`, or the current one.
    fn chosen_name(&self) -> anyhow::Result<Name> {
        match self.named {
            Some(name) => Ok(name.clone()),
            None => folders::current(&self.data)?.context("no account yet: mailbox register NAME"),
        }
    }

    fn chosen(&self) -> anyhow::Result<Account> {
        let name = self.chosen_name()?;
        let loaded = folders::load(&self.data, &name);
        loaded.with_context(|| match self.named {
            Some(_) => format!("cannot use {name}"),
            None => format!(
                "cannot use {name}, who sends without --as. To choose another one: mailbox sender NAME"
            ),
        })
    }

    fn endpoint(&self) -> anyhow::Result<Endpoint> {
        self.endpoint.clone().context("a command without a server")
    }

    fn client(&self, account: &Account) -> anyhow::Result<Client> {
        let (name, password) = (account.name().clone(), account.password());
        Ok(Client::with_login(self.endpoint()?, name, password))
    }
}

async fn work(matches: &ArgMatches) -> anyhow::Result<()> {
    let data = super::path(matches, "data").unwrap_or_default();
    let (what, arguments) = matches.subcommand().context("a command")?;
    let who = || arguments.get_one::<Name>("who").cloned().context("a name");
    let endpoint = match LOCAL.contains(&what) {
        true => None,
        false => {
            let ca = super::path(matches, "ca").unwrap_or_else(|| data.join("ca.pem"));
            let name = super::server_name(super::text(matches, "name"))?;
            Some(Endpoint::new(super::text(matches, "server"), name, roots(&ca)?)?)
        }
    };
    let setting = Setting { data, endpoint, named: matches.get_one::<Name>("as") };
    // Before the lock: nobody has to wait for somebody who types. And nobody types for an account that
    // can't be used.
    let mut text = None;
    match what {
        "send" => {
            setting.chosen()?;
            text = Some(letter_text(&who()?, arguments.contains_id("text"))?);
        }
        "delete" => sure_to_delete(&setting, &who()?, arguments.get_flag("yes"))?,
        _ => {}
    }
    let _one_at_a_time = folders::lock(&setting.data, super::complain)?;
    match what {
        "ping" => {
            let mut client = Client::new(setting.endpoint()?);
            let answer = client.call(&Request::Ping {}).await;
            client.close().await;
            answer?;
            say("The server is there.\n")?;
        }
        "register" => register(&setting, who()?).await?,
        "read" => read_all(&setting).await?,
        "accounts" => accounts(&setting)?,
        "sender" => {
            let name = who()?;
            folders::load(&setting.data, &name)?;
            folders::set_current(&setting.data, &name)?;
            say(&format!("{name} sends from now on.\n"))?;
        }
        "start-over" => start_over(&setting)?,
        "delete" => delete(&setting, &who()?).await?,
        _ => {
            let mut account = setting.chosen()?;
            let mut client = setting.client(&account)?;
            let done = with_account(what, arguments, (&mut account, &mut client), text).await;
            client.close().await;
            warn_if_not_synced(&account);
            done.map_err(|error| about_login(account.name(), error))?;
        }
    }
    Ok(())
}

/// What the server tells nobody: whether the account is missing or its password is another one.
fn about_login(name: &Name, error: anyhow::Error) -> anyhow::Error {
    let client = match error.downcast_ref::<AccountError>() {
        Some(AccountError::Client(error)) => Some(error),
        _ => error.downcast_ref::<ClientError>(),
    };
    match client.is_some_and(|error| error.is(Refusal::Unauthorized)) {
        true => error.context(format!(
            "the server doesn't accept {name} with this password. If the registration was not finished: \
             mailbox register {name}"
        )),
        false => error,
    }
}

/// What a request that must not come twice may have done, after an error.
fn perhaps(error: &AccountError, none: &str, unknown: String) -> String {
    match error {
        AccountError::Done(_) => "both are kept, and the next command finds out".to_owned(),
        error if error.may_have_been_done() => unknown,
        _ => none.to_owned(),
    }
}

async fn with_account(
    what: &str,
    arguments: &ArgMatches,
    (account, client): (&mut Account, &mut Client),
    text: Option<String>,
) -> anyhow::Result<()> {
    let who = || arguments.get_one::<Name>("who").cloned().context("a name");
    if what != "send" {
        account.settle(client).await.context(UNSETTLED)?;
    }
    match what {
        "send" => send(account, client, &who()?, &text.unwrap_or_default()).await,
        "send-waiting" => send_waiting(account, client).await,
        "fingerprint" => {
            let of = who()?;
            let text = match of == *account.name() {
                true => account.own_fingerprint(),
                false => account.fingerprint_of(client, &of).await?.0,
            };
            Ok(say(&format!("{of}: {text}\n"))?)
        }
        "trust" => {
            let groups = arguments.get_many::<String>("fingerprint").unwrap_or_default();
            let compared = groups.cloned().collect::<Vec<_>>().join(" ");
            trust(account, client, &who()?, &compared).await
        }
        "new-password" => {
            let logins = account.change_password(client, new_password()?).await;
            let logins = logins.map_err(|error| {
                let unknown = "nobody knows whether the password has changed: both are kept, and the next command \
                     finds out";
                let what = perhaps(&error, "the password has not changed", unknown.to_owned());
                anyhow::Error::from(error).context(what)
            })?;
            Ok(say(&format!("Another password. {}\n", ended(logins)))?)
        }
        "new-key" => new_key(account, client, arguments.get_flag("drop")).await,
        "end-logins" => {
            let logins = account.end_logins(client).await.map_err(|error| {
                let unknown = format!(
                    "nobody knows whether the logins were ended: mailbox --as {} end-logins",
                    account.name()
                );
                let what = perhaps(&error, "no login was ended", unknown);
                anyhow::Error::from(error).context(what)
            })?;
            Ok(say(&format!("{}\n", ended(logins)))?)
        }
        "status" => status(client, arguments.get_flag("json")).await,
        other => bail!("expected a command, got {other}"),
    }
}

fn ended(logins: usize) -> String {
    format!("Logins that were ended, this command's own among them: {logins}.")
}

/// The text of a letter: typed, or from a pipe. Never from the command line, which everybody on this machine can
/// read while the program runs, and which stays in the shell's history.
fn letter_text(to: &Name, all: bool) -> anyhow::Result<String> {
    let input = std::io::stdin();
    let mut text = String::new();
    if input.is_terminal() && !all {
        super::ask(&format!("Your letter to {to}, on one line: "));
        input.read_line(&mut text).context("cannot read the text")?;
    } else {
        let limit = MAX_TEXT as u64 + 2;
        let read = input.lock().take(limit).read_to_string(&mut text);
        read.context("expected a text in UTF-8")?;
    }
    let text =
        text.strip_suffix('\n').map_or(&*text, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        bail!("expected a text, got nothing: nothing was sent");
    }
    if text.len() > MAX_TEXT {
        bail!("expected a text of at most {MAX_TEXT} bytes, got more: nothing was sent or kept");
    }
    Ok(text.to_owned())
}

async fn register(setting: &Setting<'_>, name: Name) -> anyhow::Result<()> {
    let data = &setting.data;
    let folder = folders::folder(data, &name);
    let password = new_password()?;
    let (account, new) = match Account::create(&folder, name.clone(), password) {
        // An answer was lost, perhaps: the same command finishes the work.
        Err(AccountError::Exists(_)) => (folders::load(data, &name)?, false),
        new => (new?, true),
    };
    let mut client = setting.client(&account)?;
    let mut registered = account.register(&mut client).await;
    if let Err(AccountError::Client(ClientError::Refused { because: Refusal::Taken, .. })) =
        registered
        && !new
    {
        // By this very account: then its password fits.
        let own = |token| Request::Key { token, name: name.clone() };
        registered = client.call_with_token(own).await.map(drop).map_err(AccountError::from);
    }
    // Also after a refusal: a goodbye tells it from an attack.
    client.close().await;
    if let Err(error) = registered {
        let because = match &error {
            AccountError::Client(ClientError::Refused { because, .. }) => Some(*because),
            _ => None,
        };
        match because {
            Some(because) if new && because != Refusal::Unavailable => {
                // It was certainly not registered: nobody knows this key.
                account.discard();
                return Err(
                    anyhow::Error::from(error).context(format!("{name} was not registered"))
                );
            }
            // Perhaps it was. This is the only copy of its key.
            _ => {
                let kept = format!(
                    "{name} may be registered or not; its key is kept in {}. To finish: mailbox register {name}",
                    folder.display()
                );
                return Err(anyhow::Error::from(error).context(kept));
            }
        }
    }
    let before = folders::current(data)?;
    folders::set_current(data, &name)?;
    say(&format!(
        "{name} has an account; its key and password are in {}.\nFingerprint: {}\n",
        folder.display(),
        account.own_fingerprint()
    ))?;
    if let Some(before) = before.filter(|before| *before != name) {
        say(&format!(
            "{name} sends from now on; {before} does with --as {before}, or after: mailbox sender {before}\n"
        ))?;
    }
    Ok(())
}

async fn send(
    account: &mut Account,
    client: &mut Client,
    to: &Name,
    text: &str,
) -> anyhow::Result<()> {
    let first = account.pinned_fingerprint(to).is_none();
    let like = account.looks_like(to).filter(|_| first);
    let sent = account.send(client, to, text).await;
    if let Some(pinned) = account.pinned_fingerprint(to).filter(|_| first) {
        say(&format!("First letter to {to}, whose key is pinned now; compare it: {pinned}\n"))?;
        if let Some(other) = like {
            say(&format!("WARNING: {to} is not {other}. Did you mean {other}?\n"))?;
        }
    }
    let refused = tell_refused(account);
    match sent {
        Ok(sent) => {
            let more = match sent.letters {
                0 | 1 => String::new(),
                letters => format!(", with {} that had waited", letters - 1),
            };
            say(&format!("Stored for {to}{more}.\n"))?;
            refused
        }
        Err(SendError { fate, error }) => {
            let what = match fate {
                Fate::Sent => {
                    format!("The letter was stored for {to}, but not everything after it went well")
                }
                Fate::Kept if matches!(error, AccountError::KeyChanged { .. }) => format!(
                    "The letter to {to} was not sent. It is sealed for the pinned key, and kept until you know which \
                     key is right. The pinned one: mailbox --as {} send-waiting. The other one: trust it, which removes \
                     the letter, and write it again",
                    account.name()
                ),
                Fate::Kept => format!(
                    "The letter to {to} was not sent. It is kept, so don't write it again: it goes with the next \
                     letter, or by mailbox --as {} send-waiting",
                    account.name()
                ),
                Fate::NotKept => format!("The letter to {to} was neither sent nor kept"),
            };
            Err(anyhow::Error::from(error).context(what))
        }
    }
}

/// Says what became of letters that had waited and will never be accepted. Their text is in their boxes only, which
/// nobody but the recipient can open.
fn tell_refused(account: &mut Account) -> anyhow::Result<()> {
    let refused = account.take_refused();
    for RefusedLetter { to, error } in &refused {
        super::complain(&format!(
            "the server will never accept a waiting letter to {to}, so it was deleted: {}",
            ErrorChain(error)
        ));
    }
    match refused.len() {
        0 => Ok(()),
        letters => bail!("letters that had waited and are gone: {letters}"),
    }
}

async fn send_waiting(account: &mut Account, client: &mut Client) -> anyhow::Result<()> {
    let sent = account.send_waiting(client).await;
    let refused = tell_refused(account);
    let sent = sent.with_context(|| format!("letters that wait: {}", account.waiting()))?;
    say(&format!("Sent: {}. Nothing waits.\n", sent.letters))?;
    refused
}

async fn read_all(setting: &Setting<'_>) -> anyhow::Result<()> {
    let accounts = match setting.named {
        Some(name) => vec![(name.clone(), folders::load(&setting.data, name))],
        None => folders::all(&setting.data)?,
    };
    let (mut failed, all) = (0, accounts.len());
    for (name, account) in accounts {
        let read = async {
            let mut account = account?;
            let mut client = setting.client(&account)?;
            let read = read_one(&mut account, &mut client).await;
            client.close().await;
            warn_if_not_synced(&account);
            read.and_then(Left::told).map_err(|error| about_login(&name, error))
        };
        if let Err(error) = read.await {
            // The others are read all the same.
            failed += 1;
            super::complain(&format!("{name}: {}", ErrorChain(error.as_ref())));
        }
    }
    match (failed, all) {
        (0, _) => Ok(()),
        (1, 1) => bail!("not everything could be read"),
        _ => bail!("accounts of which not everything could be read: {failed} of {all}"),
    }
}

/// What a reading has left on the server, in words.
#[derive(Default)]
struct Left {
    senders: BTreeMap<Name, String>,
    more: bool,
}

impl Left {
    fn told(self) -> anyhow::Result<()> {
        match self.senders.len() {
            0 => Ok(()),
            _ => Err(anyhow!(self.text())),
        }
    }

    fn text(&self) -> String {
        let senders = self.senders.values().map(String::as_str);
        let more = self.more.then_some("there is more than one command reads");
        senders.chain(more).collect::<Vec<_>>().join("; ")
    }
}

async fn read_one(account: &mut Account, client: &mut Client) -> anyhow::Result<Left> {
    if super::output_is_closed() {
        bail!(
            "standard output is closed, so nobody would see the letters: they are left on the server"
        );
    }
    account.settle(client).await.context(UNSETTLED)?;
    let name = account.name().clone();
    let (mut shown, mut looked_at) = (0, 0);
    let mut left = Left::default();
    loop {
        let mut reading = account.read(client).await?;
        let pinned = reading.pinned.iter().map(|from| {
            let print = account.pinned_fingerprint(from).unwrap_or_default();
            format!(
                "{name}: first letter from {from}, whose key is pinned now; compare it: {print}\n"
            )
        });
        let found = reading.found.iter().map(|found| format!("{name}: {found}\n"));
        let lines = pinned.chain(found).collect::<String>();
        shown += reading.found.len();
        looked_at += reading.looked_at();
        for (from, error) in std::mem::take(&mut reading.left) {
            let text = || format!("letters of {from} stay on the server: {}", ErrorChain(&error));
            left.senders.entry(from.clone()).or_insert_with(text);
        }
        let (stopped, more) = (reading.stopped.take(), reading.more);
        // Shown first: if that fails, it is still there.
        say(&lines)?;
        account.finish(client, reading).await?;
        if let Some(error) = stopped {
            return Err(error.into());
        }
        if !more {
            break;
        }
        if looked_at >= MAX_READ {
            say(&format!("{name}: there is more: mailbox --as {name} read\n"))?;
            left.more = true;
            return Ok(left);
        }
    }
    if shown == 0 && left.senders.is_empty() {
        say(&format!("{name}: nothing new\n"))?;
    }
    Ok(left)
}

fn accounts(setting: &Setting<'_>) -> anyhow::Result<()> {
    let sends = folders::current(&setting.data)?;
    let mut broken = 0;
    for (name, account) in folders::all(&setting.data)? {
        match account {
            Ok(account) => {
                let sends = if sends.as_ref() == Some(&name) { ", sends" } else { "" };
                let waits = match account.waiting() {
                    0 => String::new(),
                    1 => ", a letter waits to be sent".to_owned(),
                    letters => format!(", {letters} letters wait to be sent"),
                };
                say(&format!("{name}{sends}{waits}: {}\n", account.own_fingerprint()))?;
            }
            Err(error) => {
                broken += 1;
                super::complain(&format!("{name}: {}", ErrorChain(error.as_ref())));
            }
        }
    }
    match broken {
        0 => Ok(()),
        _ => bail!("accounts that cannot be used: {broken}"),
    }
}

fn start_over(setting: &Setting<'_>) -> anyhow::Result<()> {
    let name = setting.chosen_name()?;
    let folder = folders::existing(&setting.data, &name)?;
    if Account::load(&folder).is_ok() {
        bail!(
            "{name} has a state, with its pinned keys and letters that may wait: nothing was changed"
        );
    }
    let mut account = Account::load_without_state(&folder)?;
    let old = folder.join("state.json");
    if old.exists() {
        let aside = folder.join("state.json.old");
        std::fs::rename(&old, &aside).context("cannot move state.json aside")?;
    }
    account.start_over()?;
    Ok(say(&format!(
        "{name} starts over: no key is pinned, so compare fingerprints again, and those you write to see a warning \
         that your numbers begin at 1.\n"
    ))?)
}

async fn trust(
    account: &mut Account,
    client: &mut Client,
    name: &Name,
    compared: &str,
) -> anyhow::Result<()> {
    let removed = account.trust(client, name, compared).await?;
    say(&format!("Pinned for {name}: {compared}\n"))?;
    match removed {
        0 => Ok(()),
        letters => Ok(say(&format!(
            "Letters for {name} that waited were sealed for the other key, and are removed: {letters}. Write them \
             again.\n"
        ))?),
    }
}

async fn new_key(account: &mut Account, client: &mut Client, drop: bool) -> anyhow::Result<()> {
    let name = account.name().clone();
    let not_without = |what: &str| {
        format!(
            "{name} still has the old key, because {what}. To change it and lose them: mailbox --as {name} new-key \
             --drop"
        )
    };
    // What was sealed for the old key, or by it, can't be opened afterwards.
    let left = read_one(account, client).await.context("the key has not changed")?.text();
    if !left.is_empty() && !drop {
        return Err(anyhow!(left).context(not_without("letters are not read")));
    }
    let sent = match account.waiting() {
        0 => Ok(()),
        _ => send_waiting(account, client).await,
    };
    let waiting = account.waiting_for();
    if !waiting.is_empty() {
        let to = waiting.iter().map(|(to, letters)| format!("{to} ({letters})"));
        let to = to.collect::<Vec<_>>().join(", ");
        if !drop {
            let why = sent.err().unwrap_or_else(|| anyhow!("they still wait"));
            return Err(why.context(not_without(&format!("letters to {to} are not sent"))));
        }
        account.drop_waiting()?;
        super::complain(&format!("not sent, and lost: letters to {to}"));
    }
    let logins = account.change_key(client).await.map_err(|error| {
        let unknown = "nobody knows whether the key has changed: both are kept, and the next command finds out";
        let what = perhaps(&error, "the key has not changed", unknown.to_owned());
        anyhow::Error::from(error).context(what)
    })?;
    if !left.is_empty() {
        super::complain(&format!("not read, and lost: {left}"));
    }
    Ok(say(&format!(
        "Another key. Tell those who write to you: their programs warn them, and they must compare this.\n\
         Fingerprint: {}\n{}\n",
        account.own_fingerprint(),
        ended(logins)
    ))?)
}

/// Asks, because nothing brings a key back. Where nobody can answer, `--yes` has to be there.
fn sure_to_delete(setting: &Setting<'_>, name: &Name, yes: bool) -> anyhow::Result<()> {
    if let Some(other) = setting.named.filter(|other| *other != name) {
        bail!(
            "delete {name}, or delete --as {other}? The name after delete is the one: leave out --as"
        );
    }
    let waiting = folders::load(&setting.data, name)?.waiting();
    if yes {
        return Ok(());
    }
    let what = format!(
        "This deletes {name}: the letters that lie on the server, the key, which no copy here is left of, and {waiting} \
         that wait to be sent."
    );
    if !std::io::stdin().is_terminal() {
        bail!("{what} Nobody can be asked here, so nothing was deleted: add --yes");
    }
    super::ask(&format!("{what}\nType the name to go on: "));
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed).context("cannot read the answer")?;
    match typed.trim() == name.as_str() {
        true => Ok(()),
        false => bail!("nothing was deleted"),
    }
}

async fn delete(setting: &Setting<'_>, name: &Name) -> anyhow::Result<()> {
    let mut account = folders::load(&setting.data, name)?;
    let waiting = account.waiting();
    let mut client = setting.client(&account)?;
    let settled = account.settle(&mut client).await.context(UNSETTLED);
    let deleted = match settled {
        Ok(()) => Ok(account.delete(&mut client).await),
        Err(error) => Err(error),
    };
    client.close().await;
    let deleted = deleted?;
    let folder = folders::folder(&setting.data, name);
    if let Err(error) = deleted {
        let unknown = format!(
            "nobody knows whether {name} was deleted on the server; its key is kept in {}. Try it again. \
             If the server doesn't know {name} then, delete that folder yourself",
            folder.display()
        );
        let none = format!("{name} was not deleted, neither on the server nor here");
        let what = perhaps(&error, &none, unknown);
        return Err(anyhow::Error::from(error).context(what));
    }
    std::fs::remove_dir_all(&folder).with_context(|| {
        format!("{name} is deleted on the server; delete {} yourself", folder.display())
    })?;
    folders::unset_current(&setting.data, name)?;
    let waited = match waiting {
        0 => String::new(),
        letters => format!(" Letters that waited, and were never sent: {letters}."),
    };
    Ok(say(&format!("{name} is deleted, on the server and here.{waited}\n"))?)
}

async fn status(client: &mut Client, json: bool) -> anyhow::Result<()> {
    let request = |token| Request::Status { token };
    let Response::Status(status) = client.call_with_token(request).await? else {
        bail!("expected the status, got another answer");
    };
    let text = match json {
        true => format!("{}\n", serde_json::to_string_pretty(&status)?),
        false => for_people(&status),
    };
    Ok(say(&text)?)
}

fn for_people(status: &Status) -> String {
    let Status {
        uptime,
        certificate_expires,
        connections,
        requests,
        refused,
        stored,
        waiting,
        failed_logins,
        reused_tokens,
        dropped,
        lines_lost,
        lines_left_out,
    } = status;
    let (days, hours, minutes) = (uptime / 86_400, uptime / 3600 % 24, uptime / 60 % 60);
    format!(
        "Running for            {days} days, {hours} h, {minutes} min\n\
         Certificate expires    {}\n\
         Connections now        {connections}\n\
         Requests               {requests}; refused: {refused}\n\
         Letters stored         {stored}; in mailboxes now: {waiting}\n\
         Logins that failed     {failed_logins}\n\
         Refresh tokens reused  {reused_tokens}\n\
         Connections ended      {dropped}\n\
         Log lines lost         {lines_lost}; left out: {lines_left_out}\n",
        date(*certificate_expires)
    )
}

fn warn_if_not_synced(account: &Account) {
    if account.was_not_synced() {
        super::complain(
            "warning: this file system can't sync folders. After a power loss the account's files may be as they \
             were before",
        );
    }
}

/// That of MAILBOX_PASSWORD, or a random one: nobody has to remember it, the account's file does.
fn new_password() -> anyhow::Result<Secret> {
    match std::env::var("MAILBOX_PASSWORD") {
        Ok(password) if passwords::fits(&password) => Ok(Secret::new(password)),
        Ok(_) => bail!("MAILBOX_PASSWORD: {}", PasswordError::Length),
        Err(std::env::VarError::NotPresent) => random_password(),
        Err(std::env::VarError::NotUnicode(_)) => bail!("MAILBOX_PASSWORD: expected UTF-8"),
    }
}

/// 24 random bytes.
pub(super) fn random_password() -> anyhow::Result<Secret> {
    let mut bytes = [0; 24];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow!("the system gave no random bytes"))?;
    Ok(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}

/// The CAs of a file.
pub(super) fn roots(file: &Path) -> anyhow::Result<Arc<RootCertStore>> {
    let what = match file.exists() {
        true => "no CA to trust: another file, or --ca",
        false => "no CA to trust: did the server start?",
    };
    let roots = Roots::from_pem_file(file).context(what)?;
    Ok(roots.to_store())
}
