//! A message that opens in one place only.

use anyhow::ensure;
use careful_encryption::context::Context;
use careful_encryption::sealing::{KeyId, Sealer, SecretKey};
use encryption::lab::careless::glued;
use shared::Transcript;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let sealer = Sealer::new(KeyId(*b"key-2026"), &SecretKey::random());

    // ANCHOR: moved
    t.step(
        "Salaries, sealed without a context. Mallory can write to the table, and swaps two rows.",
    );
    let nothing = Context::new("");
    let mut rows = [sealer.seal(&nothing, b"alice 9000")?, sealer.seal(&nothing, b"mallory 1000")?];
    rows.swap(0, 1);
    let mallorys = sealer.open(&nothing, &rows[1])?;
    t.attack_works("Mallory's row opens and holds Alice's salary", mallorys == b"alice 9000")?;

    t.step("The same salaries, each bound to its table and its row.");
    let row = |name: &str| Context::new("salary").with(name);
    let mut rows = [sealer.seal(&row("alice"), b"9000")?, sealer.seal(&row("mallory"), b"1000")?];
    rows.swap(0, 1);
    t.refused("Mallory's row", sealer.open(&row("mallory"), &rows[1]), "not authentic")?;
    // ANCHOR_END: moved

    t.step("Open a message for another recipient, and as another kind of message.");
    let order = Context::new("payment order").with("alice").with("bob");
    let message = sealer.seal(&order, b"100")?;
    let other = Context::new("payment order").with("alice").with("mallory");
    t.refused_in_short("to mallory", sealer.open(&other, &message), "not authentic")?;
    let kind = Context::new("refund").with("alice").with("bob");
    t.refused_in_short("as a refund", sealer.open(&kind, &message), "not authentic")?;
    t.works("as it was meant", sealer.open(&order, &message))?;

    // ANCHOR: ambiguous
    t.step("Two contexts whose parts are glued together without a separator.");
    let (one, other) = (glued(&["pay", "al", "ice"]), glued(&["pay", "ali", "ce"]));
    t.shows("glued", String::from_utf8_lossy(&one));
    t.attack_works("(al, ice) and (ali, ce) are the same", one == other)?;

    t.step("The same two contexts, with its length before each part.");
    let one = Context::new("pay").with("al").with("ice");
    let other = Context::new("pay").with("ali").with("ce");
    ensure!(one.as_bytes() != other.as_bytes(), "the encodings differ");
    let message = sealer.seal(&one, b"100")?;
    t.refused_in_short(
        "sealed for (al, ice), opened for (ali, ce)",
        sealer.open(&other, &message),
        "not authentic",
    )
    // ANCHOR_END: ambiguous
}
