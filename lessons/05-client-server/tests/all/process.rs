//! The two programs as processes: signals, limits of the system, exit codes.
#![cfg(unix)]

use std::error::Error;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use careful_certificates::roots::Roots;
use careful_mailbox::account::Account;
use careful_mailbox::client::{Client, ClientError, Endpoint};
use careful_mailbox::protocol::{Name, Request, Secret};
use mailbox::lab::child::ServerProcess;
use mailbox::programs::LAB_NAME;
use rustls::pki_types::ServerName;

type TestResult = Result<(), Box<dyn Error>>;

const SERVER: &str = env!("CARGO_BIN_EXE_mailbox-server");
const CLIENT: &str = env!("CARGO_BIN_EXE_mailbox");

fn start(data: &Path) -> Result<ServerProcess, Box<dyn Error>> {
    Ok(ServerProcess::start_command(Command::new(SERVER), data, &[])?)
}

/// The server under a limit of the shell: `ulimit FLAG NUMBER`. A file over its limit is an error
/// then, as on a full disk, and no signal.
fn start_limited(data: &Path, limit: &str) -> Result<ServerProcess, Box<dyn Error>> {
    Ok(ServerProcess::start_command(limited(limit), data, &[])?)
}

fn limited(limit: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("trap '' XFSZ; ulimit {limit}; exec \"$0\" \"$@\""), SERVER]);
    command
}

/// Sends letters of Alice to Bob, on one connection, until one is refused; how many were stored.
fn fill(data: &Path, server: &ServerProcess, text: &str) -> Result<usize, Box<dyn Error>> {
    let mut alice = Account::load(&data.join("clients/account-alice"))?;
    let (name, password) = (alice.name().clone(), alice.password());
    let mut client = Client::with_login(endpoint(data, server)?, name, password);
    let bob = Name::new("bob")?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        for stored in 0..400 {
            if alice.send(&mut client, &bob, text).await.is_err() {
                return Ok(stored);
            }
        }
        Err("the disk was never full".into())
    })
}

fn endpoint(data: &Path, server: &ServerProcess) -> Result<Endpoint, Box<dyn Error>> {
    let roots = Roots::from_pem_file(data.join("ca.pem"))?.to_store();
    Ok(Endpoint::new(server.address(), ServerName::try_from(LAB_NAME)?, roots)?)
}

fn client(data: &Path, server: &ServerProcess, arguments: &[&str]) -> Output {
    client_reading(data, server, arguments, "")
}

/// The client with a text on its standard input.
fn client_reading(data: &Path, server: &ServerProcess, arguments: &[&str], text: &str) -> Output {
    let mut command = Command::new(CLIENT);
    command
        .arg("--data")
        .arg(data)
        .args(["--server", &server.address().to_string()])
        .args(arguments);
    run_reading(command, text)
}

fn run_reading(mut command: Command, text: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the client runs");
    let mut input = child.stdin.take().expect("its standard input");
    // It may end without reading.
    let _ = input.write_all(text.as_bytes());
    drop(input);
    child.wait_with_output().expect("its output")
}

fn send(data: &Path, server: &ServerProcess, to: &str, text: &str) -> Output {
    client_reading(data, server, &["send", to, "-"], text)
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn signal(server: &ServerProcess, name: &str) -> TestResult {
    let id = server.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status()?.success());
    Ok(())
}

#[test]
fn the_first_words_of_the_readme_work() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let run = |arguments: &[&str]| said(&client(folder.path(), &server, arguments));
    assert!(run(&["register", "alice"]).starts_with("alice has an account"));
    let sent = said(&send(folder.path(), &server, "bob", "lunch at one?\n"));
    assert!(sent.ends_with("Stored for bob.\n"), "{sent}");
    let print = run(&["fingerprint", "alice"]);
    let print = print.trim().strip_prefix("alice: ").ok_or("a fingerprint")?;
    assert_eq!(
        run(&["read"]),
        format!(
            "alice: nothing new\nbob: first letter from alice, whose key is pinned now; compare it: {print}\n\
             bob: letter 1 from alice: lunch at one?\n"
        )
    );
    assert_eq!(run(&["--as", "bob", "fingerprint", "alice"]).trim(), format!("alice: {print}"));
    Ok(())
}

#[test]
fn sigterm_and_sigint_end_it_with_success() -> TestResult {
    for name in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir()?;
        let server = start(folder.path())?;
        client(folder.path(), &server, &["register", "alice"]);
        let idle = std::net::TcpStream::connect(server.address())?;
        signal(&server, name)?;
        let started = Instant::now();
        let status: ExitStatus = server.wait()?;
        assert_eq!(status.code(), Some(0), "{name}");
        assert!(started.elapsed() < Duration::from_secs(6), "within its deadline");
        drop(idle);
    }
    Ok(())
}

