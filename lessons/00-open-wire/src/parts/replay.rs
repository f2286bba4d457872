//! Freshness: what was true once is accepted again.

use anyhow::Context;
use open_wire::lab::bank::Bank;
use shared::wiretap::replay;
use shared::{Transcript, Wiretap};

use super::{accounts, alice_pays_bob};

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let mut bank = Bank::open(accounts(), None).await?;
    let tap = Wiretap::listening_to(bank.address()).await?;

    t.step("Alice pays Bob once. A tap records her bytes.");
    alice_pays_bob(t, tap.address()).await?;
    bank.outcome().await?;
    t.shows("alice has", format!("{} coins", bank.balance("alice")));

    // ANCHOR: replay
    t.step("Bob sends the recorded bytes twice more. He doesn't have to understand them.");
    let recorded =
        tap.recording().connections.first().context("nothing recorded")?.to_server.clone();
    for _ in 0..2 {
        let answer = replay(bank.address(), &recorded, super::PATIENCE).await?;
        t.shows("bank says", String::from_utf8_lossy(&answer));
        bank.outcome().await?;
    }
    // ANCHOR_END: replay
    t.shows("alice has", format!("{} coins", bank.balance("alice")));
    let paid_thrice = bank.balance("alice") == 25 && bank.balance("bob") == 75;
    t.attack_works("one order, paid three times", paid_thrice)
}
