//! One connection, recorded.

use anyhow::Context;
use rustls::SupportedProtocolVersion;
use shared::LabCa;
use shared::wiretap::Recording;

use super::handshake::shake_hands_tapped;
use super::ladder::{Rung, rungs};
use super::{BOTH, SERVER, client, server};

// ANCHOR: record
/// One connection of a client with these versions, through a tap. With Ed25519 keys every signature
/// has 64 bytes, so the sizes are the same in each run.
pub async fn record(
    versions: &[&'static SupportedProtocolVersion],
) -> anyhow::Result<(Recording, Vec<Rung>)> {
    let ca = LabCa::with_ed25519("Course Lab")?;
    let leaf = ca.leaf(SERVER).issue()?;
    let mut client = client(ca.roots(), versions)?;
    client.alpn_protocols = vec![b"course-echo/1".to_vec()];
    let mut server = server(&leaf, BOTH)?;
    server.alpn_protocols = client.alpn_protocols.clone();
    let (handshake, wire) = shake_hands_tapped(server, client).await?;
    handshake.client?;
    let seen = wire.connections.first().context("nothing recorded")?;
    let ladder = rungs(&seen.to_server, &seen.to_client, &seen.order);
    Ok((wire, ladder))
}
// ANCHOR_END: record
