//! The stage of every part and test: a lab CA, and the bank behind HTTPS with a good
//! certificate.

use std::net::SocketAddr;

use reqwest::ClientBuilder;
use rustls::SupportedProtocolVersion;
use shared::{Identity, LabCa};

use super::Host;
use super::stall::{Stall, StallingServer};
use crate::lab::bank::Bank;
use crate::lab::server::{HttpsServer, TLS_1_2_AND_1_3, server_tls};
use careful_certificates::roots::Roots;
use careful_https::client::{Trust, secure_client};

/// The bank's name. `.test` is reserved (RFC 6761 section 6.2): it exists on no network.
pub const BANK: &str = "bank.test";

/// The bank's name, led to this address: the bank's own, a tap's, an interceptor's.
pub fn bank_at(address: SocketAddr) -> Host {
    Host { name: BANK, address }
}

/// The CA of a lab, and no other.
pub fn trust(ca: &LabCa) -> anyhow::Result<Trust> {
    Ok(Trust::Only(Roots::from_der(vec![ca.root_der()])?))
}

/// The bank, its CA and its server.
pub struct Stage {
    /// Who issued the bank's certificate.
    pub ca: LabCa,
    /// What was paid.
    pub bank: Bank,
    /// Where to ask.
    pub server: HttpsServer,
}

impl Stage {
    /// A server with TLS 1.2 and 1.3, and a certificate for bank.test, localhost and
    /// 127.0.0.1.
    pub async fn new() -> anyhow::Result<Self> {
        Self::with_versions(TLS_1_2_AND_1_3).await
    }

    /// The same with other versions.
    pub async fn with_versions(
        versions: &[&'static SupportedProtocolVersion],
    ) -> anyhow::Result<Self> {
        let ca = LabCa::new("Course Lab")?;
        let identity = ca.leaf(BANK).also_for("localhost").also_for("127.0.0.1").issue()?;
        Self::with_identity(ca, &identity, versions).await
    }

    /// The same with any certificate.
    pub async fn with_identity(
        ca: LabCa,
        identity: &Identity,
        versions: &[&'static SupportedProtocolVersion],
    ) -> anyhow::Result<Self> {
        let bank = Bank::new();
        let tls = server_tls(identity.chain(), identity.key(), versions)?;
        Ok(Self { ca, server: HttpsServer::start(tls, bank.handler()).await?, bank })
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The bank at its own address.
    pub fn host(&self) -> Host {
        bank_at(self.address())
    }

    /// The take-home client, trusting this stage's CA alone; the bank's name leads to
    /// `host`.
    pub fn client(&self, host: &Host) -> anyhow::Result<ClientBuilder> {
        Ok(secure_client(&trust(&self.ca)?)?.resolve(host.name, host.address))
    }

    /// A server of the same CA and name that stalls.
    pub async fn stalling(&self, stall: Stall) -> anyhow::Result<StallingServer> {
        let identity = self.ca.leaf(BANK).issue()?;
        Ok(stall.start(server_tls(identity.chain(), identity.key(), TLS_1_2_AND_1_3)?).await?)
    }
}
