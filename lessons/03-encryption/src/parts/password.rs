//! A key from a password.

use careful_encryption::context::Context;
use careful_encryption::password::{Cost, open, seal};
use sha2::{Digest, Sha256};
use shared::Transcript;

const TEXT: &[u8] = b"the recipe of the house";

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let context = Context::new("backup");

    // ANCHOR: hash
    t.step("A key that is a plain hash of a password. Mallory tries a list of six passwords.");
    let stored = Sha256::digest(b"sunshine");
    let list = ["123456", "password", "qwerty", "dragon", "sunshine", "iloveyou"];
    let found = list.iter().position(|guess| Sha256::digest(guess) == stored);
    t.shows("tries", found.map_or(0, |index| index + 1));
    t.attack_works("sunshine is found, because a hash is made to be fast", found == Some(4))?;
    // ANCHOR_END: hash

    // ANCHOR: seal
    t.step("A key from Argon2id, which makes each try cost memory and time.");
    let cost = Cost::LEAST;
    t.shows("memory", format!("{} MiB", cost.memory / 1024));
    t.shows("passes", cost.passes);
    t.shows("lanes", cost.lanes);
    let message = t.works("sealed", seal(b"correct horse battery", cost, &context, TEXT))?;
    let opened =
        t.works("opened", open(b"correct horse battery", Cost::LIMIT, &context, &message))?;
    t.must_show("text", &String::from_utf8_lossy(&opened), "the recipe of the house")?;
    // ANCHOR_END: seal

    t.step("Open it with a wrong password, then with the right one and another memory cost.");
    t.refused(
        "correct horse batterx",
        open(b"correct horse batterx", Cost::LIMIT, &context, &message),
        "not authentic",
    )?;
    let mut cheaper = message.clone();
    cheaper[1..5].copy_from_slice(&(cost.memory + 1024).to_be_bytes());
    let opened = open(b"correct horse battery", Cost::LIMIT, &context, &cheaper);
    t.refused_in_short("another memory, right password", opened, "not authentic")?;

    t.step("A stranger's message asks for 4 TiB of memory.");
    let mut huge = message;
    huge[1..5].copy_from_slice(&u32::MAX.to_be_bytes());
    t.refused("by open", open(b"correct horse battery", Cost::LIMIT, &context, &huge), "at byte 1")
}
