//! Foreign peers: other implementations, run where they are found.
//!
//! A plain `cargo test` needs none of them. A missing one is skipped, loudly; with
//! `REQUIRE_PEERS=1`, as in CI, it fails.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// No peer may take longer.
const DEADLINE: Duration = Duration::from_secs(30);

/// A foreign program that was found on this machine.
#[derive(Clone, Debug)]
pub struct Peer {
    program: String,
}

impl Peer {
    /// The first of `programs` that runs successfully with `check` as its arguments.
    ///
    /// None, after a line on standard error that says what to install, when there is
    /// none.
    ///
    /// # Panics
    /// When there is none and `REQUIRE_PEERS` is set.
    pub fn find(programs: &[&str], check: &[&str], install: &str) -> Option<Self> {
        // Once for each, since many tests ask for the same peer.
        type Asked = (Vec<String>, Vec<String>);
        static FOUND: Mutex<BTreeMap<Asked, Option<String>>> = Mutex::new(BTreeMap::new());
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        let found = found
            .entry((owned(programs), owned(check)))
            .or_insert_with(|| programs.iter().find_map(|program| first_that_runs(program, check)));
        if let Some(program) = found {
            return Some(Self { program: program.clone() });
        }
        let missing = format!(
            "no foreign peer: none of {programs:?} runs with {check:?}; to have it: {install}"
        );
        assert!(std::env::var_os("REQUIRE_PEERS").is_none(), "{missing}");
        // Not eprintln!, which the test harness keeps to itself.
        let _ = writeln!(io::stderr(), "SKIPPED, {missing}");
        None
    }

    /// OpenSSL's command line. LibreSSL, which macOS calls `openssl`, lacks options that
    /// the tests use.
    pub fn openssl() -> Option<Self> {
        let places = [
            "openssl",
            "/opt/homebrew/opt/openssl@3/bin/openssl",
            "/usr/local/opt/openssl@3/bin/openssl",
        ];
        Self::find(&places, &["s_client", "-help"], "apt install openssl, brew install openssl@3")
    }

    /// GnuTLS's command line.
    pub fn gnutls() -> Option<Self> {
        Self::find(&["gnutls-cli"], &["--version"], "apt install gnutls-bin, brew install gnutls")
    }

    /// curl.
    pub fn curl() -> Option<Self> {
        Self::find(
            &["curl"],
            &["--version"],
            "apt install curl, brew install curl, winget install curl",
        )
    }

    /// Node.js.
    pub fn node() -> Option<Self> {
        Self::find(&["node", "nodejs"], &["--version"], "apt install nodejs, brew install node")
    }

    /// Node.js 20 or later with npm's jose 6, in the folder that `PEER_JOSE` names.
    pub fn jose() -> Option<Self> {
        let check = "import(require('node:url').pathToFileURL(\
                     process.env.PEER_JOSE + '/dist/webapi/index.js')).catch(\
                     () => process.exit(1))";
        Self::find(
            &["node", "nodejs"],
            &["-e", check],
            "Node.js 20, npm install jose@6 in a folder; name its node_modules/jose in PEER_JOSE",
        )
    }

    /// Let's Encrypt's test server of ACME (RFC 8555), whose package has `pebble-challtestsrv`, too.
    pub fn pebble() -> Option<Self> {
        Self::find(
            &["pebble"],
            &["-help"],
            "apt install pebble; elsewhere with Go, from letsencrypt/pebble on GitHub",
        )
    }

    /// The DNS server of [`pebble`](Self::pebble)'s package: every name is 127.0.0.1.
    pub fn pebble_dns() -> Option<Self> {
        Self::find(&["pebble-challtestsrv"], &["-help"], "apt install pebble")
    }

    /// A Python 3 that can import `modules`; the one that `PEER_PYTHON` names comes
    /// first.
    pub fn python(modules: &str) -> Option<Self> {
        let named = std::env::var("PEER_PYTHON").unwrap_or_default();
        let programs: Vec<&str> = [named.as_str(), "python3", "python"]
            .into_iter()
            .filter(|name| !name.is_empty())
            .collect();
        let install = format!(
            "python3 with the modules {modules}, in a virtual environment; name it in PEER_PYTHON"
        );
        // Its own name for itself: `python3` may be a script that looks for it each time.
        let check = format!("import {modules}, sys; print('{ITSELF}' + sys.executable)");
        Self::find(&programs, &["-c", &check], &install)
    }