#[test]
fn sighup_brings_a_new_certificate_and_a_new_key() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    assert!(client(folder.path(), &server, &["register", "alice"]).status.success());
    // Another CA's certificate in the same files: the old CA does not fit any more.
    let ca = shared::LabCa::new("Another Lab")?;
    std::fs::create_dir(folder.path().join("new"))?;
    ca.leaf("mailbox.test").issue()?.write_to(&folder.path().join("new"))?;
    for name in ["chain.pem", "key.pem"] {
        std::fs::rename(folder.path().join("new").join(name), folder.path().join(name))?;
    }
    let new_key =
        Command::new(SERVER).arg("--data").arg(folder.path()).arg("--new-signing-key").output()?;
    assert!(said(&new_key).contains("signs after the next reload"));
    signal(&server, "-HUP")?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while client(folder.path(), &server, &["ping"]).status.success() {
        assert!(Instant::now() < deadline, "the new certificate is not there");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::write(folder.path().join("ca.pem"), ca.root_pem())?;
    assert!(send(folder.path(), &server, "bob", "hello").status.success());
    // A broken file does not end it.
    std::fs::write(folder.path().join("chain.pem"), "nothing")?;
    signal(&server, "-HUP")?;
    std::thread::sleep(Duration::from_millis(100));
    assert!(client(folder.path(), &server, &["ping"]).status.success());
    Ok(())
}

#[test]
fn it_lives_on_when_the_system_has_no_descriptors_left() -> TestResult {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let mut command = limited("-n 40");
    command.stderr(std::fs::File::create(&log)?);
    let server = ServerProcess::start_command(command, folder.path(), &["--log", "json"])?;
    let mut flood = Vec::new();
    for _ in 0..60 {
        let stream = std::net::TcpStream::connect(server.address())?;
        stream.set_read_timeout(Some(Duration::from_millis(1)))?;
        flood.push(stream);
    }
    // Those it accepted, and it has none left for the others.
    std::thread::sleep(Duration::from_millis(500));
    let open = flood
        .iter_mut()
        .filter_map(|stream| stream.read(&mut [0]).err())
        .filter(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        .count();
    assert!(open > 20, "open or waiting: {open}");
    // It tries again after a pause, and doesn't spin: every 50 ms.
    let errors = std::fs::read_to_string(&log)?.matches("\"message\":\"accept\"").count();
    assert!((1..=60).contains(&errors), "{errors} errors of accept in half a second");
    drop(flood);
    let pinged = client(folder.path(), &server, &["ping"]);
    assert!(pinged.status.success(), "{}", said(&pinged));
    Ok(())
}

#[test]
fn a_full_disk_is_reported_and_loses_nothing_that_was_acknowledged() -> TestResult {
    let folder = tempfile::tempdir()?;
    let free = start(folder.path())?;
    client(folder.path(), &free, &["register", "alice"]);
    assert!(send(folder.path(), &free, "bob", "before").status.success());
    free.kill()?;
    // No file may grow over 1 MiB (2,048 blocks of 512 bytes, or 1,024 of 1 KiB).
    let tight = start_limited(folder.path(), "-f 1024")?;
    let stored = fill(folder.path(), &tight, &"x".repeat(7000))?;
    // What it could not send is kept, and is still refused.
    let refused = said(&send(folder.path(), &tight, "bob", "after"));
    assert!(refused.contains("the server has a problem"), "{refused}");
    // Whether it is registered, nobody knows: the only copy of its key stays.
    let registered = client(folder.path(), &tight, &["register", "dora"]);
    assert!(said(&registered).contains("may be registered or not"), "{}", said(&registered));
    assert!(clients_file(folder.path(), "dora", "account.json").exists());
    drop(tight);
    let free = start(folder.path())?;
    let read = said(&client(folder.path(), &free, &["--as", "bob", "read"]));
    assert!(read.contains("letter 1 from alice: before"), "{read}");
    let letters = read.lines().filter(|line| line.starts_with("bob: letter ")).count();
    assert_eq!(letters, 1 + stored, "each that was acknowledged, once");
    assert!(!read.contains("WARNING"), "{read}");
    Ok(())
}

#[test]
fn a_folder_or_a_database_that_others_can_change_is_refused_with_what_to_do() -> TestResult {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("mailbox.redb");
    std::fs::write(&database, "")?;
    for (folders, files, says) in
        [(0o777, 0o600, "run `chmod 700` on it"), (0o700, 0o666, "run `chmod 600` on it")]
    {
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(folders))?;
        std::fs::set_permissions(&database, PermissionsExt::from_mode(files))?;
        let refused = Command::new(SERVER)
            .args(["--listen", "127.0.0.1:0", "--log", "off", "--data"])
            .arg(folder.path())
            .output()?;
        let text = said(&refused);
        assert_eq!(refused.status.code(), Some(1), "{text}");
        let path = folder.path().display().to_string();
        assert!(text.contains(says) && text.contains(&path), "{text}");
    }
    Ok(())
}

#[test]
fn a_second_server_on_the_same_files_is_refused() -> TestResult {
    let folder = tempfile::tempdir()?;
    let first = start(folder.path())?;
    let second = Command::new(SERVER)
        .args(["--listen", "127.0.0.1:0", "--log", "off", "--data"])
        .arg(folder.path())
        .output()?;
    assert_eq!(second.status.code(), Some(1));
    assert!(said(&second).contains("does another server run on this folder?"), "{}", said(&second));
    signal(&first, "-HUP")?;
    let pinged = client(folder.path(), &first, &["ping"]);
    assert!(pinged.status.success(), "the first one is not disturbed: {}", said(&pinged));
    Ok(())
}

