//! The bank, with its certificate and a renewed one, and servers that aren't the bank.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use peers::Peer;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use shared::{Identity, LabCa, crypto_provider};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use trial::Trial;

use crate::{ca, server, text};

#[cfg(test)]
#[path = "naive.rs"]
mod naive;
#[cfg(test)]
#[path = "solution.rs"]
mod solution;
#[cfg(test)]
#[path = "stub.rs"]
mod stub;

/// What the learner writes.
pub type Verifiers =
    fn(Arc<RootCertStore>, [u8; 32]) -> Result<Arc<dyn ServerCertVerifier>, String>;

/// The SHA-256 of the public key in a certificate: of its SubjectPublicKeyInfo, as in RFC 7469 section 2.4. None if it isn't a
/// certificate.
pub fn key_hash(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    digest(&SHA256, parsed.tbs_certificate.subject_pki.raw).as_ref().try_into().ok()
}

/// The bank's own certificate and key.
fn bank() -> &'static Identity {
    static BANK: OnceLock<Identity> = OnceLock::new();
    BANK.get_or_init(|| ca().leaf("bank.test").issue().expect("a certificate"))
}

fn client(verifiers: Verifiers) -> Result<Arc<ClientConfig>, String> {
    let pin = key_hash(&bank().leaf_der()).ok_or("the bank's key has no hash")?;
    let verifier = verifiers(ca().roots(), pin)?;
    let config = ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(text)?;
    #[expect(clippy::disallowed_methods, reason = "the exercise is to write a verifier")]
    let config = config.dangerous().with_custom_certificate_verifier(verifier);
    Ok(Arc::new(config.with_no_client_auth()))
}

/// The client shakes hands with this server, as with bank.test.
async fn shake(verifiers: Verifiers, server: ServerConfig) -> Result<(), String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(text)?;
    let address = listener.local_addr().map_err(text)?;
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await?;
        TlsAcceptor::from(Arc::new(server)).accept(tcp).await.map(drop)
    });
    let shaken = connect(verifiers, address.port()).await;
    serving.abort();
    shaken
}

async fn connect(verifiers: Verifiers, port: u16) -> Result<(), String> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.map_err(text)?;
    let name = ServerName::try_from("bank.test").map_err(text)?;
    let connected = TlsConnector::from(client(verifiers)?).connect(name, tcp).await;
    connected.map(drop).map_err(text)
}

/// The loot if the client believes a server that isn't the bank, or isn't any more.
async fn believed(verifiers: Verifiers, server: Result<ServerConfig, String>) -> Option<String> {
    match server {
        Ok(server) => {
            shake(verifiers, server).await.ok().map(|()| "It sends the payment there.".to_owned())
        }
        Err(error) => Some(format!("It can't be tried: {error}")),
    }
}

fn with<E: std::fmt::Display>(identity: Result<Identity, E>) -> Result<ServerConfig, String> {
    server(&identity.map_err(text)?)
}

/// Sends the bank's certificate, and signs with a key of its own.
#[derive(Debug)]
struct Borrowed(Arc<CertifiedKey>);

impl ResolvesServerCert for Borrowed {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

fn borrowed(version: &'static SupportedProtocolVersion) -> Result<ServerConfig, String> {
    let own = ca().leaf("mallory.test").issue().map_err(text)?;
    let key = crypto_provider().key_provider.load_private_key(own.key()).map_err(text)?;
    let config = ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[version])
        .map_err(text)?;
    let resolver = Borrowed(Arc::new(CertifiedKey::new(bank().chain(), key)));
    Ok(config.with_no_client_auth().with_cert_resolver(Arc::new(resolver)))
}

/// A certificate for the bank's name and Mallory's key, and the bank's own behind it.
fn bank_behind() -> Result<ServerConfig, String> {
    let own = ca().leaf("bank.test").issue().map_err(text)?;
    let chain = own.chain().into_iter().chain([bank().leaf_der()]).collect();
    let config = ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(text)?;
    config.with_no_client_auth().with_single_cert(chain, own.key()).map_err(text)
}

