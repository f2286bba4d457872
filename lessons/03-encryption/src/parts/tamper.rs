//! A change without the key, and what notices it.

use careful_encryption::context::Context;
use careful_encryption::sealing::{KeyId, Sealer, SecretKey};
use encryption::lab::careless::counter_mode;
use shared::Transcript;

const ORDER: &[u8] = b"amount=0100 to=bob";
/// Where the first digit of the amount stands.
const DIGIT: usize = 7;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    // ANCHOR: ctr
    t.step("Encrypt an order with AES in counter mode, without a tag.");
    let (key, counter) = ([7; 32], [9; 16]);
    let mut order = ORDER.to_vec();
    counter_mode(&key, &counter, &mut order);
    t.shows("on the wire", super::hex(&order));

    t.step(
        "Mallory doesn't have the key. She knows where the amount is, and flips two bits there.",
    );
    order[DIGIT] ^= b'0' ^ b'9';
    counter_mode(&key, &counter, &mut order);
    t.shows("bank reads", String::from_utf8_lossy(&order));
    t.attack_works(
        "the amount 0100 became 9100, and decryption reported no error",
        order.starts_with(b"amount=9100"),
    )?;
    // ANCHOR_END: ctr

    // ANCHOR: gcm
    t.step("The same two bits flipped in a sealed message.");
    let sealer = Sealer::new(KeyId(*b"key-2026"), &SecretKey::random());
    let context = Context::new("payment order");
    let mut message = sealer.seal(&context, ORDER)?;
    message[21 + DIGIT] ^= b'0' ^ b'9';
    t.refused("by the bank", sealer.open(&context, &message), "not authentic")?;
    // ANCHOR_END: gcm

    t.step("The header isn't encrypted. Mallory writes another key id into it.");
    let key = SecretKey::random();
    let sealer = Sealer::new(KeyId(*b"key-2026"), &key);
    let mut message = sealer.seal(&context, ORDER)?;
    message[1..9].copy_from_slice(b"key-2025");
    // The bank made a mistake of its own: it has the same key under the old id, too.
    let old = Sealer::new(KeyId(*b"key-2025"), &key);
    t.refused("by the bank", old.open(&context, &message), "not authentic")
}
