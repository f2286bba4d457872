//! The server's log, kept in memory, at its most talkative level.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// The log of this process.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The one log of this process; it begins with the first call.
    pub fn of_this_process() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        let begin = || {
            let log = Log::default();
            let writer = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_target(false)
                .with_writer(log.clone());
            // If there is one already, this one stays empty, and the lesson says so.
            let _ = writer.try_init();
            log
        };
        LOG.get_or_init(begin).clone()
    }

    /// What it holds.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The requests in it: names and outcomes, without times.
    pub fn requests(&self) -> Vec<String> {
        let text = self.text();
        let lines = text.lines().filter_map(|line| {
            let (_, rest) = line.split_once("request=\"")?;
            let name = rest.split('"').next()?;
            let why = rest.split_once("why=\"").and_then(|(_, why)| why.split('"').next());
            Some(why.map_or_else(|| name.to_owned(), |why| format!("{name}, refused: {why}")))
        });
        lines.collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
