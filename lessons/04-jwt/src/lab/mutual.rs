//! A service that asks for a client certificate (mutual TLS), and for a token that is bound to it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use shared::{Identity, LabCa, crypto_provider};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::lab::stage::Scope;
use crate::lab::web::SERVER;
use careful_tokens::verifier::{LONGEST_TOKEN, Refused, Verifier};

const DEADLINE: Duration = Duration::from_secs(10);

/// A client with this certificate presents a token on a connection of its own. What the service
/// made of it: the subject, or its reason to refuse.
pub async fn present(
    ca: &LabCa,
    client: &Identity,
    token: &str,
    verifier: &Verifier,
) -> anyhow::Result<Result<String, Refused>> {
    let (server, client) = configurations(ca, client)?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let serving = async {
        let (tcp, _) = listener.accept().await?;
        let mut stream = TlsAcceptor::from(server).accept(tcp).await?;
        let mut token = String::new();
        (&mut stream).take(LONGEST_TOKEN as u64).read_to_string(&mut token).await?;
        stream.shutdown().await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.ok_or(io::ErrorKind::PermissionDenied)?;
        // ANCHOR: bound
        let verified = verifier.verify_bound::<Scope>(&token, certificate);
        // ANCHOR_END: bound
        Ok::<_, io::Error>(verified.map(|claims| claims.sub))
    };
    let asking = async {
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from(SERVER).map_err(io::Error::other)?;
        let mut stream = TlsConnector::from(client).connect(name, tcp).await?;
        stream.write_all(token.as_bytes()).await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut Vec::new()).await
    };
    let both = async { tokio::try_join!(serving, asking) };
    let (verified, _read) = tokio::time::timeout(DEADLINE, both).await??;
    Ok(verified)
}

fn configurations(
    ca: &LabCa,
    client: &Identity,
) -> anyhow::Result<(Arc<ServerConfig>, Arc<ClientConfig>)> {
    let provider = crypto_provider();
    let identity = ca.leaf(SERVER).issue()?;
    let asked =
        WebPkiClientVerifier::builder_with_provider(ca.roots(), provider.clone()).build()?;
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(asked)
        .with_single_cert(identity.chain(), identity.key())?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(ca.roots())
        .with_client_auth_cert(client.chain(), client.key())?;
    Ok((Arc::new(server), Arc::new(client)))
}
