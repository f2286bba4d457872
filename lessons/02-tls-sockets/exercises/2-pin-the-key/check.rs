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

/// The pin of the bank's key.
fn pin() -> Result<[u8; 32], String> {
    key_hash(&bank().leaf_der()).ok_or_else(|| "the bank's key has no hash".to_owned())
}

fn client(verifiers: Verifiers, pin: [u8; 32]) -> Result<Arc<ClientConfig>, String> {
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
    shake_with(verifiers, pin()?, server).await
}

/// The same with a pin of its own.
async fn shake_with(
    verifiers: Verifiers,
    pin: [u8; 32],
    server: ServerConfig,
) -> Result<(), String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(text)?;
    let address = listener.local_addr().map_err(text)?;
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await?;
        TlsAcceptor::from(Arc::new(server)).accept(tcp).await.map(drop)
    });
    let shaken = connect(verifiers, pin, address.port()).await;
    serving.abort();
    shaken
}

async fn connect(verifiers: Verifiers, pin: [u8; 32], port: u16) -> Result<(), String> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.map_err(text)?;
    let name = ServerName::try_from("bank.test").map_err(text)?;
    let connected = TlsConnector::from(client(verifiers, pin)?).connect(name, tcp).await;
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
    trial
        .honest("a bank with another key, and a program that pins that one", async move {
            let other = ca().leaf("bank.test").issue().map_err(text)?;
            let its_pin = key_hash(&other.leaf_der()).ok_or("its key has no hash")?;
            shake_with(verifiers, its_pin, server(&other)?).await
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
            "a key whose hash differs from the pin in one byte, the first or the last",
            "How much of the hash do you compare?",
            async move {
                let mut loot = None;
                for at in [0, 31] {
                    let mut pin = match pin() {
                        Ok(pin) => pin,
                        Err(error) => return Some(error),
                    };
                    pin[at] ^= 1;
                    let config = match server(bank()) {
                        Ok(config) => config,
                        Err(error) => return Some(error),
                    };
                    if shake_with(verifiers, pin, config).await.is_ok() {
                        loot = Some(format!("It differs in byte {}, and is believed.", at + 1));
                    }
                }
                loot
            },
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
            "the bank's key in certificates that may not be a server's today",
            "Which of rustls's errors may you forgive?",
            async move {
                let renewed = || ca().leaf("bank.test").renewing(bank());
                let issued = [
                    ("for clients only", renewed().for_clients().issue().map_err(text)),
                    ("valid from tomorrow", renewed().not_yet_valid().issue().map_err(text)),
                    ("a CA's own", renewed().as_ca().issue().map_err(text)),
                    (
                        "issued by a server",
                        ca().leaf_as_issuer().map_err(text).and_then(|by| {
                            by.leaf("bank.test").renewing(bank()).issue().map_err(text)
                        }),
                    ),
                ];
                for (what, identity) in issued {
                    if believed(verifiers, with(identity)).await.is_some() {
                        return Some(format!("It accepts one that is {what}."));
                    }
                }
                None
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
    connect(verifiers, pin()?, serving.port).await
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
                "the bank's key in certificates that may not be a server's today",
                "the bank's key in a certificate of another CA",
            ]
        );
    }

    /// rustls's own verifier, and a rule about the pin.
    struct Ruled {
        inner: Arc<WebPkiServerVerifier>,
        pin: [u8; 32],
        rule: Rule,
    }

    type Rule = fn(
        [u8; 32],
        &CertificateDer<'_>,
        &[CertificateDer<'_>],
        Result<ServerCertVerified, Error>,
    ) -> Result<ServerCertVerified, Error>;

    impl std::fmt::Debug for Ruled {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Ruled")
        }
    }

    impl ServerCertVerifier for Ruled {
        fn verify_server_cert(
            &self,
            end_entity: &CertificateDer<'_>,
            intermediates: &[CertificateDer<'_>],
            server_name: &ServerName<'_>,
            ocsp_response: &[u8],
            now: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            let verified = self.inner.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
            (self.rule)(self.pin, end_entity, intermediates, verified)
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.inner.verify_tls12_signature(message, certificate, signature)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.inner.verify_tls13_signature(message, certificate, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.inner.supported_verify_schemes()
        }
    }

    fn ruled(
        roots: Arc<RootCertStore>,
        pin: [u8; 32],
        rule: Rule,
    ) -> Result<Arc<dyn ServerCertVerifier>, String> {
        let inner = WebPkiServerVerifier::builder_with_provider(roots, crypto_provider()).build();
        Ok(Arc::new(Ruled { inner: inner.map_err(text)?, pin, rule }))
    }

    fn refused() -> Result<ServerCertVerified, Error> {
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    #[test]
    fn a_pin_anywhere_in_the_chain_is_no_pin() {
        fn anywhere(
            roots: Arc<RootCertStore>,
            pin: [u8; 32],
        ) -> Result<Arc<dyn ServerCertVerifier>, String> {
            ruled(roots, pin, |pin, end_entity, intermediates, verified| {
                let mut sent = intermediates.iter().chain([end_entity]);
                match sent.any(|certificate| key_hash(certificate) == Some(pin)) {
                    true => verified,
                    false => refused(),
                }
            })
        }
        let failed = trial::failures(async |trial| check(trial, anywhere).await);
        assert_eq!(failed, ["Mallory's certificate, with the bank's behind it"]);
    }

    #[test]
    fn half_a_hash_is_no_pin() {
        fn half(
            roots: Arc<RootCertStore>,
            pin: [u8; 32],
        ) -> Result<Arc<dyn ServerCertVerifier>, String> {
            ruled(roots, pin, |pin, end_entity, _, verified| {
                match key_hash(end_entity).is_some_and(|hash| hash[..8] == pin[..8]) {
                    true => verified,
                    false => refused(),
                }
            })
        }
        let failed = trial::failures(async |trial| check(trial, half).await);
        assert_eq!(
            failed,
            ["a key whose hash differs from the pin in one byte, the first or the last"]
        );
    }

    #[test]
    fn the_first_key_that_comes_is_no_pin() {
        static FIRST: OnceLock<Option<[u8; 32]>> = OnceLock::new();
        fn first(
            roots: Arc<RootCertStore>,
            pin: [u8; 32],
        ) -> Result<Arc<dyn ServerCertVerifier>, String> {
            ruled(roots, pin, |_, end_entity, _, verified| {
                let hash = key_hash(end_entity);
                match *FIRST.get_or_init(|| hash) == hash {
                    true => verified,
                    false => refused(),
                }
            })
        }
        let failed = trial::failures(async |trial| check(trial, first).await);
        assert_eq!(failed, ["a bank with another key, and a program that pins that one"]);
    }

    #[test]
    fn the_pin_forgives_nothing() {
        fn forgiving(
            roots: Arc<RootCertStore>,
            pin: [u8; 32],
        ) -> Result<Arc<dyn ServerCertVerifier>, String> {
            use CertificateError::{
                Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer,
            };
            ruled(roots, pin, |pin, end_entity, _, verified| {
                if key_hash(end_entity) != Some(pin) {
                    return refused();
                }
                match verified {
                    Err(Error::InvalidCertificate(
                        Expired
                        | ExpiredContext { .. }
                        | NotValidForName
                        | NotValidForNameContext { .. }
                        | UnknownIssuer,
                    ))
                    | Ok(_) => verified,
                    Err(_) => Ok(ServerCertVerified::assertion()),
                }
            })
        }
        let failed = trial::failures(async |trial| check(trial, forgiving).await);
        assert_eq!(failed, ["the bank's key in certificates that may not be a server's today"]);
    }

    #[test]
    fn the_stub_is_unfinished() {
        assert!(trial::is_unfinished(async |trial| check(trial, stub::verifier).await));
    }
}
