//! An attacker who wants the older version.

use anyhow::Context;
use rustls::ProtocolVersion;
use shared::tls_records;
use shared::wiretap::{Action, Unit, replace_bytes};
use shared::{Direction, LabCa, Transcript};
use tls_sockets::lab::handshake::{Handshake, shake_hands_attacked};
use tls_sockets::lab::{BOTH, ONLY_1_2, ONLY_1_3, SERVER, client, server};

// ANCHOR: offered
/// supported_versions (RFC 8446 section 4.2.1): type 43, 5 bytes, a list of 4: 1.3 and 1.2.
const OFFERED: &[u8] = &[0x00, 0x2b, 0x00, 0x05, 0x04, 0x03, 0x04, 0x03, 0x03];
const EDITED: &[u8] = &[0x00, 0x2b, 0x00, 0x05, 0x04, 0x03, 0x03, 0x03, 0x03];
// ANCHOR_END: offered

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let ca = LabCa::new("Course Lab")?;
    let leaf = ca.leaf(SERVER).issue()?;

    // ANCHOR: edit
    t.step("A relay edits the ClientHello, so that it no longer offers TLS 1.3.");
    let (tell, told) = std::sync::mpsc::channel();
    let edit = move |record: Unit<'_>| {
        if record.direction == Direction::ToClient && record.index == 0 {
            // This part listens until the server has answered.
            let _ = tell.send(record.bytes.to_vec());
        }
        match replace_bytes(record.bytes, OFFERED, EDITED) {
            Some(edited) => Action::Replace(edited),
            None => Action::Pass,
        }
    };
    let handshake =
        shake_hands_attacked(server(&leaf, BOTH)?, client(ca.roots(), BOTH)?, edit).await?;
    // ANCHOR_END: edit
    let answer = tls_records::view(&[], &told.recv().context("the server did not answer")?);
    let hello = answer.server_hello().context("a ServerHello")?;
    t.must_show("server chose", &tls_records::version_name(hello.version), "TLS 1.2")?;
    let sentinel = &hello.random[24..];
    t.must_show("its random", &format!("ends in \"{}\"", sentinel.escape_ascii()), "DOWNGRD")?;
    t.refused(
        "the connection, by the client",
        handshake.client,
        "AttemptedDowngradeToTls12WhenTls13IsSupported",
    )?;
    t.note("The random is part of what the server signs, so the relay cannot change it.");

    // ANCHOR: fallback
    t.step("A client that tries TLS 1.2 when TLS 1.3 fails. The relay makes TLS 1.3 fail.");
    let handshake = met_by_a_client_that_falls_back(&ca, &leaf).await?;
    let agreed = handshake.client?;
    // ANCHOR_END: fallback
    t.shows("agreed on", format!("{:?}", agreed.version.context("a version")?));
    let downgraded = agreed.version == Some(ProtocolVersion::TLSv1_2);
    t.attack_works("both support TLS 1.3, and they speak TLS 1.2", downgraded)?;

    // ANCHOR: minimum
    t.step("The same relay, and a client whose minimum is TLS 1.3 and which doesn't try again.");
    let handshake =
        shake_hands_attacked(server(&leaf, BOTH)?, client(ca.roots(), ONLY_1_3)?, no_1_3).await?;
    t.refused("the connection, by the client", handshake.client, "tls handshake eof")?;
    t.note("Somebody notices when a connection fails. Nobody notices a weaker one.");
    // ANCHOR_END: minimum
    Ok(())
}

// ANCHOR: no_1_3
/// Cuts every connection that offers TLS 1.3.
fn no_1_3(record: Unit<'_>) -> Action {
    let view = tls_records::view(record.bytes, &[]);
    let offers = view.client_hello().is_some_and(|hello| hello.versions.contains(&0x0304));
    if record.direction == Direction::ToServer && offers { Action::Cut } else { Action::Pass }
}

/// INSECURE: the second try, with less.
async fn met_by_a_client_that_falls_back(
    ca: &LabCa,
    leaf: &shared::Identity,
) -> anyhow::Result<Handshake> {
    let first =
        shake_hands_attacked(server(leaf, BOTH)?, client(ca.roots(), BOTH)?, no_1_3).await?;
    match first.client {
        Ok(_) => Ok(first),
        Err(_) => {
            shake_hands_attacked(server(leaf, BOTH)?, client(ca.roots(), ONLY_1_2)?, no_1_3).await
        }
    }
}
// ANCHOR_END: no_1_3