#[test]
fn the_log_is_json_with_ids_and_without_secrets() -> TestResult {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let mut command = Command::new(SERVER);
    command.stderr(std::fs::File::create(&log)?);
    let server = ServerProcess::start_command(command, folder.path(), &["--log", "json"])?;
    client(folder.path(), &server, &["register", "alice"]);
    send(folder.path(), &server, "bob", "an unmistakable text");
    send(folder.path(), &server, "nobody", "hello");
    // What waits to be logged is written before it ends.
    signal(&server, "-TERM")?;
    assert_eq!(server.wait()?.code(), Some(0));
    let log = std::fs::read_to_string(log)?;
    let mut requests = 0;
    let mut refused = 0;
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line)?;
        if line["fields"]["request"].is_string() {
            requests += 1;
            refused += usize::from(line["fields"]["why"] == "no such account");
            assert_eq!(line["span"]["id"].as_str().map(str::len), Some(16), "{line}");
        }
    }
    assert!(requests > 5 && refused == 1, "{requests} requests, {refused} refused");
    let account =
        std::fs::read_to_string(folder.path().join("clients/account-alice/account.json"))?;
    let account: serde_json::Value = serde_json::from_str(&account)?;
    for secret in ["an unmistakable text", account["password"].as_str().ok_or("a text")?] {
        assert!(!log.contains(secret), "{secret}");
    }
    Ok(())
}

#[test]
fn wrong_words_are_refused_with_what_was_expected() -> TestResult {
    let folder = tempfile::tempdir()?;
    let data = folder.path().display().to_string();
    for (program, arguments, code, says) in [
        (SERVER, vec!["--check"], 1, "there is no database"),
        (SERVER, vec!["--port", "1"], 2, "unexpected argument"),
        (SERVER, vec!["--listen", "here"], 2, "invalid"),
        (SERVER, vec!["--chain", "x.pem"], 2, "--key"),
        (SERVER, vec!["--operator", "Olga"], 2, "a-z, 0-9"),
        (SERVER, vec!["--chain", "/no.pem", "--key", "/no.key"], 1, "/no.pem"),
        (SERVER, vec!["--listen", "192.0.2.1:1"], 1, "192.0.2.1:1"),
        (CLIENT, vec![], 2, "subcommand"),
        (CLIENT, vec!["send", "bob"], 1, "no CA to trust"),
        (CLIENT, vec!["send", "bob", "hello"], 2, "can be read by everybody"),
        (CLIENT, vec!["send", "Bob"], 2, "a-z, 0-9"),
        (CLIENT, vec!["--server", "localhost", "ping"], 2, "expected a host and a port"),
        (CLIENT, vec!["--server", "::1:7443", "ping"], 2, "expected a host and a port"),
        (CLIENT, vec!["--name", "mailbox.test.", "ping"], 2, "expected the name of a server"),
        (SERVER, vec!["--name", "mailbox.test."], 2, "expected the name of a server"),
        (SERVER, vec!["--name", "*.test"], 2, "expected the name of a server"),
        (CLIENT, vec!["--version"], 0, env!("CARGO_PKG_VERSION")),
        (SERVER, vec!["--version"], 0, env!("CARGO_PKG_VERSION")),
        (CLIENT, vec!["--ca", "/no.pem", "ping"], 1, "/no.pem"),
        (CLIENT, vec!["--help"], 0, "mailbox register alice"),
        (SERVER, vec!["--help"], 0, "Exit codes"),
    ] {
        let output = Command::new(program).env("MAILBOX_DATA", &data).args(&arguments).output()?;
        let text = said(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(says), "{arguments:?}: {text}");
    }
    Ok(())
}

/// Sends `requests` that are refused, and so logged; how many were answered.
fn refused_requests(
    data: &Path,
    server: &ServerProcess,
    requests: u32,
) -> Result<u32, Box<dyn Error>> {
    let endpoint = endpoint(data, server)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let mut client = Client::new(endpoint);
        let mut answered = 0;
        for _ in 0..requests {
            let fetch = Request::Fetch { token: Secret::new("none"), after: 0 };
            let answer = tokio::time::timeout(Duration::from_secs(10), client.call(&fetch)).await;
            if !matches!(answer, Ok(Err(ClientError::Refused { .. }))) {
                break;
            }
            answered += 1;
        }
        Ok(answered)
    })
}

/// The server with this as its standard error, and a log that is not off.
fn start_logging_to(
    data: &Path,
    errors: impl Into<std::process::Stdio>,
) -> Result<ServerProcess, Box<dyn Error>> {
    let mut command = Command::new(SERVER);
    command.stderr(errors);
    Ok(ServerProcess::start_command(command, data, &["--log", "json"])?)
}

/// A Linux pipe holds 64 KiB, and there is `/dev/full`.
#[cfg(target_os = "linux")]
#[test]
fn a_log_that_cannot_be_written_or_is_not_read_costs_no_request_and_no_signal() -> TestResult {
    // Full, and read by nobody: the first line has to wait.
    let (stalled, mut full) = std::io::pipe()?;
    full.write_all(&[b'.'; 64 * 1024])?;
    let (reader, closed) = std::io::pipe()?;
    drop(reader);
    let cases: [(&str, std::process::Stdio); 3] = [
        ("a stalled reader", full.into()),
        ("a closed pipe", closed.into()),
        ("a full disk", std::fs::File::options().write(true).open("/dev/full")?.into()),
    ];
    for (case, errors) in cases {
        let folder = tempfile::tempdir()?;
        let server = start_logging_to(folder.path(), errors)?;
        let registered = client(folder.path(), &server, &["register", "alice"]);
        assert!(registered.status.success(), "{case}: {}", said(&registered));
        assert_eq!(refused_requests(folder.path(), &server, 100)?, 100, "{case}");
        signal(&server, "-HUP")?;
        assert_eq!(refused_requests(folder.path(), &server, 10)?, 10, "{case}, after a reload");
        signal(&server, "-TERM")?;
        assert_eq!(server.wait()?.code(), Some(0), "{case}");
    }
    drop(stalled);
    Ok(())
}

