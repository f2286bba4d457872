//! Ends of a connection as they are found in the wild. Each leaves out one thing.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::server::StoresServerSessions;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest message, in bytes.
const MAX_MESSAGE: u64 = 4096;

// ANCHOR: any_end
/// INSECURE: takes any end of the connection for the end of the message.
pub async fn read_to_any_end(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut message = Vec::new();
    match stream.take(MAX_MESSAGE).read_to_end(&mut message).await {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(String::from_utf8_lossy(&message).into_owned()),
    }
}
// ANCHOR_END: any_end

// ANCHOR: forgetful
/// INSECURE: a session store that gives a ticket out as often as it is asked. A cache that several
/// machines share often does, because it reads without deleting.
#[derive(Debug, Default)]
pub struct NeverForgets(Mutex<Vec<(Vec<u8>, Vec<u8>)>>);

impl StoresServerSessions for NeverForgets {
    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        // Named take, because it must take: one ticket, one connection.
        self.get(key)
    }
    // ANCHOR_END: forgetful

    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.lock().push((key, value));
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let stored = self.lock();
        stored.iter().find(|(stored, _)| stored == key).map(|(_, value)| value.clone())
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl NeverForgets {
    /// For a server's configuration.
    pub fn shared() -> Arc<Self> {
        Arc::default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Vec<u8>, Vec<u8>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
