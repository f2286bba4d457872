//! Confidentiality: anybody who is on the way reads everything.

use std::fs::File;
use std::io::Write;
use std::time::SystemTime;

use anyhow::Context;
use open_wire::lab::bank::Bank;
use shared::wiretap::{Conversation, replay};
use shared::{Transcript, Wiretap, pcapng};

use super::{accounts, alice_pays_bob};

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let bank = Bank::open(accounts(), None).await?;
    let tap = Wiretap::listening_to(bank.address()).await?;

    t.step("Alice pays Bob over plain TCP. On the way, a tap records.");
    alice_pays_bob(t, tap.address()).await?;
    if let (Some(file), Some(conversation)) =
        (t.option("pcap").map(str::to_owned), tap.recording().connections.first())
    {
        save(t, &file, conversation)?;
    }

    // ANCHOR: listen
    t.step("The tap reads what it recorded.");
    let wire = tap.recording();
    let conversation = wire.connections.first().context("the tap saw no connection")?;
    let sent = String::from_utf8_lossy(&conversation.to_server);
    t.shows("client sent", &sent);
    t.shows("server sent", String::from_utf8_lossy(&conversation.to_client));
    t.wire_shows(&wire, "the payment", "PAY 25 bob")?;

    t.step("Mallory takes the login line from the recording and sends it to the bank herself.");
    let stolen = sent
        .lines()
        .find_map(|line| line.strip_prefix("LOGIN alice "))
        .context("no login recorded")?;
    t.wire_shows(&wire, "the password", stolen)?;
    // Mallory sends the recorded line unchanged, because it holds whatever the bank accepts as proof.
    let login = [&conversation.to_server[..sent.find('\n').unwrap_or(0)], b"\n"].concat();
    let answer = replay(bank.address(), &login, super::PATIENCE).await?;
    let answer = String::from_utf8_lossy(&answer);
    t.attack_works(
        &format!("the bank says \"{}\" to a stranger", answer.trim_end()),
        answer.trim_end() == "OK hello alice",
    )
    // ANCHOR_END: listen
}

/// The recorded conversation as a new file for Wireshark.
fn save(t: &mut Transcript, file: &str, conversation: &Conversation) -> anyhow::Result<()> {
    let (capture, _packets) = pcapng::file(conversation, pcapng::PLAIN, None, SystemTime::now());
    let mut made = File::create_new(file).with_context(|| {
        format!("cannot make {file}: name a new file, because one that exists is not replaced")
    })?;
    if let Err(error) = made.write_all(&capture) {
        let _ = std::fs::remove_file(file);
        return Err(error).with_context(|| format!("cannot write {file}, so it was removed"));
    }
    t.shows("capture", format!("{file}: follow its TCP stream in Wireshark"));
    Ok(())
}