#[test]
fn strangers_do_not_choose_how_much_is_logged() -> TestResult {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let server = start_logging_to(folder.path(), std::fs::File::create(&log)?)?;
    let started = Instant::now();
    assert_eq!(refused_requests(folder.path(), &server, 500)?, 500);
    let seconds = started.elapsed().as_secs() + 2;
    signal(&server, "-TERM")?;
    assert_eq!(server.wait()?.code(), Some(0));
    let lines = std::fs::read_to_string(&log)?.lines().count() as u64;
    // Two for each request would be 1,000.
    assert!(lines > 0 && lines <= 10 * seconds + 20, "{lines} lines in {seconds} seconds");
    Ok(())
}

/// Pings cost no line; what accounts ask for has a budget of its own.
#[test]
fn neither_do_clients_who_are_carried_out() -> TestResult {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let server = start_logging_to(folder.path(), std::fs::File::create(&log)?)?;
    client(folder.path(), &server, &["register", "alice"]);
    let account = Account::load(&folder.path().join("clients/account-alice"))?;
    let roots = Roots::from_pem_file(folder.path().join("ca.pem"))?;
    let name = ServerName::try_from(LAB_NAME)?;
    let endpoint = Endpoint::new(server.address(), name, roots.to_store())?;
    let lines = |request: &str| -> Result<u64, Box<dyn Error>> {
        let text = std::fs::read_to_string(&log)?;
        let of = |line: &&str| line.contains(&format!("\"request\":\"{request}\""));
        Ok(text.lines().filter(of).count() as u64)
    };
    let started = Instant::now();
    tokio::runtime::Runtime::new()?.block_on(async {
        let (name, password) = (account.name().clone(), account.password());
        let mut client = Client::with_login(endpoint, name.clone(), password);
        for _ in 0..500 {
            client.call(&Request::Ping {}).await?;
            client.call_with_token(|token| Request::Key { token, name: name.clone() }).await?;
        }
        client.close().await;
        Ok::<_, Box<dyn Error>>(())
    })?;
    let seconds = started.elapsed().as_secs() + 2;
    signal(&server, "-TERM")?;
    assert_eq!(server.wait()?.code(), Some(0));
    assert_eq!(lines("ping")?, 0);
    let keys = lines("key")?;
    assert!(keys > 0 && keys <= 100 * seconds, "{keys} lines in {seconds} seconds");
    // On a machine that is fast enough to tell.
    if seconds < 5 {
        assert!(keys < 500, "{keys} lines in {seconds} seconds");
    }
    Ok(())
}

#[test]
fn it_hears_ctrl_c_in_a_storm_of_hangups() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    for _ in 0..50 {
        signal(&server, "-HUP")?;
    }
    signal(&server, "-INT")?;
    assert_eq!(server.wait()?.code(), Some(0));
    Ok(())
}

#[test]
fn one_bad_folder_and_strange_entries_do_not_keep_the_others_from_reading() -> TestResult {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    for name in ["alice", "carol", "current", "lock", "con"] {
        let registered = client(folder.path(), &server, &["register", name]);
        assert!(registered.status.success(), "{name}: {}", said(&registered));
    }
    let clients = folder.path().join("clients");
    std::fs::create_dir(clients.join("notes"))?;
    std::fs::create_dir(clients.join("account-Notes"))?;
    std::fs::write(clients.join(".DS_Store"), "")?;
    std::fs::write(clients.join("account-file"), "")?;
    let file = clients.join("account-alice/account.json");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644))?;
    let read = client(folder.path(), &server, &["read"]);
    assert_eq!(read.status.code(), Some(1));
    let (out, errors) = (String::from_utf8(read.stdout)?, String::from_utf8(read.stderr)?);
    for name in ["bob", "carol", "con", "current", "lock"] {
        assert!(out.contains(&format!("{name}: nothing new\n")), "{out}");
    }
    assert!(errors.contains("alice: ") && errors.contains("chmod 600"), "{errors}");
    assert!(!out.contains("alice"), "what went wrong is on standard error: {out}");
    Ok(())
}

