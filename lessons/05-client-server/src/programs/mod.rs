//! The two programs: `mailbox-server` and `mailbox`.

pub mod client;
mod folders;
mod lab;
mod log;
pub mod server;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use careful_errors::ErrorChain;
use clap::{Arg, ArgMatches, Command, value_parser};
use rustls::pki_types::ServerName;

/// Where both programs keep their files, if nothing else is said.
const DATA: &str = "mailbox-data";
/// The certificate's name in a lab.
pub const LAB_NAME: &str = "mailbox.test";
/// Where the server listens, if nothing else is said.
const ADDRESS: &str = "127.0.0.1:7443";

fn data() -> Arg {
    Arg::new("data")
        .long("data")
        .value_name("FOLDER")
        .env("MAILBOX_DATA")
        .default_value(DATA)
        .value_parser(value_parser!(PathBuf))
        .help("Where the files are kept")
}

fn name() -> Arg {
    Arg::new("name")
        .long("name")
        .value_name("NAME")
        .env("MAILBOX_NAME")
        .default_value(LAB_NAME)
        .value_parser(|name: &str| {
            server_name(name).map(|_| name.to_owned()).map_err(|error| error.to_string())
        })
        .help("The server's name, as in its certificate")
}

/// A name that a certificate can be for. With a dot at its end it is the same host, but no certificate is for
/// that form.
fn server_name(name: &str) -> anyhow::Result<ServerName<'static>> {
    match ServerName::try_from(name.to_owned()) {
        Ok(parsed) if !name.ends_with('.') => Ok(parsed),
        _ => bail!("expected the name of a server, for example {LAB_NAME}, got {name:?}"),
    }
}

/// Reads the command line, runs, and turns the end into an exit code: 0 done, 1 failed, 2 a wrong
/// command line.
pub fn run(
    command: Command,
    arguments: impl IntoIterator<Item = OsString>,
    work: impl AsyncFnOnce(ArgMatches) -> anyhow::Result<()>,
) -> ExitCode {
    let matches = match command.try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            // A closed standard output is no failure of its own.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("error: cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let done = shared::lesson::check_clock().and_then(|()| runtime.block_on(work(matches)));
    // A file that can't be read for a long time keeps a thread, and must not keep the program.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let layers = ErrorChain(error.as_ref()).layers();
            complain(&format!("error: {}", layers.join("\n  because: ")));
            ExitCode::FAILURE
        }
    }
}

/// Whether standard output was closed when the program started. Rust opens `/dev/null` in its place then, for reading and
/// writing, and no write fails (observed with 1.95). A shell's `>/dev/null`, by which somebody
/// asks to see nothing, opens it for writing alone.
#[cfg(unix)]
fn output_is_closed() -> bool {
    use rustix::fs::{OFlags, fcntl_getfl, fstat, stat};
    let output = std::io::stdout();
    let is_null = match (fstat(&output), stat("/dev/null")) {
        (Ok(output), Ok(null)) => output.st_rdev == null.st_rdev && output.st_rdev != 0,
        _ => false,
    };
    let both_ways = |flags: OFlags| flags & OFlags::RWMODE == OFlags::RDWR;
    is_null && fcntl_getfl(&output).is_ok_and(both_ways)
}

#[cfg(not(unix))]
fn output_is_closed() -> bool {
    false
}

/// On standard error. When that is closed or full, nothing is left to tell it to.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A question, on standard error: standard output is for what was done.
fn ask(text: &str) {
    let mut stderr = std::io::stderr();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

fn text<'m>(matches: &'m ArgMatches, name: &str) -> &'m str {
    matches.get_one::<String>(name).map_or("", String::as_str)
}

fn path(matches: &ArgMatches, name: &str) -> Option<PathBuf> {
    matches.get_one::<PathBuf>(name).cloned()
}
