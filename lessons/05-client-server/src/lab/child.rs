//! The server as a process of its own, which can be killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, ensure};

/// How a lesson's own binary is told to be a server: its first argument.
pub const AS_SERVER: &str = "--as-mailbox-server";
/// The server starts within this time, or not at all.
const DEADLINE: Duration = Duration::from_secs(20);

/// A running `mailbox-server`. Dropping it kills it.
pub struct ServerProcess {
    child: Child,
    address: SocketAddr,
}

impl ServerProcess {
    /// Starts this program again, as a server on a port of the system's choice.
    pub fn start(data: &Path, more: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(AS_SERVER);
        Self::start_command(command, data, more)
    }

    /// The same of a given program.
    pub fn start_command(mut command: Command, data: &Path, more: &[&str]) -> anyhow::Result<Self> {
        command
            .env("MAILBOX_LOG", "off")
            .arg("--data")
            .arg(data)
            .args(["--listen", "127.0.0.1:0"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the server")?;
        let output = child.stdout.take().context("no output")?;
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        // A thread reads, so that a server that says nothing is given up.
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once(" listens on ") {
                    // The lesson may have given up.
                    let _ = tell.send(address.parse::<SocketAddr>().ok());
                }
            }
        });
        let address = told.recv_timeout(DEADLINE).ok().flatten();
        server.address = address.context("the server did not say where it listens")?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> anyhow::Result<std::process::ExitStatus> {
        let deadline = std::time::Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(std::time::Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it (on Unix with SIGKILL), without a chance to finish anything.
    pub fn kill(mut self) -> anyhow::Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "the server had ended by itself");
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
