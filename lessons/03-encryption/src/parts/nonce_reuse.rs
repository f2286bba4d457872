//! One nonce, twice: the second text is read, the authentication key is found, a forgery is
//! accepted.

use anyhow::Context as _;
use careful_encryption::context::Context;
use careful_encryption::sealing::{KeyId, MAX_MESSAGES, Sealer, SecretKey};
use encryption::lab::careless;
use encryption::lab::gcm::{Block, OneBlock, forge, hash_key, other_text};
use shared::Transcript;

use super::hex;

const KNOWN: [u8; 16] = *b"PAY BOB   $00100";
const SECRET: [u8; 16] = *b"PAY ALICE $00042";
const FORGED: [u8; 16] = *b"PAY EVE   $99999";

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    // ANCHOR: attack
    t.step(
        "Two orders were sealed under one key and one nonce. Mallory sees both, and knows the \
         text of the first.",
    );
    let (key, nonce) = ([7; 32], [9; 12]);
    let sealed = [careless::seal(&key, &nonce, &KNOWN), careless::seal(&key, &nonce, &SECRET)];
    let [first, second] = sealed.map(|sealed| sealed.map(|bytes| OneBlock::new(&bytes)));
    let (first, second) = (first?.context("one block")?, second?.context("one block")?);
    t.shows("first", hex(&first.ciphertext.bytes()));
    t.shows("second", hex(&second.ciphertext.bytes()));

    t.step("She adds the two ciphertexts and the known text, so that the key stream cancels out.");
    let text = other_text(&first, KNOWN, &second);
    t.shows("second text", String::from_utf8_lossy(&text));
    t.attack_works("the second text is read without the key", text == SECRET)?;

    t.step("From the two tags she computes H, which goes into every tag under this key.");
    let h = hash_key(&first, &second);
    t.shows("H", hex(&h.bytes()));
    // H is AES of the zero block, which only the owner of the key can compute.
    let mut zero = [0; 16];
    encrypt_block(&key, &mut zero);
    t.shows("AES(0)", hex(&zero));
    t.attack_works("she has the H that the key gives", h == Block::new(zero))?;

    t.step("With H she forges an order, and sends it to the bank, which uses aes-gcm.");
    let forged = forge(&first, KNOWN, FORGED, h);
    let opened = careless::open(&key, &nonce, &forged).map_err(|_| anyhow::anyhow!("refused"))?;
    t.shows("bank reads", String::from_utf8_lossy(&opened));
    t.attack_works("the bank accepts a message that nobody with the key sealed", opened == FORGED)?;
    // ANCHOR_END: attack

    // ANCHOR: fix
    t.step("The same steps against two messages from a Sealer, which chooses the nonces itself.");
    let sealer = Sealer::new(KeyId(*b"key-2026"), &SecretKey::from_bytes(&mut key.clone()));
    let context = Context::new("payment order");
    let messages = [sealer.seal(&context, &KNOWN)?, sealer.seal(&context, &SECRET)?];
    let [first, second] = messages.each_ref().map(|message| OneBlock::new(&message[21..]));
    let (first, second) = (first.context("one block")?, second.context("one block")?);
    let guessed = other_text(&first, KNOWN, &second);
    anyhow::ensure!(guessed != SECRET, "the key streams differ");
    let forged = forge(&first, KNOWN, FORGED, hash_key(&first, &second));
    let forged = [&messages[0][..21], &forged].concat();
    t.refused("the forgery", sealer.open(&context, &forged), "not authentic")?;
    // ANCHOR_END: fix

    t.step("How many random nonces are safe under one key.");
    let log2 = MAX_MESSAGES.ilog2();
    // n random nonces of 96 bits: two are equal with probability of about n² / 2^97.
    let chance = 2 * log2 as i32 - 97;
    t.must_show("messages", &format!("2^{log2}"), "2^32")?;
    t.must_show("chance", &format!("2^{chance} that two of their nonces are equal"), "2^-33")?;
    let years = MAX_MESSAGES / (100 * 60 * 60 * 24 * 365);
    t.shows("at 100/s", format!("{years} year, then the Sealer refuses, so rotate earlier"));
    Ok(())
}

fn encrypt_block(key: &[u8; 32], block: &mut [u8; 16]) {
    use aes::cipher::{BlockCipherEncrypt, KeyInit};
    aes::Aes256::new(key.into()).encrypt_block(block.into());
}
