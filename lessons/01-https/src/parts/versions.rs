//! TLS 1.3, TLS 1.2, and what a minimum does.

use anyhow::{Context, anyhow};
use https::lab::bank::TOKEN;
use https::lab::server::{Negotiated, TLS_1_2_AND_1_3, TLS_1_2_ONLY};
use https::lab::stage::{Stage, bank_at};
use reqwest::ClientBuilder;
use reqwest::tls::Version;
use rustls::{NamedGroup, ProtocolVersion, SupportedProtocolVersion};
use shared::tls_records::version_name;
use shared::{Transcript, Wiretap};

type Versions = &'static [&'static SupportedProtocolVersion];

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    // ANCHOR: versions
    t.step("Server and client both support TLS 1.2 and 1.3.");
    let (agreed, _) =
        connect(TLS_1_2_AND_1_3, |client| client.tls_version_min(Version::TLS_1_2)).await?;
    show(t, &agreed, (ProtocolVersion::TLSv1_3, NamedGroup::X25519MLKEM768))?;

    t.step("A server that supports TLS 1.2 only, and a client that allows it.");
    let (agreed, _) =
        connect(TLS_1_2_ONLY, |client| client.tls_version_min(Version::TLS_1_2)).await?;
    show(t, &agreed, (ProtocolVersion::TLSv1_2, NamedGroup::X25519))?;

    t.step("The same server, and the take-home client, whose minimum is TLS 1.3.");
    let refused = connect(TLS_1_2_ONLY, |client| client).await;
    t.refused("GET", refused, "received fatal alert: ProtocolVersion")?;
    // ANCHOR_END: versions

    // ANCHOR: minimum
    t.step("reqwest accepts a minimum of TLS 1.0. Look at what it then offers on the wire.");
    let (_, offered) =
        connect(TLS_1_2_AND_1_3, |client| client.tls_version_min(Version::TLS_1_0)).await?;
    t.shows("offered", offered.join(", "));
    anyhow::ensure!(offered == ["TLS 1.3", "TLS 1.2"], "rustls has no older version");
    t.note("rustls doesn't implement TLS 1.0 and 1.1, which must not be negotiated (RFC 8996).");
    // ANCHOR_END: minimum
    Ok(())
}

/// One request; what was agreed on, and the versions that the client offered on the wire.
async fn connect(
    versions: Versions,
    setting: impl Fn(ClientBuilder) -> ClientBuilder,
) -> anyhow::Result<(Negotiated, Vec<String>)> {
    let mut stage = Stage::with_versions(versions).await?;
    let tap = Wiretap::listening_to(stage.server.address()).await?;
    let bank = bank_at(tap.address());
    let client = setting(stage.client(&bank)?).build()?;
    client.get(bank.url("/balance")).bearer_auth(TOKEN).send().await?.error_for_status()?;
    let tls = tap.recording().tls(0);
    let hello = tls.client_hello().context("the tap recorded no ClientHello")?;
    let offered = hello.versions.iter().map(|&version| version_name(version)).collect();
    Ok((stage.server.handshake().await?, offered))
}

fn show(
    t: &mut Transcript,
    agreed: &Negotiated,
    (version, group): (ProtocolVersion, NamedGroup),
) -> anyhow::Result<()> {
    let suite = agreed.suite.context("no cipher suite was agreed on")?.suite();
    let as_expected = match (agreed.version, agreed.group) {
        (Some(v), Some(g)) if (v, g) == (version, group) => Ok(()),
        other => Err(anyhow!("expected {version:?} and {group:?}, got {other:?}")),
    };
    t.works(&format!("{version:?}, {suite:?}, {group:?}"), as_expected)
}
