//! Integrity: anybody who is on the way changes what it likes.

use open_wire::lab::bank::Bank;
use shared::wiretap::{Action, Framing, replace_bytes};
use shared::{Direction, Transcript, Wiretap};

use super::{accounts, alice_pays_bob};

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let bank = Bank::open(accounts(), None).await?;

    // ANCHOR: tamper
    t.step("Mallory's relay changes bob to mallory in the order, and back in the receipt.");
    let relay = Wiretap::attacking(bank.address(), Framing::Lines, |line| {
        let (from, to) = match line.direction {
            Direction::ToServer => (b"bob".as_slice(), b"mallory".as_slice()),
            Direction::ToClient => (b"mallory".as_slice(), b"bob".as_slice()),
        };
        match replace_bytes(line.bytes, from, to) {
            Some(changed) => Action::Replace(changed),
            None => Action::Pass,
        }
    })
    .await?;
    alice_pays_bob(t, relay.address()).await?;
    // ANCHOR_END: tamper

    t.step("Alice has a receipt that names bob. Compare it with the bank's ledger.");
    t.shows("bob has", format!("{} coins", bank.balance("bob")));
    t.shows("mallory has", format!("{} coins", bank.balance("mallory")));
    let robbed = bank.balance("bob") == 0 && bank.balance("mallory") == 25;
    t.attack_works("the bank paid mallory, and neither end saw an error", robbed)
}
