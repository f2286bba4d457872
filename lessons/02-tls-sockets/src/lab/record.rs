//! One connection, recorded.

use std::sync::Arc;

use anyhow::Context;
use rustls::SupportedProtocolVersion;
use shared::LabCa;
use shared::wiretap::Recording;

use super::explain::keys::Secrets;
use super::handshake::shake_hands_tapped;
use super::ladder::{Rung, rungs};
use super::{BOTH, SERVER, client, server};

// ANCHOR: record
/// One connection of a client with these versions, through a tap. With Ed25519 keys every signature
/// has 64 bytes, so the sizes are the same in each run.
pub async fn record(
    versions: &[&'static SupportedProtocolVersion],
) -> anyhow::Result<(Recording, Vec<Rung>)> {
    let (wire, _secrets) = record_with_secrets(versions).await?;
    let seen = wire.connections.first().context("nothing recorded")?;
    let ladder = rungs(&seen.to_server, &seen.to_client, &seen.order);
    Ok((wire, ladder))
}

/// The same, with the secrets that the client's key log gets.
pub async fn record_with_secrets(
    versions: &[&'static SupportedProtocolVersion],
) -> anyhow::Result<(Recording, Secrets)> {
    let ca = LabCa::with_ed25519("Course Lab")?;
    let leaf = ca.leaf(SERVER).issue()?;
    let secrets = Secrets::default();
    let mut client = client(ca.roots(), versions)?;
    client.key_log = Arc::new(secrets.clone());
    client.alpn_protocols = vec![b"course-echo/1".to_vec()];
    let mut server = server(&leaf, BOTH)?;
    server.alpn_protocols = client.alpn_protocols.clone();
    let (handshake, wire) = shake_hands_tapped(server, client).await?;
    handshake.client?;
    Ok((wire, secrets))
}
// ANCHOR_END: record
