//! A new key, and the old messages.

use careful_encryption::context::Context;
use careful_encryption::keyring::KeyRing;
use careful_encryption::sealing::{KeyId, SecretKey, key_id};
use shared::Transcript;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let context = Context::new("note").with("alice");

    // ANCHOR: rotate
    t.step("A ring with one key seals a note.");
    let (old, new) = (KeyId(*b"key-2025"), KeyId(*b"key-2026"));
    let mut ring = KeyRing::new(old, &SecretKey::random());
    let first = ring.seal(&context, b"the first note")?;
    t.shows("sealed under", key_id(&first)?);

    t.step("Add a second key, which seals from now on, and open both notes.");
    ring.rotate(new, &SecretKey::random())?;
    let second = ring.seal(&context, b"the second note")?;
    t.must_show("sealed under", &key_id(&second)?.to_string(), &new.to_string())?;
    t.works("the first note", ring.open(&context, &first))?;
    t.works("the second note", ring.open(&context, &second))?;

    t.step("Retire the first key.");
    ring.retire(old)?;
    t.refused("the first note", ring.open(&context, &first), "which is retired")?;
    let stranger = KeyRing::new(KeyId(*b"key-9999"), &SecretKey::random()).seal(&context, b"x")?;
    t.refused_in_short(
        "a note under an unknown key",
        ring.open(&context, &stranger),
        "which is not in the ring",
    )?;
    t.refused_in_short(
        "to retire the current key",
        ring.retire(new),
        "rotate to another key first",
    )?;
    // ANCHOR_END: rotate

    // ANCHOR: envelope
    t.step("An envelope holds the note under a key of its own, and that key under the ring's key.");
    let mut ring = KeyRing::new(old, &SecretKey::random());
    let note = vec![b'n'; 1_000_000];
    let envelope = ring.seal_envelope(&context, &note)?;
    t.shows("note", format!("{} bytes", note.len()));
    t.shows("envelope", format!("{} bytes", envelope.len()));

    t.step(
        "Rotate the ring's key. Only the sealed key in the envelope is replaced. Then retire the \
         old key.",
    );
    ring.rotate(new, &SecretKey::random())?;
    let rewrapped = ring.rewrap(&context, &envelope)?;
    let same = envelope[71..] == rewrapped[71..] && envelope[..71] != rewrapped[..71];
    anyhow::ensure!(same, "the sealed key changes, and the message does not");
    t.shows("changed", format!("the first 71 of {} bytes", rewrapped.len()));
    ring.retire(old)?;
    t.refused("the old envelope", ring.open_envelope(&context, &envelope), "which is retired")?;
    let opened = t.works("the rewrapped envelope", ring.open_envelope(&context, &rewrapped))?;
    t.must_show("note", &format!("{} bytes", opened.len()), "1000000")?;
    // ANCHOR_END: envelope

    leaked(t, &context)
}

/// A key that leaked is another matter than one that is old.
fn leaked(t: &mut Transcript, context: &Context) -> anyhow::Result<()> {
    let (old, new, key) = (KeyId(*b"key-2025"), KeyId(*b"key-2026"), SecretKey::random());
    let backup = KeyRing::new(old, &key).seal_envelope(context, b"pay Bob 90")?;

    // ANCHOR: leaked
    t.step("The key leaks. Mallory seals a note of her own and puts it where Alice's was.");
    let hers = KeyRing::new(old, &key).seal_envelope(context, b"pay Mallory 900")?;

    t.step("The wrong order. Add a new key, rewrap everything, and then retire the leaked key.");
    let mut ring = KeyRing::new(old, &key);
    ring.rotate(new, &SecretKey::random())?;
    let laundered = ring.rewrap(context, &hers)?;
    ring.retire(old)?;
    let opened = ring.open_envelope(context, &laundered);
    t.attack_works(
        "Mallory's note is now sealed under the key that never leaked",
        opened.is_ok_and(|note| *note == *b"pay Mallory 900"),
    )?;

    t.step("The right order. Add a new key, retire the leaked key, and rewrap only then.");
    let mut ring = KeyRing::new(old, &key);
    ring.rotate(new, &SecretKey::random())?;
    ring.retire(old)?;
    t.refused_in_short("Mallory's note", ring.open_envelope(context, &hers), "which is retired")?;
    t.refused_in_short("to rewrap it", ring.rewrap(context, &hers), "which is retired")?;

    t.step("Open a copy from before the leak with a ring of its own, and seal it again.");
    let recovery = KeyRing::new(old, &key);
    let note = recovery.open_envelope(context, &backup)?;
    let again = ring.seal_envelope(context, &note)?;
    let opened = t.works("Alice's note", ring.open_envelope(context, &again))?;
    t.must_show("it says", &String::from_utf8_lossy(&opened), "pay Bob 90")
    // ANCHOR_END: leaked
}