#[test]
fn the_accounts_of_a_machine_are_listed_changed_and_deleted() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let run = |arguments: &[&str]| said(&client(folder.path(), &server, arguments));
    run(&["register", "alice"]);
    let second = run(&["register", "carol"]);
    assert!(second.contains("carol sends from now on; alice does with --as alice"), "{second}");
    let listed = run(&["accounts"]);
    assert!(listed.contains("alice: ") && listed.contains("carol, sends: "), "{listed}");
    // Before and after the command.
    for arguments in
        [["--as", "alice", "fingerprint", "alice"], ["fingerprint", "alice", "--as", "alice"]]
    {
        assert!(run(&arguments).starts_with("alice: "), "{arguments:?}");
    }
    let account = clients_file(folder.path(), "alice", "account.json");
    let (before, print) = (std::fs::read_to_string(&account)?, run(&["fingerprint", "alice"]));
    assert!(run(&["--as", "alice", "new-password"]).contains("Another password."));
    assert!(run(&["--as", "alice", "new-key"]).contains("Another key."));
    assert!(run(&["--as", "alice", "end-logins"]).contains("own among them: 1."));
    assert_ne!(std::fs::read_to_string(&account)?, before);
    assert_ne!(run(&["--as", "alice", "fingerprint", "alice"]), print);
    assert!(run(&["--as", "alice", "read"]).contains("alice: nothing new"));
    std::fs::remove_file(clients_file(folder.path(), "alice", "state.json"))?;
    assert!(run(&["--as", "alice", "read"]).contains("mailbox --as alice start-over"));
    assert!(run(&["--as", "alice", "start-over"]).contains("alice starts over"));
    assert!(run(&["--as", "alice", "start-over"]).contains("nothing was changed"));
    assert!(run(&["--as", "alice", "read"]).contains("alice: nothing new"));
    // Where nobody can be asked, it has to be said. Another name in --as is no answer.
    assert!(run(&["delete", "carol"]).contains("nothing was deleted: add --yes"));
    let two = run(&["--as", "alice", "delete", "carol", "--yes"]);
    assert!(two.contains("delete carol, or delete --as alice?"), "{two}");
    assert!(run(&["read"]).contains("carol: nothing new"));
    assert!(run(&["delete", "carol", "--yes"]).contains("carol is deleted"));
    assert!(!run(&["accounts"]).contains("carol"));
    assert!(run(&["fingerprint", "bob"]).contains("no account yet"));
    assert!(run(&["sender", "carol"]).contains("carol has no account in"));
    assert!(run(&["sender", "alice"]).contains("alice sends from now on"));
    assert!(run(&["fingerprint", "alice"]).starts_with("alice: "));
    let again = run(&["register", "carol"]);
    assert!(again.contains("carol has an account"), "{again}");
    Ok(())
}

/// What nobody can see isn't taken from the server. On Windows a closed standard output is an error of the write.
#[cfg(unix)]
#[test]
fn letters_that_cannot_be_shown_stay_on_the_server() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let run = |arguments: &[&str]| said(&client(folder.path(), &server, arguments));
    run(&["register", "alice"]);
    client_reading(folder.path(), &server, &["send", "bob"], "the only copy");
    for (nowhere, expected) in [
        (">&-", "standard output is closed, so nobody would see the letters"),
        (">/dev/full", "No space left on device"),
    ] {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("exec \"$0\" \"$@\" {nowhere}")).arg(CLIENT);
        shell.arg("--data").arg(folder.path()).args(["--server", &server.address().to_string()]);
        shell.args(["--as", "bob", "read"]);
        let refused = run_reading(shell, "");
        assert_eq!(refused.status.code(), Some(1), "{nowhere}");
        assert!(said(&refused).contains(expected), "{nowhere}: {}", said(&refused));
    }
    let read = run(&["--as", "bob", "read"]);
    assert!(read.contains("letter 1 from alice: the only copy"), "{read}");
    Ok(())
}

#[test]
fn without_a_server_each_change_says_what_was_kept() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let run = |arguments: &[&str]| said(&client(folder.path(), &server, arguments));
    run(&["register", "alice"]);
    send(folder.path(), &server, "bob", "hello");
    let at = server.address();
    signal(&server, "-TERM")?;
    server.wait()?;
    let run = |arguments: &[&str]| {
        let mut command = Command::new(CLIENT);
        command.arg("--data").arg(folder.path()).args(["--server", &at.to_string()]);
        command.args(arguments);
        said(&run_reading(command, ""))
    };
    for (arguments, kept) in [
        (&["end-logins"][..], "no login was ended"),
        (&["delete", "alice", "--yes"], "alice was not deleted, neither on the server nor here"),
        (&["new-key"], "the key has not changed"),
        (&["new-password"], "the password has not changed"),
        // Written down before it was asked for, so it has to be found out first.
        (&["delete", "alice", "--yes"], "an earlier change of the password or the key"),
    ] {
        let text = run(arguments);
        assert!(text.contains(kept) && text.contains("no connection"), "{text}");
    }
    // What asks no server needs no CA.
    std::fs::remove_file(folder.path().join("ca.pem"))?;
    assert!(run(&["accounts"]).contains("alice, sends: "));
    assert!(run(&["sender", "bob"]).contains("bob sends from now on"));
    assert!(run(&["read"]).contains("no CA to trust"));
    Ok(())
}

#[test]
fn a_new_key_loses_no_letter_unless_it_is_told_to() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let run = |arguments: &[&str]| said(&client(folder.path(), &server, arguments));
    run(&["register", "alice"]);
    send(folder.path(), &server, "bob", "one");
    // Bob's key is another one now: what alice writes waits, and what he writes is left on the server.
    run(&["--as", "bob", "read"]);
    client_reading(folder.path(), &server, &["--as", "bob", "send", "alice"], "one");
    run(&["--as", "alice", "read"]);
    assert!(run(&["--as", "bob", "new-key"]).contains("Another key."));
    let waits =
        said(&client_reading(folder.path(), &server, &["--as", "alice", "send", "bob"], "two"));
    assert!(waits.contains("kept until you know which key is right"), "{waits}");
    client_reading(folder.path(), &server, &["--as", "bob", "send", "alice"], "two");
    run(&["register", "carol"]);
    client_reading(folder.path(), &server, &["--as", "carol", "send", "alice"], "from carol");

    let read = client(folder.path(), &server, &["--as", "alice", "read"]);
    let text = said(&read);
    assert_eq!(read.status.code(), Some(1), "{text}");
    assert!(text.contains("letter 1 from carol: from carol"), "{text}");
    assert!(
        text.contains("letters of bob stay on the server: THE KEY OF bob HAS CHANGED"),
        "{text}"
    );

    let print = run(&["--as", "alice", "fingerprint", "alice"]);
    let refused = run(&["--as", "alice", "new-key"]);
    assert!(
        refused.contains("alice still has the old key, because letters are not read"),
        "{refused}"
    );
    let how = "To change it and lose them: mailbox --as alice new-key --drop";
    assert!(refused.contains(how), "carol sends without --as: {refused}");
    assert_eq!(run(&["--as", "alice", "fingerprint", "alice"]), print);
    let dropped = run(&["--as", "alice", "new-key", "--drop"]);
    for expected in [
        "not read, and lost: letters of bob",
        "not sent, and lost: letters to bob (1)",
        "Another key.",
    ] {
        assert!(dropped.contains(expected), "{expected}: {dropped}");
    }
    Ok(())
}

