//! Who said it.

use anyhow::Context as _;
use careful_encryption::context::Context;
use careful_encryption::public_key::{Classical, KeyPair};
use careful_encryption::sealing::{KeyId, Sealer, SecretKey};
use careful_encryption::signed_box;
use careful_encryption::signing::SigningKey;
use shared::Transcript;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    // ANCHOR: sign
    t.step("Alice signs an order. Everybody can read it and check the signature.");
    let alice = SigningKey::random()?;
    let context = Context::new("payment order").with("number 17");
    let order = b"pay 100 to bob";
    let signature = alice.sign(&context, order);
    t.shows("signature", format!("{} bytes", signature.len()));
    t.works("Alice's signature", alice.public().verify(&context, order, &signature))?;

    t.step("Check the signature against other texts, and the text against another signature.");
    let verify = |context: &Context, text: &[u8]| alice.public().verify(context, text, &signature);
    t.refused_in_short("another amount", verify(&context, b"pay 900 to bob"), "is not valid")?;
    let refund = Context::new("refund").with("number 17");
    t.refused_in_short("another kind of text", verify(&refund, order), "is not valid")?;
    let next = Context::new("payment order").with("number 18");
    t.refused_in_short("the same order as number 18", verify(&next, order), "is not valid")?;
    let mallory = SigningKey::random()?;
    let hers = mallory.sign(&context, order);
    t.refused_in_short(
        "Mallory's signature",
        alice.public().verify(&context, order, &hers),
        "is not valid",
    )?;
    // ANCHOR_END: sign

    // ANCHOR: not_a_signature
    t.step("Alice and Bob share a key. Bob shows a judge a message and says that Alice sealed it.");
    let shared = SecretKey::random();
    let note = Context::new("note").with("from alice").with("to bob");
    let bob = Sealer::new(KeyId(*b"al-and-b"), &shared);
    let made_by_bob = bob.seal(&note, b"I owe Bob 100")?;
    let judge = Sealer::new(KeyId(*b"al-and-b"), &shared).open(&note, &made_by_bob)?;
    t.shows("judge reads", String::from_utf8_lossy(&judge));
    t.attack_works("the message is authentic, and Bob made it himself", judge == b"I owe Bob 100")?;
    t.note(
        "A message that both could have made proves nothing to a third party. A signature \
         does, because only Alice can make hers.",
    );
    // ANCHOR_END: not_a_signature

    // ANCHOR: naive
    t.step(
        "Alice signs an order that names no recipient, and seals it for Bob. Bob seals it again, \
         for Carol.",
    );
    let (bob, carol) = (KeyPair::<Classical>::random(), KeyPair::<Classical>::random());
    let text = b"I owe you 100";
    let context = Context::new("letter");
    let signed = [alice.sign(&context, text).as_slice(), text].concat();
    let to_bob = bob.public().seal(&context, &signed)?;
    // Bob opens it, and seals for Carol what was in it.
    let to_carol = carol.public().seal(&context, &bob.open(&context, &to_bob)?)?;
    let opened = carol.open(&context, &to_carol)?;
    let (signature, text) = opened.split_at_checked(64).context("too short to be signed")?;
    t.attack_works(
        "Carol sees Alice's signature, and thinks that Alice owes her 100",
        alice.public().verify(&context, text, signature).is_ok(),
    )?;
    // ANCHOR_END: naive

    // ANCHOR: signed_box
    t.step("Alice signs the recipient's name, too.");
    let to_bob = signed_box::seal(&alice, &bob.public(), &context, text)?;
    let opened = signed_box::open(&bob, &alice.public(), &context, &to_bob);
    let opened = t.works("Bob opens it, as from Alice", opened)?;
    let (text, signature) = (&opened.text, &opened.signature);
    t.refused_in_short(
        "the same signature, for Carol",
        signed_box::verify(&alice.public(), &carol.public(), &context, text, signature),
        "is not valid",
    )?;
    t.refused_in_short(
        "opened as from Mallory",
        signed_box::open(&bob, &mallory.public(), &context, &to_bob),
        "not authentic",
    )
    // ANCHOR_END: signed_box
}
