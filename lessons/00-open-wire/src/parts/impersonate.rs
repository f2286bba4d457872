//! Authenticity: anybody who answers is taken for the bank.

use anyhow::Context;
use open_wire::lab::bank::FalseBank;
use shared::Transcript;

use super::{PASSWORD, alice_pays_bob};

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    // ANCHOR: impersonate
    t.step("Mallory opens a false bank, which says OK to everything and writes it down.");
    let false_bank = FalseBank::open(None).await?;

    t.step("A forged DNS answer leads Alice there. She does what she always does.");
    alice_pays_bob(t, false_bank.address()).await?;
    // ANCHOR_END: impersonate

    t.step("Nothing in the protocol let her ask who answers.");
    let diary = false_bank.diary();
    diary.iter().for_each(|line| t.shows("written down", line));
    let login = diary.first().context("Alice told the false bank nothing")?;
    t.attack_works(
        "the false bank has her password, and she has a receipt",
        login.ends_with(PASSWORD),
    )
}