#[test]
fn letters_that_had_waited_and_are_refused_are_named() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let run = |arguments: &[&str]| said(&client(folder.path(), &server, arguments));
    for name in ["dave", "alice"] {
        run(&["register", name]);
    }
    send(folder.path(), &server, "bob", "one");
    client_reading(folder.path(), &server, &["send", "dave"], "one");
    let mut nobody = Command::new(CLIENT);
    // Nobody listens there.
    nobody.arg("--data").arg(folder.path()).args(["--server", "127.0.0.1:9", "send", "dave"]);
    assert!(said(&run_reading(nobody, "two")).contains("It is kept"));
    assert!(run(&["delete", "dave", "--yes"]).contains("dave is deleted"));
    let sent = client_reading(folder.path(), &server, &["--as", "alice", "send", "bob"], "two");
    let text = said(&sent);
    assert_eq!(sent.status.code(), Some(1), "{text}");
    assert!(text.contains("Stored for bob"), "{text}");
    let gone = "the server will never accept a waiting letter to dave, so it was deleted: the server refused: \
                no account of that name";
    assert!(text.contains(gone), "{text}");
    Ok(())
}

#[test]
fn a_registration_that_was_not_finished_is_named_with_the_way_out() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let run = |arguments: &[&str]| said(&client(folder.path(), &server, arguments));
    // As it is after a kill between the first file and the request.
    let account = folder.path().join("clients/account-dora");
    Account::create(&account, Name::new("dora")?, Secret::new("a password of some length"))?;
    let read = run(&["read"]);
    assert!(read.contains("was not finished: mailbox register dora"), "{read}");
    assert!(run(&["register", "dora"]).contains("dora has an account"));
    assert!(run(&["--as", "dora", "read"]).contains("dora: nothing new"));
    Ok(())
}

#[test]
fn a_sender_that_is_lost_is_named_with_the_way_out_and_before_anybody_types() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let run = |arguments: &[&str]| said(&client(folder.path(), &server, arguments));
    run(&["register", "alice"]);
    std::fs::remove_dir_all(folder.path().join("clients/account-alice"))?;
    let text = run(&["send", "bob"]);
    assert!(text.contains("alice, who sends without --as") && text.contains("mailbox sender NAME"));
    assert!(!text.contains("expected a text"), "{text}");
    Ok(())
}

#[test]
fn a_first_letter_is_shown_with_the_key_that_it_pins() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let run = |arguments: &[&str]| said(&client(folder.path(), &server, arguments));
    let alice = run(&["register", "alice"]);
    let print = alice.lines().find_map(|line| line.strip_prefix("Fingerprint: ")).ok_or("none")?;
    send(folder.path(), &server, "bob", "hello");
    let read = run(&["--as", "bob", "read"]);
    let pinned =
        format!("bob: first letter from alice, whose key is pinned now; compare it: {print}");
    assert!(read.contains(&pinned), "{read}");
    send(folder.path(), &server, "bob", "hello again");
    assert!(!run(&["--as", "bob", "read"]).contains("pinned"));
    Ok(())
}

fn clients_file(data: &Path, name: &str, file: &str) -> std::path::PathBuf {
    data.join(format!("clients/account-{name}")).join(file)
}

#[test]
fn accounts_of_an_earlier_version_are_found() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    client(folder.path(), &server, &["register", "alice"]);
    let clients = folder.path().join("clients");
    std::fs::rename(clients.join("account-alice"), clients.join("alice"))?;
    let read = said(&client(folder.path(), &server, &["read"]));
    assert!(read.contains("alice: nothing new"), "{read}");
    Ok(())
}

#[test]
fn a_host_name_leads_to_the_server_and_the_certificate_decides() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let at = format!("localhost:{}", server.address().port());
    let ping = |more: &[&str]| {
        let mut command = Command::new(CLIENT);
        command.arg("--data").arg(folder.path()).args(["--server", &at]).args(more).arg("ping");
        run_reading(command, "")
    };
    assert!(ping(&[]).status.success(), "{}", said(&ping(&[])));
    let other = ping(&["--name", "photos.test"]);
    assert!(said(&other).contains("not valid for name \"photos.test\""), "{}", said(&other));
    Ok(())
}

