//! A service's own chain and key, whom it trusts, and TLS configurations for both ends.
//!
//! The mistakes this prevents: a server that asks for a certificate and takes "none" for an
//! answer; a revocation list that is years old and still believed; a configuration that is
//! changed and keeps its sessions, so that those who are refused from now on resume.

use std::path::Path;
use std::sync::Arc;

use careful_files::{FileError, ReplaceError};
use careful_tls::identity::{IdentityError, ServerIdentity};
use careful_tls::provider::crypto_provider;
use pem::{EncodeConfig, LineEnding, Pem};
use rustls::client::WebPkiServerVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use thiserror::Error;
use zeroize::Zeroizing;

/// A chain, leaf first, and the leaf's private key.
pub struct Credentials {
    /// The leaf, then the intermediates.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

impl Credentials {
    /// From two PEM files. On Unix the key's file must give no right to anybody but its owner.
    ///
    /// # Errors
    /// The file that cannot be used, and why.
    pub fn from_pem_files(chain: &Path, key: &Path) -> Result<Self, IdentityError> {
        let ServerIdentity { chain, key } = ServerIdentity::from_pem_files(chain, key)?;
        Ok(Self { chain, key })
    }
}

/// Why [`Credentials::stored`] has none to give.
#[derive(Debug, Error)]
pub enum StoredError {
    /// The file cannot be read, or somebody but its owner has a right to it (on Unix).
    #[error("the stored credentials cannot be read")]
    File(#[from] FileError),
    /// The file isn't what [`Credentials::store`] writes.
    #[error("the stored credentials are not a chain and a key in PEM")]
    Pem(#[from] rustls_pki_types::pem::Error),
}

/// The longest file of stored credentials, in bytes.
const LONGEST: u64 = 256 * 1024;

impl Credentials {
    // ANCHOR: store
    /// Writes chain and key into one PEM file that only its owner may read (on Unix), whole or not at
    /// all. Because it is one file, they always belong together, whenever the machine stops.
    ///
    /// # Errors
    /// See [`ReplaceError`].
    pub fn store(&self, path: &Path) -> Result<(), ReplaceError> {
        let label = match self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let key = Pem::new(label, self.key.secret_der());
        let chain = self.chain.iter().map(|leaf| Pem::new("CERTIFICATE", leaf.as_ref()));
        let blocks: Vec<Pem> = chain.chain([key]).collect();
        let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
        let text = Zeroizing::new(pem::encode_many_config(&blocks, config));
        careful_files::replace(path, text.as_bytes())
    }

    /// What [`store`](Self::store) wrote; none if there is no such file. Ask
    /// [`Facts::of`](crate::renew::Facts::of) whether it is still valid.
    ///
    /// # Errors
    /// See [`StoredError`].
    pub fn stored(path: &Path) -> Result<Option<Self>, StoredError> {
        let file = careful_files::read_private(path, LONGEST);
        let Some(text) = careful_files::if_there(file)? else { return Ok(None) };
        let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>()?;
        Ok(Some(Self { chain, key: PrivateKeyDer::from_pem_slice(&text)? }))
    }
    // ANCHOR_END: store
}

impl Clone for Credentials {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// Without the key.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}

/// Whose certificates count, and which of them were revoked.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The CAs of the other end. Those of clients and those of servers may be different. Each of
    /// them may issue any identity, so give the CAs of one trust domain and no others (X509-SVID
    /// section 5.2).
    pub roots: Arc<RootCertStore>,
    /// One revocation list for each CA of a chain, the root's included; or none at all, and then
    /// nothing is checked.
    pub lists: Vec<CertificateRevocationListDer<'static>>,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// No root, or a list that cannot be used.
    #[error("the trusted CAs or their revocation lists cannot be used")]
    Trust(#[from] VerifierBuilderError),
    /// The chain or the key.
    #[error("the service's own certificate or key cannot be used")]
    Own(#[from] rustls::Error),
}

// ANCHOR: server_config
/// A server that speaks one of these protocols over TLS 1.3, and only with a client that shows a
/// certificate of a trusted CA, for clients (RFC 5280 section 4.2.1.12), that is on no list. A list
/// past its date ends every full handshake.
///
/// Each configuration has a session store of its own. So nobody resumes a session of an earlier
/// one.
///
/// # Errors
/// See [`ConfigError`].
pub fn server_config(
    own: &Credentials,
    clients: &Trust,
    protocols: &[&[u8]],
) -> Result<Arc<ServerConfig>, ConfigError> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(clients.roots.clone(), crypto_provider());
    let verifier = match clients.lists.is_empty() {
        true => verifier,
        // Of the whole chain, and not past their date.
        false => verifier.with_crls(clients.lists.clone()).enforce_revocation_expiration(),
    };
    let mut config = ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier.build()?)
        .with_single_cert(own.chain.clone(), own.key.clone_key())?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}
// ANCHOR_END: server_config

/// A client that shows its own certificate, and trusts servers of these CAs alone.
///
/// In TLS 1.3 the server may refuse the certificate after the handshake is done for the client,
/// so a connection counts after the first answer.
///
/// # Errors
/// See [`ConfigError`].
pub fn client_config(
    own: &Credentials,
    servers: &Trust,
    protocols: &[&[u8]],
) -> Result<Arc<ClientConfig>, ConfigError> {
    let verifier =
        WebPkiServerVerifier::builder_with_provider(servers.roots.clone(), crypto_provider());
    let verifier = match servers.lists.is_empty() {
        true => verifier,
        false => verifier.with_crls(servers.lists.clone()).enforce_revocation_expiration(),
    };
    let mut config = ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&TLS13])?
        .with_webpki_verifier(verifier.build()?)
        .with_client_auth_cert(own.chain.clone(), own.key.clone_key())?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}
