//! The byte vectors of letters and fingerprints, `../vectors.json`: what Python made opens here, byte for byte.

use std::error::Error;

use careful_encryption::public_key::{KeyPair, PublicKey};
use careful_mailbox::protocol::{MessageId, Name};
use careful_mailbox::sealed::{self, Letter, NotALetter, fingerprint};
use serde_json::Value;

type TestResult = Result<(), Box<dyn Error>>;

fn vectors(kind: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../vectors.json")).expect("JSON");
    let vectors = all[kind].as_array().expect("vectors of this kind").clone();
    assert!(!vectors.is_empty(), "{kind}");
    vectors
}

fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector[name].as_str().unwrap_or_else(|| panic!("expected a text {name}"))
}

fn bytes(vector: &Value, name: &str) -> Vec<u8> {
    let digits = text(vector, name).as_bytes().chunks(2);
    let pair = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
    digits.map(|digits| pair(digits).expect("hexadecimal")).collect()
}

#[test]
fn letters_open() -> TestResult {
    for vector in vectors("letter") {
        let (from, to) = (Name::new(text(&vector, "from"))?, Name::new(text(&vector, "to"))?);
        let alice = KeyPair::from_bytes(&bytes(&vector, "sender_private"))?;
        let bob = KeyPair::from_bytes(&bytes(&vector, "recipient_private"))?;
        let id = MessageId(bytes(&vector, "id").as_slice().try_into()?);
        let sealed = bytes(&vector, "sealed");
        assert_eq!(sealed::context(&from, &to, id).as_bytes(), bytes(&vector, "context"));
        let letter = Letter {
            number: vector["number"].as_u64().ok_or("a number")?,
            text: text(&vector, "text").to_owned(),
        };
        assert_eq!(serde_json::to_string(&letter)?, text(&vector, "inside"));
        let key = alice.public();
        assert!(
            sealed::open((&to, &bob), (&from, &key), id, &sealed)
                .is_ok_and(|opened| opened == letter)
        );

        // Of all that it is bound to, one thing is another.
        let (carol, other) = (Name::new("carol")?, KeyPair::random());
        let refused = [
            sealed::open((&carol, &bob), (&from, &key), id, &sealed),
            sealed::open((&to, &bob), (&carol, &key), id, &sealed),
            sealed::open((&to, &bob), (&from, &key), MessageId([0; 16]), &sealed),
            sealed::open((&to, &other), (&from, &key), id, &sealed),
            sealed::open((&to, &bob), (&from, &other.public()), id, &sealed),
        ];
        for (number, refused) in refused.into_iter().enumerate() {
            assert_eq!(refused, Err(NotALetter), "{number}");
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(
                sealed::open((&to, &bob), (&from, &key), id, &changed),
                Err(NotALetter),
                "{at}"
            );
        }
    }
    Ok(())
}

#[test]
fn fingerprints_are_these() -> TestResult {
    for vector in vectors("fingerprint") {
        let key = PublicKey::from_bytes(&bytes(&vector, "public"))?;
        let made = fingerprint(&Name::new(text(&vector, "name"))?, &key);
        assert_eq!(made, text(&vector, "fingerprint"));
    }
    Ok(())
}
