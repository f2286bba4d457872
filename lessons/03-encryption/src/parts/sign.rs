//! Who said it.

use anyhow::Context as _;
use careful_encryption::context::Context;
use careful_encryption::public_key::{Classical, KeyPair};
use careful_encryption::sealing::{KeyId, Sealer, SecretKey};
use careful_encryption::signing::SigningKey;
use shared::Transcript;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    // ANCHOR: sign
    t.step("Alice signs an order. Everybody can read it, and check who signed.");
    let alice = SigningKey::random()?;
    let context = Context::new("payment order").with("number 17");
    let order = b"pay 100 to bob";
    let signature = alice.sign(&context, order);
    t.shows("signature", format!("{} bytes", signature.len()));
    t.works("it is Alice's", alice.public().verify(&context, order, &signature))?;

    t.step("What the signature does not fit.");
    let verify = |context: &Context, text: &[u8]| alice.public().verify(context, text, &signature);
    t.refused_in_short("another amount", verify(&context, b"pay 900 to bob"), "does not fit")?;
    let refund = Context::new("refund").with("number 17");
    t.refused_in_short("another kind of text", verify(&refund, order), "does not fit")?;
    let next = Context::new("payment order").with("number 18");
    t.refused_in_short("the same order as number 18", verify(&next, order), "does not fit")?;
    let mallory = SigningKey::random()?;
    let hers = mallory.sign(&context, order);
    t.refused_in_short(
        "Mallory's signature",
        alice.public().verify(&context, order, &hers),
        "does not fit",
    )?;
    // ANCHOR_END: sign

    // ANCHOR: not_a_signature
    t.step("Alice and Bob share a key. Bob shows a judge what, he says, Alice sealed.");
    let shared = SecretKey::random();
    let note = Context::new("note").with("from alice").with("to bob");
    let bob = Sealer::new(KeyId(*b"al-and-b"), &shared);
    let made_by_bob = bob.seal(&note, b"I owe Bob 100")?;
    let judge = Sealer::new(KeyId(*b"al-and-b"), &shared).open(&note, &made_by_bob)?;
    t.shows("judge reads", String::from_utf8_lossy(&judge));
    t.attack_works("it is authentic, and Bob made it himself", judge == b"I owe Bob 100")?;
    t.note("What both can make proves nothing to a third. A signature only Alice can make.");
    // ANCHOR_END: not_a_signature

    t.step("Sign, then seal: secret, and proved. The recipient's name stands in what is signed.");
    let context = Context::new("letter").with("to bob");
    let text = b"I owe Bob 100";
    let bob = KeyPair::<Classical>::random();
    let signed = [alice.sign(&context, text).as_slice(), text].concat();
    let sealed = bob.public().seal(&context, &signed)?;
    let opened = bob.open(&context, &sealed)?;
    let (signature, text) = opened.split_at_checked(64).context("too short to be signed")?;
    t.works(
        "Bob opens it and checks the signature",
        alice.public().verify(&context, text, signature),
    )?;
    let to_carol = Context::new("letter").with("to carol");
    t.refused_in_short(
        "Bob sends it on to Carol as Alice's letter to her",
        alice.public().verify(&to_carol, text, signature),
        "does not fit",
    )
}
