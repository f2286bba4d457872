//! The byte vectors of this crate's formats, `../vectors.json`: what Python made opens here, byte for byte. A
//! format that is changed by mistake fails here, without a foreign peer.

use std::error::Error;

use aws_lc_rs::digest::{SHA256, digest};
use careful_encryption::context::Context;
use careful_encryption::keyring::KeyRing;
use careful_encryption::password::{self, Cost};
use careful_encryption::public_key::{Classical, KeyPair};
use careful_encryption::sealing::{KeyId, OpenError, Sealer, SecretKey};
use careful_encryption::signed_box;
use careful_encryption::signing::{SigningKey, VerifyingKey, signed_bytes};
use careful_encryption::stream::{self, CHUNK, StreamError};
use serde_json::Value;
use zeroize::Zeroizing;

type TestResult = Result<(), Box<dyn Error>>;

/// One vector.
struct Vector(Value);

impl Vector {
    fn of(kind: &str) -> Vec<Self> {
        let all: Value = serde_json::from_str(include_str!("../vectors.json")).expect("JSON");
        let vectors = all[kind].as_array().expect("vectors of this kind").clone();
        assert!(!vectors.is_empty(), "{kind}");
        vectors.into_iter().map(Self).collect()
    }

    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| panic!("expected a text {name}"))
    }

    fn number(&self, name: &str) -> u32 {
        let number = self.0[name].as_u64().and_then(|number| u32::try_from(number).ok());
        number.unwrap_or_else(|| panic!("expected a number {name}"))
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let digits = self.text(name).as_bytes().chunks(2);
        let pair = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
        digits.map(|digits| pair(digits).expect("hexadecimal")).collect()
    }

    fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.bytes(name).try_into().unwrap_or_else(|_| panic!("expected {N} bytes: {name}"))
    }

    fn context(&self) -> Context {
        let parts = self.0["context"].as_array().expect("a context");
        let mut parts = parts.iter().map(|part| part.as_str().expect("a part").to_owned());
        let purpose: &'static str = parts.next().expect("a purpose").leak();
        parts.fold(Context::new(purpose), |context, part| context.with(part))
    }

    fn sealer(&self) -> Sealer {
        let key = SecretKey::from_bytes(&mut self.array("key"));
        Sealer::new(KeyId(self.array("key_id")), &key)
    }

    fn ring(&self) -> KeyRing {
        KeyRing::new(KeyId(self.array("key_id")), &SecretKey::from_bytes(&mut self.array("key")))
    }
}

/// Each bit of what authenticates or is authenticated: none may be changed.
fn changed(bytes: &[u8], at: impl Iterator<Item = usize>) -> impl Iterator<Item = Vec<u8>> {
    at.map(|at| {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        changed
    })
}

#[test]
fn contexts_are_encoded_so() {
    for vector in Vector::of("context") {
        assert_eq!(vector.context().as_bytes(), vector.bytes("encoded"));
    }
}

#[test]
fn messages_open() -> TestResult {
    for vector in Vector::of("message") {
        let (sealer, message) = (vector.sealer(), vector.bytes("message"));
        assert_eq!(sealer.open(&vector.context(), &message)?, vector.text("text").as_bytes());
        for changed in changed(&message, 0..message.len()) {
            assert!(sealer.open(&vector.context(), &changed).is_err(), "{changed:02x?}");
        }
        let other = sealer.open(&Context::new("other"), &message);
        assert_eq!(other, Err(OpenError::NotAuthentic));
    }
    Ok(())
}

#[test]
fn messages_under_a_password_open() -> TestResult {
    for vector in Vector::of("password message") {
        let message = vector.bytes("message");
        let numbers = ["memory", "passes", "lanes"].map(|name| vector.number(name));
        assert_eq!(message[1..13], numbers.map(u32::to_be_bytes).concat());
        let password = vector.text("password").as_bytes();
        let opened = password::open(password, Cost::LIMIT, &vector.context(), &message)?;
        assert_eq!(opened, vector.text("text").as_bytes());
        // The salt, the commitment's first and last byte, the sealed message's key id.
        for changed in changed(&message, [13, 29, 60, 62].into_iter()) {
            let refused = password::open(password, Cost::LIMIT, &vector.context(), &changed);
            assert!(refused.is_err(), "{refused:?}");
        }
    }
    Ok(())
}

