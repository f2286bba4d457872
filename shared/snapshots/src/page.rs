//! A transcript in memory.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::Transcript;

/// A page that a [`Transcript`] is written on, to be read afterwards.
#[derive(Clone, Default)]
pub struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    /// An empty page and a transcript on it.
    pub fn with_transcript() -> (Self, Transcript) {
        let page = Self::default();
        (page.clone(), Transcript::to(page))
    }

    /// What is on it, without colors.
    pub fn text(&self) -> String {
        anstream::adapter::strip_str(&String::from_utf8_lossy(&self.lock())).to_string()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
