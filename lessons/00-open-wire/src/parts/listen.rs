//! Confidentiality: anybody who is on the way reads everything.

use anyhow::Context;
use open_wire::lab::bank::Bank;
use shared::wiretap::replay;
use shared::{Transcript, Wiretap};

use super::{accounts, alice_pays_bob};

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let bank = Bank::open(accounts(), None).await?;
    let tap = Wiretap::listening_to(bank.address()).await?;

    t.step("Alice pays Bob over plain TCP. On the way, a tap records.");
    alice_pays_bob(t, tap.address()).await?;

    // ANCHOR: listen
    t.step("The tap reads what it recorded.");
    let wire = tap.recording();
    let conversation = wire.connections.first().context("the tap saw no connection")?;
    let sent = String::from_utf8_lossy(&conversation.to_server);
    t.shows("client sent", &sent);
    t.shows("server sent", String::from_utf8_lossy(&conversation.to_client));
    t.wire_shows(&wire, "the payment", "PAY 25 bob")?;

    t.step("It takes the password from the first line and logs in to the bank with it.");
    let stolen = sent
        .lines()
        .find_map(|line| line.strip_prefix("LOGIN alice "))
        .context("no login recorded")?;
    t.wire_shows(&wire, "the password", stolen)?;
    // The thief sends the recorded line as it is: whatever the bank takes for proof, he has.
    let login = [&conversation.to_server[..sent.find('\n').unwrap_or(0)], b"\n"].concat();
    let answer = replay(bank.address(), &login, super::PATIENCE).await?;
    let answer = String::from_utf8_lossy(&answer);
    t.attack_works(
        &format!("the bank says \"{}\" to a stranger", answer.trim_end()),
        answer.trim_end() == "OK hello alice",
    )
    // ANCHOR_END: listen
}
