//! A capture that Wireshark opens, already decrypted.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, ensure};
use shared::{Transcript, pcapng};
use tls_sockets::lab::ONLY_1_3;
use tls_sockets::lab::handshake::GREETING;
use tls_sockets::lab::record::record_with_secrets;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    t.step("A client and a server talk through a tap. The client keeps a key log.");
    let began = SystemTime::now();
    // ANCHOR: capture
    let (wire, secrets) = record_with_secrets(ONLY_1_3).await?;
    let conversation = wire.connections.first().context("nothing recorded")?;
    let (capture, packets) =
        pcapng::file(conversation, pcapng::TLS, Some(&secrets.key_log()), began);
    // ANCHOR_END: capture
    t.wire_hides(&wire, "what they said", GREETING)?;

    t.step("The recorded bytes and the secrets go into one file, as packets that are made up around them.");
    let folder = tempfile::tempdir()?;
    let (file, kept) = match t.option("pcap") {
        Some(file) => (PathBuf::from(file), true),
        None => (folder.path().join("capture.pcapng"), false),
    };
    write(&file, &capture)?;
    ensure!(std::fs::metadata(&file)?.len() == capture.len() as u64, "all of it is on the disk");
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    t.shows("file", format!("{name}, {packets} packets"));
    t.shows("made up", "addresses, ports, times, the headers of IP and TCP");
    t.shows("recorded", format!("{} bytes of TLS", wire.len()));
    t.note("The file holds the secrets, so it is for its owner alone. Anybody who has it can read the connection.");
    if kept {
        t.shows("open it", format!("wireshark {}", file.display()));
    } else {
        t.note("To keep one: just lesson 2 capture --pcap my.pcapng");
    }
    Ok(())
}

/// A new file, for its owner alone.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let shown = path.display();
    let mut file = careful_files::create_private(path).with_context(|| {
        format!("cannot make {shown}: name a new file, because one that exists is not replaced")
    })?;
    if let Err(error) = file.write_all(bytes).and_then(|()| file.sync_all()) {
        let _ = std::fs::remove_file(path);
        return Err(error).with_context(|| format!("cannot write {shown}, so it was removed"));
    }
    Ok(())
}