#[test]
fn envelopes_open() -> TestResult {
    for vector in Vector::of("envelope") {
        let (ring, envelope) = (vector.ring(), vector.bytes("envelope"));
        let opened = ring.open_envelope(&vector.context(), &envelope)?;
        assert_eq!(opened, vector.text("text").as_bytes());
        for changed in changed(&envelope, 0..envelope.len()) {
            assert!(ring.open_envelope(&vector.context(), &changed).is_err(), "{changed:02x?}");
        }
    }
    Ok(())
}

#[test]
fn streams_of_two_chunks_open() -> TestResult {
    for vector in Vector::of("stream") {
        let (header, last) = (vector.bytes("header"), vector.bytes("last_chunk"));
        let first = [vec![0; CHUNK], vector.bytes("first_tag")].concat();
        let (ring, context) = (vector.ring(), vector.context());
        let open = |parts: &[&[u8]]| -> Result<Vec<u8>, StreamError> {
            let mut text = Vec::new();
            stream::open(&ring, &context, &mut parts.concat().as_slice(), &mut text)?;
            Ok(text)
        };
        let text = open(&[&header, &first, &last])?;
        assert!(text.ends_with(vector.text("last_text").as_bytes()));
        assert_eq!(digest(&SHA256, &text).as_ref(), vector.bytes("sha256_of_text"));
        for parts in [[&header, &last, &first], [&header, &first, &first]] {
            assert!(open(&parts.map(Vec::as_slice)).is_err());
        }
        assert!(open(&[&header, &first]).is_err(), "without its end");
        assert!(open(&[&header, &last]).is_err(), "without its beginning");
    }
    Ok(())
}

#[test]
fn boxes_open() -> TestResult {
    for vector in Vector::of("box") {
        let pair = KeyPair::<Classical>::from_bytes(&vector.bytes("private"))?;
        assert_eq!(pair.public().to_bytes(), vector.bytes("public"));
        let opened = pair.open(&vector.context(), &vector.bytes("box"))?;
        assert_eq!(opened, vector.text("text").as_bytes());
    }
    Ok(())
}

#[test]
fn signatures_are_these() -> TestResult {
    for vector in Vector::of("signature") {
        let (context, text) = (vector.context(), vector.text("text").as_bytes());
        let key = SigningKey::from_seed(&Zeroizing::new(vector.array("seed")))?;
        assert_eq!(key.public().to_bytes(), vector.array::<32>("public"));
        assert_eq!(signed_bytes(&context, text), vector.bytes("signed_bytes"));
        assert_eq!(key.sign(&context, text), vector.array::<64>("signature"));
        VerifyingKey::from_bytes(vector.array("public"))?.verify(
            &context,
            text,
            &vector.bytes("signature"),
        )?;
    }
    Ok(())
}

#[test]
fn signed_boxes_open() -> TestResult {
    for vector in Vector::of("signed box") {
        let alice = SigningKey::from_seed(&Zeroizing::new(vector.array("seed")))?;
        let bob = KeyPair::<Classical>::from_bytes(&vector.bytes("private"))?;
        let (context, sealed) = (vector.context(), vector.bytes("box"));
        let opened = signed_box::open(&bob, &alice.public(), &context, &sealed)?;
        assert_eq!(opened.text, vector.text("text").as_bytes());
        assert_eq!(opened.signature, vector.array::<64>("signature"));
        for other in [Context::new("letter"), Context::new("letter").with("number 2")] {
            assert!(signed_box::open(&bob, &alice.public(), &other, &sealed).is_err());
        }
    }
    Ok(())
}
