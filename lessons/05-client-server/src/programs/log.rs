//! The server's log on standard error, which never stops the server.
//!
//! The mistake this prevents: a log that can't be written (a full disk, a closed pipe) or that nobody reads
//! (a collector that hangs) ends the server, or blocks the threads that serve.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};

/// Lines that wait for a slow reader: some megabytes. More are dropped, and counted.
const WAITING_LINES: usize = 10_000;

/// The log. When it is dropped, what waits is written, if that takes no longer than a second.
pub struct Log {
    _worker: WorkerGuard,
    waited: ErrorCounter,
    failed: Arc<AtomicUsize>,
}

impl Log {
    /// A log of this form on standard error; none if it is off.
    pub fn to_stderr(form: &str) -> Option<Self> {
        let failed = Arc::<AtomicUsize>::default();
        let writer = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING_LINES);
        let (writer, worker) = writer.finish(BestEffort { failed: failed.clone() });
        let waited = writer.error_counter();
        let log = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_target(false)
            // It would report a failed write on standard error, which fails, too, and panics.
            .log_internal_errors(false)
            .with_writer(writer);
        // A second one in this process is refused, which only tests can do.
        let _ = match form {
            "json" => log.json().try_init(),
            "text" => log.try_init(),
            _ => return None,
        };
        Some(Self { _worker: worker, waited, failed })
    }

    /// Counts the lines that were dropped, because the log could not be written or too many waited.
    pub fn dropped(&self) -> impl Fn() -> usize + Send + use<> {
        let (waited, failed) = (self.waited.clone(), self.failed.clone());
        move || waited.dropped_lines() + failed.load(Ordering::Relaxed)
    }
}

/// Standard error. What can't be written is counted.
struct BestEffort {
    failed: Arc<AtomicUsize>,
}

impl Write for BestEffort {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if io::stderr().write_all(line).is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
