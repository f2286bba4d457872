//! A foreign peer: Python's cryptography opens what we sealed, and the reverse, byte for byte.

use std::error::Error;

use careful_encryption::context::Context;
use careful_encryption::password::{self, Cost};
use careful_encryption::public_key::{Classical, KeyPair};
use careful_encryption::sealing::{KeyId, Sealer, SecretKey};
use careful_encryption::signing::SigningKey;
use peers::Peer;
use serde_json::{Value, json};
use zeroize::Zeroizing;

type TestResult = Result<(), Box<dyn Error>>;

const TEXT: &[u8] = b"pay 100 to bob";
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).filter_map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()).collect()
}

/// The context of every message here, for both sides.
fn context() -> Context {
    Context::new("payment order").with("alice").with("bob")
}

fn parts() -> Value {
    json!([hex(b"payment order"), hex(b"alice"), hex(b"bob")])
}

/// Asks the script; its answer, or what it says when it refuses.
fn ask(python: &Peer, command: &str, mut given: Value) -> Result<Vec<u8>, String> {
    if given.get("context").is_none() {
        given["context"] = parts();
    }
    let script = format!("{PYTHON}sealed.py");
    let answer = python.run_with_input([script.as_str(), command], &given.to_string());
    match answer.code {
        Some(0) => Ok(bytes(answer.said.trim())),
        _ => Err(answer.said.trim().to_owned()),
    }
}

#[test]
fn sealed_messages_open_on_both_sides() -> TestResult {
    let Some(python) = Peer::python("cryptography") else { return Ok(()) };
    let (id, key) = (KeyId(*b"key-2026"), [7; 32]);
    let sealer = Sealer::new(id, &SecretKey::from_bytes(&mut key.clone()));
    let message = sealer.seal(&context(), TEXT)?;
    let opened = ask(&python, "open", json!({ "key": hex(&key), "message": hex(&message) }));
    assert_eq!(opened, Ok(TEXT.to_vec()));
    let given = json!({ "key": hex(&key), "id": hex(&id.0), "text": hex(TEXT) });
    assert_eq!(sealer.open(&context(), &ask(&python, "seal", given)?)?, TEXT);

    let other = json!({ "key": hex(&key), "message": hex(&message), "context": [hex(b"refund")] });
    assert_eq!(ask(&python, "open", other), Err("InvalidTag".to_owned()));
    let mut changed = message;
    changed[25] ^= 1;
    let changed = json!({ "key": hex(&key), "message": hex(&changed) });
    assert_eq!(ask(&python, "open", changed), Err("InvalidTag".to_owned()));
    Ok(())
}

#[test]
fn python_opens_what_was_sealed_under_a_password() -> TestResult {
    let Some(python) = Peer::python("cryptography.hazmat.primitives.kdf.argon2") else {
        return Ok(());
    };
    let message = password::seal(b"correct horse", Cost::LEAST, &context(), TEXT)?;
    let given = |password: &[u8]| json!({ "password": hex(password), "message": hex(&message) });
    assert_eq!(ask(&python, "password", given(b"correct horse")), Ok(TEXT.to_vec()));
    assert_eq!(ask(&python, "password", given(b"wrong")), Err("InvalidTag".to_owned()));
    Ok(())
}

#[test]
fn hpke_boxes_open_on_both_sides() -> TestResult {
    let Some(python) = Peer::python("cryptography.hazmat.primitives.hpke") else {
        return Ok(());
    };
    let bob = KeyPair::<Classical>::random();
    let sealed = bob.public().seal(&context(), TEXT)?;
    let given = json!({ "private": hex(&bob.expose()), "message": hex(&sealed) });
    assert_eq!(ask(&python, "hpke-open", given), Ok(TEXT.to_vec()));
    let given = json!({ "public": hex(&bob.public().to_bytes()), "text": hex(TEXT) });
    assert_eq!(bob.open(&context(), &ask(&python, "hpke-seal", given)?)?, TEXT);
    let elsewhere =
        json!({ "private": hex(&bob.expose()), "message": hex(&sealed), "context": [] });
    assert_eq!(ask(&python, "hpke-open", elsewhere), Err("InvalidTag".to_owned()));
    Ok(())
}

#[test]
fn signatures_are_the_same_on_both_sides() -> TestResult {
    let Some(python) = Peer::python("cryptography") else { return Ok(()) };
    let seed = [9; 32];
    let alice = SigningKey::from_seed(&Zeroizing::new(seed))?;
    let signature = alice.sign(&context(), TEXT);
    let given = json!({ "seed": hex(&seed), "text": hex(TEXT) });
    assert_eq!(ask(&python, "sign", given)?, signature, "Ed25519 is deterministic");
    let given = |text: &[u8]| json!({ "public": hex(&alice.public().to_bytes()), "signature": hex(&signature), "text": hex(text) });
    assert_eq!(ask(&python, "verify", given(TEXT)), Ok(Vec::new()));
    assert_eq!(
        ask(&python, "verify", given(b"pay 900 to bob")),
        Err("InvalidSignature".to_owned())
    );
    Ok(())
}

/// The vectors that the take-home crate is tested with.
#[test]
fn python_computes_the_same_vectors() {
    let Some(python) = Peer::python("cryptography.hazmat.primitives.hpke") else { return };
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/take-home/tests/vectors.json");
    let ran = python.run([format!("{PYTHON}vectors.py").as_str(), vectors]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert_eq!(ran.said.lines().count(), 13, "{}", ran.said);
    assert!(ran.said.lines().all(|line| line.ends_with(": the same")), "{}", ran.said);
}

#[test]
fn the_usual_example_runs() -> TestResult {
    let Some(python) = Peer::python("cryptography") else { return Ok(()) };
    let ran = python.run([format!("{PYTHON}fernet.py")]);
    assert_eq!(
        (ran.code, ran.said.as_str()),
        (Some(0), "100 characters for 14 bytes\nanother key: InvalidToken\n")
    );
    Ok(())
}