/// The trial.
pub async fn check(trial: &mut Trial, verifiers: Verifiers) {
    trial.honest("the bank", async move { shake(verifiers, server(bank())?).await }).await;
    trial
        .honest("the bank, with a renewed certificate for the same key", async move {
            let renewed = ca().leaf("bank.test").renewing(bank()).issue().map_err(text)?;
            shake(verifiers, server(&renewed)?).await
        })
        .await;
    if let Some(openssl) = Peer::openssl() {
        trial.honest("the bank in OpenSSL", foreign(openssl, verifiers)).await;
    }
    trial
        .attack(
            "a certificate for bank.test that the CA issued to Mallory",
            "Whose key is it?",
            async move { believed(verifiers, with(ca().leaf("bank.test").issue())).await },
        )
        .await;
    trial
        .attack(
            "the bank's certificate, from a server without its key",
            "A certificate is public. What proves who has the key?",
            async move { believed(verifiers, borrowed(&rustls::version::TLS13)).await },
        )
        .await;
    trial
        .attack(
            "the same over TLS 1.2, which the client speaks as well",
            "Which method is asked there?",
            async move { believed(verifiers, borrowed(&rustls::version::TLS12)).await },
        )
        .await;
    trial
        .attack(
            "Mallory's certificate, with the bank's behind it",
            "Whose certificate is the first, and what are the others good for?",
            async move { believed(verifiers, bank_behind()).await },
        )
        .await;
    trial
        .attack(
            "the bank's key in a certificate for another name",
            "For whom was the certificate issued?",
            async move {
                believed(verifiers, with(ca().leaf("test.bank").renewing(bank()).issue())).await
            },
        )
        .await;
    trial
        .attack(
            "the bank's key in a certificate that has expired",
            "Until when does the CA vouch for it?",
            async move {
                believed(verifiers, with(ca().leaf("bank.test").renewing(bank()).expired().issue()))
                    .await
            },
        )
        .await;
    trial
        .attack(
            "the bank's key in a certificate of another CA",
            "Who vouches for it?",
            async move {
                let other = LabCa::new("Stranger").map_err(text);
                let config =
                    other.and_then(|ca| with(ca.leaf("bank.test").renewing(bank()).issue()));
                believed(verifiers, config).await
            },
        )
        .await;
}

async fn foreign(openssl: Peer, verifiers: Verifiers) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(text)?;
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    bank().write_to(folder.path()).map_err(text)?;
    std::fs::write(file("intermediate.pem"), ca().intermediate_pem()).map_err(text)?;
    let (chain, key, above) = (file("chain.pem"), file("key.pem"), file("intermediate.pem"));
    let how = [
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-rev",
        "-cert",
        &chain,
        "-key",
        &key,
        "-cert_chain",
        &above,
    ];
    let serving = openssl.serve(how);
    connect(verifiers, serving.port).await
}

#[cfg(test)]
mod proof {
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified};
    use rustls::pki_types::UnixTime;
    use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

    use super::*;

    #[test]
    fn the_solution_fails_nothing() {
        assert_eq!(trial::failures(async |trial| check(trial, solution::verifier).await), [""; 0]);
    }

    #[test]
    fn the_naive_answer_believes_whatever_has_the_key_in_it() {
        let failed = trial::failures(async |trial| check(trial, naive::verifier).await);
        assert_eq!(
            failed,
            [
                "the bank's certificate, from a server without its key",
                "the same over TLS 1.2, which the client speaks as well",
                "the bank's key in a certificate for another name",
                "the bank's key in a certificate that has expired",
                "the bank's key in a certificate of another CA",
            ]
        );
    }

    /// The whole chain may have the pin.
    #[derive(Debug)]
    struct AnyOfThem(Arc<WebPkiServerVerifier>, [u8; 32]);

    impl ServerCertVerifier for AnyOfThem {
        fn verify_server_cert(
            &self,
            end_entity: &CertificateDer<'_>,
            intermediates: &[CertificateDer<'_>],
            server_name: &ServerName<'_>,
            ocsp_response: &[u8],
            now: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            let mut sent = intermediates.iter().chain([end_entity]);
            if !sent.any(|certificate| key_hash(certificate) == Some(self.1)) {
                return Err(CertificateError::ApplicationVerificationFailure.into());
            }
            self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.0.verify_tls12_signature(message, certificate, signature)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.0.verify_tls13_signature(message, certificate, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.supported_verify_schemes()
        }
    }

    fn any_of_them(
        roots: Arc<RootCertStore>,
        pin: [u8; 32],
    ) -> Result<Arc<dyn ServerCertVerifier>, String> {
        let inner = WebPkiServerVerifier::builder_with_provider(roots, crypto_provider()).build();
        Ok(Arc::new(AnyOfThem(inner.map_err(text)?, pin)))
    }

    #[test]
    fn a_pin_anywhere_in_the_chain_is_no_pin() {
        let failed = trial::failures(async |trial| check(trial, any_of_them).await);
        assert_eq!(failed, ["Mallory's certificate, with the bank's behind it"]);
    }

    #[test]
    fn the_stub_is_unfinished() {
        assert!(trial::is_unfinished(async |trial| check(trial, stub::verifier).await));
    }
}