    /// A command of this peer, without input and without the proxies of the environment.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for proxy in
            ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"]
        {
            command.env_remove(proxy);
        }
        command
    }

    /// Starts a server, and waits until it says its port: the digits at the end of a line
    /// on standard output. Dropping it ends the server.
    ///
    /// # Panics
    /// When it cannot be started, or ends without naming a port.
    pub fn serve<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> ForeignServer {
        self.serve_by(self.command(arguments))
    }

    /// The same in this folder.
    ///
    /// # Panics
    /// As [`serve`](Self::serve).
    pub fn serve_in<S: AsRef<OsStr>>(
        &self,
        folder: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> ForeignServer {
        let mut command = self.command(arguments);
        command.current_dir(folder);
        self.serve_by(command)
    }

    /// Starts a server that doesn't name its port, and waits until this one accepts connections. It
    /// has nobody's output, so it never waits for a reader.
    ///
    /// # Panics
    /// When it cannot be started, or ends, or accepts nothing within 30 seconds.
    pub fn serve_at(&self, mut command: Command, port: u16) -> ForeignServer {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("the peer starts");
        let (mut server, started) = (ForeignServer { child, port }, Instant::now());
        loop {
            let accepted = TcpStream::connect(("127.0.0.1", port)).is_ok();
            // Also if somebody accepts: it may be another program, whose port this is.
            let ended = server.child.try_wait().expect("a child").is_some();
            let late = started.elapsed() > DEADLINE;
            assert!(!ended && !late, "{} doesn't listen: run it by hand to see why", self.program);
            if accepted {
                return server;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn serve_by(&self, mut command: Command) -> ForeignServer {
        // Its standard input stays open for as long as it shall run. Clients that refuse it
        // make it complain on standard error.
        let mut child =
            command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the peer starts");
        let output = BufReader::new(child.stdout.take().expect("standard output is piped"));
        // A thread reads, so that a peer that says nothing is given up.
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let named = |line: String| {
                let digits = line.trim_end().rsplit(|c: char| !c.is_ascii_digit()).next()?;
                digits.parse::<u16>().ok().filter(|&port| port > 1023)
            };
            let port = output.lines().map_while(Result::ok).find_map(named);
            // The test may have given up.
            let _ = tell.send(port);
        });
        let port = told.recv_timeout(DEADLINE).ok().flatten();
        let server = ForeignServer { child, port: port.unwrap_or(0) };
        assert_ne!(server.port, 0, "{} named no port: run it by hand to see why", self.program);
        server
    }

    /// Runs a command to its end, with this text as its input.
    ///
    /// # Panics
    /// When it cannot be started or does not end in 30 seconds.
    pub fn run_with_input<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &str,
    ) -> Finished {
        let mut command = self.command(arguments);
        let (reader, mut writer) = io::pipe().expect("a pipe for the input");
        command.stdin(reader);
        let input = input.to_owned();
        // A thread writes, so that a peer that reads nothing is given up, too.
        std::thread::spawn(move || {
            // A peer may end before it has read all of it.
            let _ = writer.write_all(input.as_bytes());
        });
        finish(command).unwrap_or_else(|error| panic!("{}: {error}", self.program))
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it cannot be started or does not end in 30 seconds.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Finished {
        finish(self.command(arguments)).unwrap_or_else(|error| panic!("{}: {error}", self.program))
    }
}

/// A lesson's own server, started with `--serve`: its process, and the lines that it prints for other tools.
pub struct Served {
    child: std::process::Child,
    lines: Vec<String>,
}

impl Served {
    /// Starts this program with `--serve` and these arguments.
    ///
    /// # Panics
    /// It does not start, or prints no lines.
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.arg("--serve").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the lesson starts");
        let output = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let mut printed = output.lines().map_while(Result::ok);
        printed.find(|line| line == "Look at it with:").expect("lines for other tools");
        let mut lines = Vec::new();
        // They come at once; the last one is for Python.
        for line in printed {
            lines.push(line.trim().to_owned());
            if line.contains("python") {
                break;
            }
        }
        Self { child, lines }
    }

    /// The line that begins with this program.
    pub fn line_of(&self, program: &str) -> &str {
        let line = self.lines.iter().find(|line| line.starts_with(program));
        line.unwrap_or_else(|| panic!("expected a line for {program}, got {:?}", self.lines))
    }

    /// Runs a printed line in a shell, as a reader does, with this input. `python3` is the given peer.
    #[cfg(unix)]
    pub fn run(&self, line: &str, python: &Peer, input: &str) -> Finished {
        let line = match line.strip_prefix("python3 ") {
            Some(rest) => format!("\"{}\" {rest}", python.program),
            None => line.to_owned(),
        };
        Peer { program: "sh".to_owned() }.run_with_input(["-c", &line], input)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a peer begins the line with in which it tells its own path.
const ITSELF: &str = "this peer is ";

/// The program, or the path that it tells as its own, if it runs successfully.
fn first_that_runs(program: &str, check: &[&str]) -> Option<String> {
    let run = Command::new(program).args(check).stdin(Stdio::null()).output().ok()?;
    let said = String::from_utf8_lossy(&run.stdout);
    let own = said.lines().find_map(|line| line.strip_prefix(ITSELF)).unwrap_or(program);
    run.status.success().then(|| own.to_owned())
}

/// Ports on 127.0.0.1 on which nobody listens, over TCP or UDP, for servers that can't choose one. They are below those
/// that systems give out, so that no other test gets one meanwhile.
///
/// # Errors
/// None is left.
pub fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    // Processes that run at once begin at different ones.
    let begin = std::process::id() * 100 + ASKED.fetch_add(N as u32, Ordering::Relaxed);
    // Each is held until all are found.
    let mut held = (0..10_000).filter_map(|step| {
        let port = (20_000 + (begin + step) % 10_000) as u16;
        let tcp = TcpListener::bind(("127.0.0.1", port)).ok()?;
        Some((port, tcp, UdpSocket::bind(("127.0.0.1", port)).ok()?))
    });
    let mut ports = [0; N];
    let mut kept = Vec::new();
    for port in &mut ports {
        let next = held.next().ok_or(io::ErrorKind::AddrInUse)?;
        *port = next.0;
        kept.push(next);
    }
    Ok(ports)
}

/// A foreign server on 127.0.0.1.
#[derive(Debug)]
pub struct ForeignServer {
    child: Child,
    /// Where it listens.
    pub port: u16,
}

impl Drop for ForeignServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a peer said and how it ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output and standard error, one after the other.
    pub said: String,
}

fn finish(mut command: Command) -> io::Result<Finished> {
    let mut child = command.spawn()?;
    let started = Instant::now();
    // A child is polled, since std has no wait with a deadline. Its output here is small,
    // less than a pipe holds.
    while child.try_wait()?.is_none() {
        if started.elapsed() > DEADLINE {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other(format!("not done after {} seconds", DEADLINE.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let Output { status, stdout, stderr } = child.wait_with_output()?;
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    Ok(Finished { code: status.code(), said })
}
