//! A sealed message, byte by byte.

use careful_encryption::context::Context;
use careful_encryption::sealing::{KeyId, OVERHEAD, Sealer, SecretKey};
use shared::Transcript;

use super::hex;

const TEXT: &[u8] = b"pay 100 to bob";

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    // ANCHOR: seal
    t.step("Seal a text under a fresh key.");
    let sealer = Sealer::new(KeyId(*b"key-2026"), &SecretKey::random());
    let context = Context::new("payment order");
    let message = t.works("sealed", sealer.seal(&context, TEXT))?;
    // ANCHOR_END: seal
    t.shows("text", format!("{} bytes", TEXT.len()));
    t.must_show(
        "message",
        &format!("{} bytes", message.len()),
        &(TEXT.len() + OVERHEAD).to_string(),
    )?;

    t.step("What each byte is for.");
    let end = message.len() - 16;
    t.shows("version", hex(&message[..1]));
    t.shows("key id", hex(&message[1..9]));
    t.shows("nonce", hex(&message[9..21]));
    t.shows("ciphertext", hex(&message[21..end]));
    t.shows("tag", hex(&message[end..]));

    t.step("Open it.");
    let opened = t.works("opened", sealer.open(&context, &message))?;
    t.must_show("text", &String::from_utf8_lossy(&opened), "pay 100 to bob")?;

    t.step("Seal the same text again, and compare.");
    let again = sealer.seal(&context, TEXT)?;
    for (part, bytes, expected) in [
        ("header", 0..9, "the same"),
        ("nonce", 9..21, "different"),
        ("ciphertext", 21..end, "different"),
        ("tag", end..message.len(), "different"),
    ] {
        let same = message[bytes.clone()] == again[bytes];
        t.must_show(part, if same { "the same" } else { "different" }, expected)?;
    }

    t.step("Flip one bit in each part of the message, one after the other.");
    for (part, at) in
        [("version", 0), ("key id", 1), ("nonce", 9), ("ciphertext", 21), ("tag", end)]
    {
        let mut changed = message.clone();
        changed[at] ^= 1;
        let reason = match part {
            "version" => "expected version 1",
            "key id" => "which is not in the ring",
            _ => "not authentic",
        };
        t.refused_in_short(part, sealer.open(&context, &changed), reason)?;
    }

    t.step("Open half of the message, and then the whole one with another key.");
    t.refused("20 bytes", sealer.open(&context, &message[..20]), "at byte 9")?;
    let other = Sealer::new(KeyId(*b"key-2026"), &SecretKey::random());
    t.refused_in_short(
        "another key of the same id",
        other.open(&context, &message),
        "not authentic",
    )?;

    t.step("Print a key.");
    t.must_show("{:?}", &format!("{:?}", SecretKey::random()), "SecretKey")
}
