//! For somebody whose public key you have.

use careful_encryption::context::Context;
use careful_encryption::public_key::{Classical, KeyPair, PostQuantum, PublicKey};
use shared::Transcript;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let context = Context::new("letter").with("to bob");

    // ANCHOR: base
    t.step("Alice seals a letter with Bob's public key, and nothing else.");
    let bob = KeyPair::<Classical>::random();
    let text = b"meet me at noon";
    let sealed = t.works("sealed", bob.public().seal(&context, text))?;
    t.must_show(
        "letter",
        &format!("{} bytes, {} more than the text", sealed.len(), sealed.len() - text.len()),
        "49 more",
    )?;
    let opened = t.works("Bob, with his key", bob.open(&context, &sealed))?;
    t.must_show("text", &String::from_utf8_lossy(&opened), "noon")?;
    let carol = KeyPair::<Classical>::random();
    t.refused("Carol, with her key", carol.open(&context, &sealed), "not authentic")?;

    t.step("Mallory seals a letter, too, and writes Alice's name under it.");
    let forged = bob.public().seal(&context, b"meet me at midnight. Alice")?;
    let opened = bob.open(&context, &forged)?;
    t.shows("Bob reads", String::from_utf8_lossy(&opened));
    t.attack_works("Bob can't tell it from a letter that Alice wrote", opened.ends_with(b"Alice"))?;
    // ANCHOR_END: base

    // ANCHOR: auth
    t.step(
        "The authenticated mode. Alice seals with her own private key, too, and Bob opens the \
         letter with her public key.",
    );
    let (alice, mallory) = (KeyPair::<Classical>::random(), KeyPair::<Classical>::random());
    let sealed = alice.seal_for(&bob.public(), &context, text)?;
    t.works("from Alice", bob.open_from(&alice.public(), &context, &sealed))?;
    let forged = mallory.seal_for(&bob.public(), &context, b"meet me at midnight. Alice")?;
    t.refused(
        "from Mallory, opened as from Alice",
        bob.open_from(&alice.public(), &context, &forged),
        "not authentic",
    )?;
    t.refused_in_short(
        "without a sender, opened as from Alice",
        bob.open_from(&alice.public(), &context, &bob.public().seal(&context, text)?),
        "not authentic",
    )?;

    t.note("Somebody with Bob's private key can write to Bob as anybody (RFC 9180 section 9.1.1).");
    // ANCHOR_END: auth

    t.step("Seal for two public keys that aren't valid (RFC 9180 section 7.1.4).");
    t.refused("31 bytes", PublicKey::<Classical>::from_bytes(&[1; 31]), "not a usable key")?;
    let zero =
        PublicKey::<Classical>::from_bytes(&[0; 32]).and_then(|key| key.seal(&context, text));
    t.refused_in_short("32 zeros", zero, "not a usable key")?;

    // ANCHOR: post_quantum
    t.step(
        "X-Wing, which combines X25519 and ML-KEM-768 against the quantum computers of the future.",
    );
    let bob = KeyPair::<PostQuantum>::random();
    let sealed = bob.public().seal(&context, text)?;
    t.works("Bob, with his key", bob.open(&context, &sealed))?;
    t.must_show(
        "public key",
        &format!("{} bytes; with X25519, 32", bob.public().to_bytes().len()),
        "1216",
    )?;
    t.must_show("letter", &format!("{} bytes; with X25519, 64", sealed.len()), "1152")
    // ANCHOR_END: post_quantum
}