#[test]
fn the_status_is_for_people_and_as_json() -> TestResult {
    let folder = tempfile::tempdir()?;
    let first = start(folder.path())?;
    client(folder.path(), &first, &["register", "olga"]);
    send(folder.path(), &first, "bob", "hello");
    signal(&first, "-TERM")?;
    assert_eq!(first.wait()?.code(), Some(0));
    let command = Command::new(SERVER);
    let server = ServerProcess::start_command(command, folder.path(), &["--operator", "olga"])?;
    let people = said(&client(folder.path(), &server, &["status"]));
    for says in ["Running for            0 days, 0 h, 0 min", "0; in mailboxes now: 1", " UTC\n"] {
        assert!(people.contains(says), "{says}: {people}");
    }
    let json = said(&client(folder.path(), &server, &["status", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json)?;
    let page = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../book/src/protocol.md"
    ))?;
    for (counter, value) in json.as_object().ok_or("an object")? {
        assert!(value.is_u64(), "{counter}");
        assert!(page.contains(&format!("`{counter}`")), "{counter} is not on the protocol page");
    }
    assert_eq!((&json["waiting"], &json["lines_lost"]), (&1.into(), &0.into()));
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
    assert!(json["certificate_expires"].as_u64().is_some_and(|at| at > now), "{json}");
    let refused = Command::new(SERVER)
        .args(["--listen", "127.0.0.1:0", "--log", "off", "--operator", "nobody", "--data"])
        .arg(folder.path().join("elsewhere"))
        .output()?;
    assert!(said(&refused).contains("anybody could register that name"), "{}", said(&refused));
    Ok(())
}

/// As the chapter does it by hand.
#[test]
fn a_second_certificate_of_the_labs_ca_is_taken_and_named_in_the_log() -> TestResult {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let server = start_logging_to(folder.path(), std::fs::File::create(&log)?)?;
    let new =
        Command::new(SERVER).arg("--data").arg(folder.path()).arg("--new-certificate").output()?;
    let text = said(&new);
    let serial = text.split(' ').nth(2).ok_or("a serial number")?.trim_end_matches(',').to_owned();
    // A broken file of keys is said, and doesn't keep the certificate from being replaced.
    careful_files::replace(&folder.path().join("signing-keys.json"), b"something else")?;
    signal(&server, "-HUP")?;
    let deadline = Instant::now() + Duration::from_secs(10);
    let logged = loop {
        let logged = std::fs::read_to_string(&log)?;
        if logged.contains("another certificate") && logged.contains("were not replaced") {
            break logged;
        }
        assert!(Instant::now() < deadline, "{logged}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(logged.contains(&serial), "{serial}: {logged}");
    assert!(client(folder.path(), &server, &["ping"]).status.success(), "by the same ca.pem");
    // The same again changes nothing; one for another name is refused.
    Command::new(SERVER)
        .args(["--name", "photos.test", "--new-certificate", "--data"])
        .arg(folder.path())
        .output()?;
    signal(&server, "-HUP")?;
    while !std::fs::read_to_string(&log)?.contains("not for mailbox.test") {
        assert!(Instant::now() < deadline, "{}", std::fs::read_to_string(&log)?);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(client(folder.path(), &server, &["ping"]).status.success());
    Ok(())
}

#[test]
fn the_check_of_a_database_ends_with_what_it_found() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    client(folder.path(), &server, &["register", "alice"]);
    send(folder.path(), &server, "bob", "hello");
    let run = || Command::new(SERVER).arg("--data").arg(folder.path()).arg("--check").output();
    assert!(said(&run()?).contains("is in use"));
    server.kill()?;
    let good = run()?;
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    assert!(said(&good).starts_with("2 accounts, 1 letters of "), "{}", said(&good));
    let database = folder.path().join("mailbox.redb");
    let whole = std::fs::read(&database)?;
    for length in [0, 4096] {
        careful_files::replace(&database, &whole[..length])?;
        for arguments in [["--check", "--log", "off"], ["--listen", "127.0.0.1:0", "--log=off"]] {
            let output =
                Command::new(SERVER).arg("--data").arg(folder.path()).args(arguments).output()?;
            let text = said(&output);
            assert_eq!(output.status.code(), Some(1), "{text}");
            assert!(
                text.contains("restore it from a copy") && !text.contains("panicked"),
                "{text}"
            );
        }
    }
    Ok(())
}

/// Refuses what some network drives, FUSE and Windows drives under WSL refuse, or says a wrong time, in a library
/// that is loaded before the system's own.
#[cfg(target_os = "linux")]
fn drive_without(folder: &Path, what: &str) -> Result<std::path::PathBuf, Box<dyn Error>> {
    let source = match what {
        "folder sync" => {
            "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <errno.h>\n#include <sys/stat.h>\n\
             int fsync(int file) { struct stat is; if (!fstat(file, &is) && S_ISDIR(is.st_mode)) \
             { errno = EINVAL; return -1; } return ((int (*)(int))dlsym(RTLD_NEXT, \"fsync\"))(file); }"
        }
        "the right time" => {
            "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <time.h>\n\
             int clock_gettime(clockid_t clock, struct timespec *now) { int done = \
             ((int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, \"clock_gettime\"))(clock, now); \
             if (clock == CLOCK_REALTIME) now->tv_sec = 100; return done; }"
        }
        _ => {
            "#include <errno.h>\nint flock(int file, int how) { (void)file; (void)how; errno = ENOTSUP; \
             return -1; }"
        }
    };
    let (text, library) =
        (folder.join("drive.c"), folder.join(format!("{}.so", what.replace(' ', "-"))));
    std::fs::write(&text, source)?;
    let mut compiler = Command::new("cc");
    let built = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&text).arg("-ldl");
    assert!(built.status()?.success());
    Ok(library)
}

#[cfg(target_os = "linux")]
#[test]
fn a_drive_that_cannot_sync_folders_or_has_no_locks_is_used_with_a_warning() -> TestResult {
    let tools = tempfile::tempdir()?;
    for (what, warning) in
        [("folder sync", "can't sync folders"), ("locks", "this file system has no locks")]
    {
        let folder = tempfile::tempdir()?;
        let library = drive_without(tools.path(), what)?;
        let preloaded = |program| {
            let mut command = Command::new(program);
            command.env("LD_PRELOAD", &library);
            command
        };
        let server = ServerProcess::start_command(preloaded(SERVER), folder.path(), &[])?;
        let client = |arguments: &[&str], text: &str| {
            let mut command = preloaded(CLIENT);
            command
                .arg("--data")
                .arg(folder.path())
                .args(["--server", &server.address().to_string()])
                .args(arguments);
            run_reading(command, text)
        };
        assert!(client(&["register", "alice"], "").status.success(), "{what}");
        let sent = client(&["send", "bob", "-"], "hello");
        assert!(sent.status.success() && said(&sent).contains(warning), "{what}: {}", said(&sent));
        assert!(said(&client(&["read"], "")).contains("letter 1 from alice: hello"), "{what}");
        let rotated =
            preloaded(SERVER).arg("--data").arg(folder.path()).arg("--new-signing-key").output()?;
        assert_eq!(rotated.status.code(), Some(0), "{what}: {}", said(&rotated));
        if what == "folder sync" {
            assert!(said(&rotated).contains("Do not add a key again"), "{}", said(&rotated));
        }
    }
    Ok(())
}

#[test]
fn a_second_program_of_a_folder_waits_and_says_so() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    client(folder.path(), &server, &["register", "alice"]);
    let lock = std::fs::File::create(folder.path().join("clients/lock"))?;
    lock.lock()?;
    let mut command = Command::new(CLIENT);
    command.arg("--data").arg(folder.path()).args([
        "--server",
        &server.address().to_string(),
        "read",
    ]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut said = [0; 11];
    child.stderr.as_mut().ok_or("standard error")?.read_exact(&mut said)?;
    assert_eq!(&said, b"Waiting for");
    lock.unlock()?;
    assert!(child.wait()?.success());
    Ok(())
}

/// As on a small computer without a battery, before it has asked a time server.
#[cfg(target_os = "linux")]
#[test]
fn a_clock_at_1970_is_named_before_anything_else_goes_wrong() -> TestResult {
    let tools = tempfile::tempdir()?;
    let library = drive_without(tools.path(), "the right time")?;
    let data = tools.path().join("data");
    for (program, arguments) in [
        (env!("CARGO_BIN_EXE_lesson-5"), vec!["deliver"]),
        (SERVER, vec!["--listen", "127.0.0.1:0"]),
        (CLIENT, vec!["ping"]),
    ] {
        let mut command = Command::new(program);
        command.env("LD_PRELOAD", &library).env("MAILBOX_DATA", &data).args(&arguments);
        let output = run_reading(command, "");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{program}: {text}");
        assert!(text.contains("0 days after 1 January 1970. Set your clock"), "{program}: {text}");
    }
    Ok(())
}

#[test]
fn a_file_that_became_a_pipe_keeps_no_signal_waiting() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let keys = folder.path().join("signing-keys.json");
    std::fs::remove_file(&keys)?;
    assert!(Command::new("mkfifo").arg(&keys).status()?.success());
    signal(&server, "-HUP")?;
    assert!(client(folder.path(), &server, &["ping"]).status.success());
    signal(&server, "-TERM")?;
    assert_eq!(server.wait()?.code(), Some(0));
    Ok(())
}

#[test]
fn a_key_that_is_not_the_labs_is_not_overwritten() -> TestResult {
    let folder = tempfile::tempdir()?;
    careful_files::replace(&folder.path().join("key.pem"), b"the only copy of somebody's key")?;
    for (arguments, says) in [
        (["--listen", "127.0.0.1:0", "--log=off"], "it is not of a lab"),
        (["--new-certificate", "--log", "off"], "there is no lab in"),
    ] {
        let refused =
            Command::new(SERVER).args(arguments).arg("--data").arg(folder.path()).output()?;
        assert!(said(&refused).contains(says), "{}", said(&refused));
        let key = std::fs::read(folder.path().join("key.pem"))?;
        assert_eq!(key, b"the only copy of somebody's key");
    }
    Ok(())
}

#[test]
fn a_refused_registration_takes_away_nothing_that_was_there() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    client(folder.path(), &server, &["register", "fred"]);
    let state = clients_file(folder.path(), "fred", "state.json");
    std::fs::remove_file(clients_file(folder.path(), "fred", "account.json"))?;
    let before = std::fs::read(&state)?;
    let refused = said(&client(folder.path(), &server, &["register", "fred"]));
    assert!(refused.contains("restore account.json from the copy"), "{refused}");
    assert_eq!(std::fs::read(&state)?, before);
    // A name that is somebody else's leaves other files of the folder alone.
    let note = clients_file(folder.path(), "bob", "note.txt");
    for file in ["account.json", "state.json"] {
        std::fs::remove_file(clients_file(folder.path(), "bob", file))?;
    }
    std::fs::write(&note, "mine")?;
    let refused = said(&client(folder.path(), &server, &["register", "bob"]));
    assert!(refused.contains("the name is in use"), "{refused}");
    assert!(note.exists() && !clients_file(folder.path(), "bob", "account.json").exists());
    Ok(())
}
