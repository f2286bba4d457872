//! What the lesson claims of its take-home code, each as a test.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::{
    BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD,
};
use careful_tokens::bearer::{Challenge, NoToken, bearer_token, refuse};
use careful_tokens::binding::Confirmation;
use careful_tokens::claims::{Claims, NoMore};
use careful_tokens::clock::Clock;
use careful_tokens::denylist::DenyList;
use careful_tokens::issuer::{IssueError, Issuer};
use careful_tokens::jwks::{KeySet, KeySetError, LONGEST_JWKS, MOST_KEYS};
use careful_tokens::keys::{Algorithm, KeyError, KeyId, SigningKey, VerifyingKey};
use careful_tokens::profile::{MOST_LEEWAY, MOST_LIFETIME, Profile, ProfileError, TokenType};
use careful_tokens::refresh::{
    LoginError, RefreshLimits, RefreshReason, RefreshStore, RefreshToken,
};
use careful_tokens::remote::{Freshness, FreshnessError, RemoteVerifier};
use careful_tokens::verifier::{LONGEST_TOKEN, Reason, Refused, Verifier};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use jsonwebtoken::EncodingKey;
use jwt::lab::dictionary::search;
use jwt::lab::forge;
use jwt::lab::stage::{AUDIENCE, ISSUER, NOW, Scope, pair, profile};
use proptest::prelude::*;
use rcgen::PublicKeyData;
use serde_json::{Value, json};

type TestResult = Result<(), Box<dyn Error>>;

const SECRET: [u8; 32] = [7; 32];

fn id() -> KeyId {
    KeyId::new("2026-11").expect("an id")
}

fn secret_key() -> SigningKey {
    SigningKey::hs256(id(), &SECRET).expect("a secret")
}

fn of_the_issuer() -> (Value, Value) {
    let header = json!({ "typ": "at+jwt", "alg": "HS256", "kid": "2026-11" });
    let claims = json!({
        "iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "exp": NOW + 300, "iat": NOW,
        "jti": "id", "scope": "read",
    });
    (header, claims)
}

/// What the verifier says of this header and these claims, signed with its own secret.
fn verdict(header: &Value, claims: &Value) -> Result<Claims<Scope>, Reason> {
    let (_, verifier) = pair(secret_key(), &Clock::settable(NOW)).expect("a pair");
    let token = forge::hs256(&SECRET, &forge::unsigned(header, claims));
    verifier.verify(&token).map_err(|refused| refused.reason().clone())
}

fn with(name: &str, value: Value) -> Result<Claims<Scope>, Reason> {
    let (header, mut claims) = of_the_issuer();
    claims[name] = value;
    verdict(&header, &claims)
}

fn without(name: &str) -> Result<Claims<Scope>, Reason> {
    let (header, mut claims) = of_the_issuer();
    claims.as_object_mut().expect("an object").remove(name);
    verdict(&header, &claims)
}

fn header_with(name: &str, value: Value) -> Result<Claims<Scope>, Reason> {
    let (mut header, claims) = of_the_issuer();
    header[name] = value;
    verdict(&header, &claims)
}

#[test]
fn the_unchanged_token_of_these_tests_is_accepted() {
    let (header, claims) = of_the_issuer();
    let claims = verdict(&header, &claims).expect("accepted");
    assert_eq!((claims.sub.as_str(), claims.more), ("alice", Scope::new("read")));
}

#[test]
fn every_algorithm_signs_what_its_verifier_accepts() -> TestResult {
    let clock = Clock::settable(NOW);
    let keys =
        [SigningKey::ed25519(id())?, SigningKey::p256(id())?, SigningKey::hs256_random(id())?];
    for key in keys {
        let name = key.algorithm().name();
        let (issuer, verifier) = pair(key, &clock)?;
        let token = issuer.issue("alice", &Scope::new("read"))?;
        let claims = verifier.verify::<Scope>(token.expose())?;
        assert_eq!((claims.sub, claims.exp - claims.iat), ("alice".to_owned(), 600), "{name}");
    }
    Ok(())
}

#[test]
fn a_missing_claim_is_refused() {
    for name in ["iss", "sub", "aud", "exp", "iat", "jti", "scope"] {
        let refused = without(name).expect_err(name);
        assert_eq!(refused, Reason::Claims(format!("missing field `{name}`")));
    }
}

#[test]
fn a_claim_of_another_type_is_refused() {
    let others = [json!(null), json!(5.5), json!([]), json!({}), json!(true), json!(-1)];
    for name in ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "scope", "cnf"] {
        for value in others.iter().chain(&[json!(["a"]), json!("")]) {
            let refused = with(name, value.clone());
            assert!(refused.is_err() || name == "scope", "{name}: {value}");
        }
    }
    assert!(matches!(with("scope", json!(5)), Err(Reason::Claims(_))));
}

#[test]
fn the_claim_of_another_type_is_named() {
    let fraction = json!(NOW as f64 + 300.5);
    let others = [json!(null), fraction, json!([1]), json!({}), json!(true), json!(-1)];
    for name in ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "cnf"] {
        for value in &others {
            let Err(Reason::Claims(said)) = with(name, value.clone()) else {
                panic!("expected {name} to be refused for its type: {value}")
            };
            // Of an empty `cnf`, its member is missing.
            let names = [name, if name == "cnf" { "x5t#S256" } else { name }];
            assert!(said.split([' ', '`']).any(|word| names.contains(&word)), "{name}: {said}");
        }
    }
    let own = with("scope", json!(5)).expect_err("of your own");
    assert_eq!(own.to_string(), "claims: one of your own is not of the expected type");
}

/// The claim is taken by `Claims` itself: an optional field of that name would never be filled.
#[test]
fn claims_of_your_own_with_a_registered_name_are_refused_by_name() -> TestResult {
    #[derive(Debug, serde::Deserialize)]
    struct Own {
        #[serde(rename = "nbf")]
        _not_before: Option<u64>,
    }
    let (issuer, verifier) = pair(secret_key(), &Clock::settable(NOW))?;
    let token = issuer.issue("alice", &NoMore {})?;
    let refused = verifier.verify::<Own>(token.expose()).expect_err("its own nbf");
    let said = "claims: your own have the registered name nbf";
    assert_eq!(refused.reason().to_string(), said);
    assert!(verifier.verify::<Value>(token.expose()).is_ok(), "any other claims");
    Ok(())
}

#[test]
fn an_empty_subject_or_id_is_refused() {
    for name in ["sub", "jti"] {
        assert!(matches!(with(name, json!("")), Err(Reason::Claims(_))), "{name}");
    }
}

#[test]
fn another_issuer_or_audience_is_refused_and_a_list_too() {
    assert_eq!(with("iss", json!("https://evil.test")), Err(Reason::Issuer));
    assert_eq!(with("aud", json!("https://evil.test")), Err(Reason::Audience));
    // No prefix, no other case, no slash at the end.
    for close in [format!("{AUDIENCE}/"), AUDIENCE.to_uppercase(), AUDIENCE[1..].to_owned()] {
        assert_eq!(with("aud", json!(close)), Err(Reason::Audience));
    }
    assert!(matches!(with("iss", json!([ISSUER])), Err(Reason::Claims(_))));
    assert!(matches!(with("aud", json!([AUDIENCE])), Err(Reason::Claims(_))));
}

#[test]
fn times_are_checked_to_the_second() {
    let at = |iat: u64, exp: u64| {
        let (header, mut claims) = of_the_issuer();
        (claims["iat"], claims["exp"]) = (json!(iat), json!(exp));
        verdict(&header, &claims).map(|_claims| ())
    };
    // The leeway is 5 s, the longest lifetime 600.
    assert_eq!(at(NOW - 100, NOW - 4), Ok(()));
    assert_eq!(at(NOW - 100, NOW - 5), Err(Reason::Expired(5)));
    assert_eq!(at(NOW + 5, NOW + 100), Ok(()));
    assert_eq!(at(NOW + 6, NOW + 100), Err(Reason::FromTheFuture(6)));
    assert_eq!(at(NOW, NOW + 600), Ok(()));
    let too_long = Err(Reason::Lifetime { most: 600 });
    assert_eq!(at(NOW, NOW + 601), too_long);
    assert_eq!(at(NOW, NOW), too_long);
    assert_eq!(at(NOW + 2, NOW + 1), too_long);
    assert_eq!(at(0, u64::MAX), too_long);
    assert_eq!(at(u64::MAX - 1, u64::MAX), Err(Reason::FromTheFuture(u64::MAX - 1 - NOW)));
    assert_eq!(with("nbf", json!(NOW + 5)).map(|_| ()), Ok(()));
    assert_eq!(with("nbf", json!(NOW + 6)).map(|_| ()), Err(Reason::NotYet(6)));
}

#[test]
fn only_the_expected_kind_is_accepted() {
    for kind in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/at+jwt"] {
        assert!(header_with("typ", json!(kind)).is_ok(), "{kind}");
    }
    for kind in [
        json!("JWT"),
        json!("xat+jwt"),
        json!("xpplication/at+jwt"),
        json!("application/"),
        json!("ä/at+jwt"),
    ] {
        assert_eq!(header_with("typ", kind), Err(Reason::Kind("at+jwt")));
    }
}

#[test]
fn crit_is_refused_even_when_it_is_empty_or_null() {
    for value in [json!(null), json!([]), json!(["exp"]), json!(["b64"])] {
        assert_eq!(header_with("crit", value), Err(Reason::Critical));
    }
}

#[test]
fn the_algorithm_is_the_keys() {
    for (alg, kind) in [("HS512", "HS512"), ("RS256", "RS256"), ("EdDSA", "EdDSA")] {
        let expected = "HS256";
        let got = kind.to_owned();
        assert_eq!(header_with("alg", json!(alg)), Err(Reason::Algorithm { expected, got }));
    }
    for alg in ["none", "None", "hs256", ""] {
        assert!(matches!(header_with("alg", json!(alg)), Err(Reason::Malformed(_))), "{alg}");
    }
}

/// JSON has more than one way to write a text; both readers of the header see the same key id.
#[test]
fn a_key_id_with_an_escape_is_the_same_key_id() -> TestResult {
    let (_, verifier) = pair(secret_key(), &Clock::settable(NOW))?;
    let (_, claims) = of_the_issuer();
    let verdict = |kid: &str| {
        let header = format!(r#"{{"typ":"at+jwt","alg":"HS256","kid":"{kid}"}}"#);
        let token = forge::hs256(&SECRET, &forge::unsigned_text(&header, &claims.to_string()));
        verifier.verify::<Scope>(&token).map_err(|refused| refused.reason().clone())
    };
    assert!(verdict(r"2026-1\u0031").is_ok());
    assert_eq!(verdict(r"2026-1\u0032"), Err(Reason::UnknownKey));
    Ok(())
}

#[test]
fn a_key_id_is_looked_up_and_nothing_else() {
    for kid in [json!("2026-12"), json!("../2026-11"), json!("2026-11 "), json!("")] {
        assert_eq!(header_with("kid", kid), Err(Reason::UnknownKey));
    }
    let (mut header, claims) = of_the_issuer();
    header.as_object_mut().expect("an object").remove("kid");
    assert_eq!(verdict(&header, &claims), Err(Reason::UnknownKey));
}

#[test]
fn a_claim_that_comes_twice_is_refused() -> TestResult {
    let (_, verifier) = pair(secret_key(), &Clock::settable(NOW))?;
    let (header, claims) = of_the_issuer();
    for name in ["sub", "exp", "scope", "aud"] {
        let member = format!("{{\"{name}\":{},", claims[name]);
        let twice = claims.to_string().replacen('{', &member, 1);
        let token = forge::hs256(&SECRET, &forge::unsigned_text(&header.to_string(), &twice));
        let refused = verifier.verify::<Scope>(&token).err().ok_or("refused")?;
        assert_eq!(*refused.reason(), Reason::Claims(format!("duplicate field `{name}`")));
    }
    Ok(())
}

#[test]
fn every_flipped_bit_of_a_token_is_refused() -> TestResult {
    for key in [SigningKey::ed25519(id())?, SigningKey::p256(id())?, secret_key()] {
        let (issuer, verifier) = pair(key, &Clock::settable(NOW))?;
        let token = issuer.issue("alice", &Scope::new("read"))?;
        let mut bytes = token.expose().as_bytes().to_vec();
        for at in 0..bytes.len() {
            for bit in 0..7 {
                bytes[at] ^= 1 << bit;
                let text = std::str::from_utf8(&bytes)?;
                assert!(verifier.verify::<Scope>(text).is_err(), "byte {at}, bit {bit}");
                bytes[at] ^= 1 << bit;
            }
        }
    }
    Ok(())
}

#[test]
fn a_token_of_another_key_with_the_same_id_is_refused() -> TestResult {
    let clock = Clock::settable(NOW);
    let makers: [fn(KeyId) -> Result<SigningKey, KeyError>; 3] =
        [SigningKey::ed25519, SigningKey::p256, SigningKey::hs256_random];
    for make in makers {
        let (issuer, _) = pair(make(id())?, &clock)?;
        let (_, verifier) = pair(make(id())?, &clock)?;
        let token = issuer.issue("mallory", &Scope::new("read"))?;
        let refused = verifier.verify::<Scope>(token.expose()).err().ok_or("refused")?;
        assert_eq!(*refused.reason(), Reason::Signature);
    }
    Ok(())
}

#[test]
fn signatures_of_zeros_are_refused() -> TestResult {
    let (issuer, verifier) = pair(SigningKey::p256(id())?, &Clock::settable(NOW))?;
    let token = issuer.issue("alice", &Scope::new("read"))?;
    let (unsigned, _) = token.expose().rsplit_once('.').ok_or("a dot")?;
    for signature in [vec![0; 64], vec![], vec![0; 63], vec![0xff; 64]] {
        let forged = format!("{unsigned}.{}", BASE64_URL_SAFE_NO_PAD.encode(&signature));
        let refused = verifier.verify::<Scope>(&forged).err().ok_or("refused")?;
        assert_eq!(*refused.reason(), Reason::Signature, "{} bytes", signature.len());
    }
    Ok(())
}

#[test]
fn a_long_token_is_refused_before_it_is_looked_at() -> TestResult {
    let (_, verifier) = pair(secret_key(), &Clock::settable(NOW))?;
    let refused = verifier.verify::<Scope>(&"a".repeat(LONGEST_TOKEN + 1));
    assert_eq!(
        refused.err().map(|refused| refused.reason().clone()),
        Some(Reason::TooLong(LONGEST_TOKEN + 1))
    );
    Ok(())
}

#[test]
fn nested_json_does_not_overflow_the_stack() -> TestResult {
    let (_, verifier) = pair(secret_key(), &Clock::settable(NOW))?;
    let reason = |header: &str, claims: &str| {
        let token = forge::hs256(&SECRET, &forge::unsigned_text(header, claims));
        assert!(token.len() <= LONGEST_TOKEN, "it is looked at");
        verifier.verify::<Scope>(&token).err().map(|refused| refused.reason().clone())
    };
    let header = format!("{{\"alg\":\"HS256\",\"kid\":\"2026-11\",\"x\":{}", "[".repeat(2000));
    assert!(matches!(reason(&header, "{}"), Some(Reason::Malformed(_))));
    let (header, _) = of_the_issuer();
    let claims = format!("{}1{}", "{\"x\":".repeat(900), "}".repeat(900));
    assert!(matches!(reason(&header.to_string(), &claims), Some(Reason::Claims(_))));
    Ok(())
}

proptest! {
    #[test]
    fn no_text_is_accepted_or_makes_the_verifier_panic(text in "\\PC*") {
        let (_, verifier) = pair(secret_key(), &Clock::settable(NOW)).expect("a pair");
        prop_assert!(verifier.verify::<NoMore>(&text).is_err());
    }

    #[test]
    fn no_three_parts_are_accepted(
        header in proptest::collection::vec(any::<u8>(), 0..200),
        claims in proptest::collection::vec(any::<u8>(), 0..200),
        signature in proptest::collection::vec(any::<u8>(), 0..70),
    ) {
        let (_, verifier) = pair(secret_key(), &Clock::settable(NOW)).expect("a pair");
        let parts = [header, claims, signature].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        prop_assert!(verifier.verify::<NoMore>(&parts.join(".")).is_err());
    }

    /// Even of its own issuer: any JSON in the place of each claim, and nothing but the expected
    /// claims is accepted.
    #[test]
    fn no_signed_claims_make_the_verifier_panic(
        name in prop::sample::select(vec!["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "cnf"]),
        value in any_json(),
    ) {
        let accepted = with(name, value.clone());
        if let Ok(claims) = accepted {
            prop_assert_eq!(claims.iss, ISSUER);
            prop_assert_eq!(claims.aud, AUDIENCE);
            prop_assert!(claims.exp > NOW - 5 && claims.iat <= NOW + 5);
            prop_assert!(matches!(name, "sub" | "jti" | "exp" | "iat" | "nbf"), "{} {}", name, value);
        }
    }

    #[test]
    fn no_text_makes_a_key_set_panic(text in "\\PC*") {
        let _ = KeySet::from_jwks(text.as_bytes());
    }

    #[test]
    fn no_text_is_a_refresh_token(text in "[A-Za-z0-9_-]{0,80}") {
        let store = RefreshStore::new(RefreshLimits::default(), Clock::settable(NOW));
        store.log_in("alice").expect("a login");
        prop_assert!(store.refresh(&text).is_err());
    }

    #[test]
    fn no_header_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            headers.insert(AUTHORIZATION, value);
            if let Ok(token) = bearer_token(&headers) {
                prop_assert!(token.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (NOW - 1000..NOW + 1000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                .prop_map(|map: BTreeMap<String, Value>| json!(map)),
        ]
    })
}

#[test]
fn a_refusal_tells_the_sender_nothing() -> TestResult {
    let (issuer, verifier) = pair(secret_key(), &Clock::settable(NOW))?;
    let token = issuer.issue("alice", &Scope::new("a secret scope"))?;
    let mut texts = std::collections::BTreeSet::new();
    let tokens = ["", "a.b.c", &token.expose()[1..], &format!("{}x", token.expose())];
    for text in tokens {
        let refused: Refused = verifier.verify::<Scope>(text).err().ok_or("refused")?;
        texts.insert(refused.to_string());
        assert!(Error::source(&refused).is_none(), "no cause to be printed by chance");
    }
    assert_eq!(texts.len(), 1);
    Ok(())
}

#[test]
fn no_value_of_a_claim_stands_in_a_reason() {
    for (name, value) in [
        ("scope", json!({ "password": "hunter2-hunter2" })),
        ("exp", json!("hunter2-hunter2")),
        ("sub", json!(["hunter2-hunter2"])),
        ("cnf", json!({ "hunter2-hunter2": 1 })),
    ] {
        let reason = with(name, value).expect_err(name);
        assert!(matches!(reason, Reason::Claims(_)), "{name}");
        assert!(!format!("{reason} {reason:?}").contains("hunter2"), "{name}");
    }
}

#[test]
fn tokens_and_keys_are_not_printed() -> TestResult {
    let key = secret_key();
    let secret = BASE64_URL_SAFE_NO_PAD.encode(SECRET);
    let (issuer, verifier) = pair(secret_key(), &Clock::settable(NOW))?;
    let token = issuer.issue("alice", &NoMore {})?;
    let store = RefreshStore::new(RefreshLimits::default(), Clock::settable(NOW));
    let refresh = store.log_in("alice")?;
    let printed = format!(
        "{key:?} {:?} {issuer:?} {verifier:?} {token:?} {refresh:?} {store:?}",
        key.verifying()
    );
    let hidden = [secret.as_str(), "[7, 7", "07, 07", token.expose(), refresh.expose(), "alice"];
    for hidden in hidden {
        assert!(!printed.contains(hidden), "{hidden} in {printed}");
    }
    Ok(())
}

#[test]
fn a_weak_secret_is_found_and_a_strong_one_is_not_made_of_it() -> TestResult {
    let (header, claims) = of_the_issuer();
    let token = forge::hs256(b"changeme", &forge::unsigned(&header, &claims));
    assert_eq!(search(&token).found, Some("changeme"));
    let from = |text: &str| SigningKey::hs256_from_base64(id(), text);
    for (weak, length) in [("", 0), ("changeme", 6), (&BASE64_STANDARD.encode([7; 31]), 31)] {
        assert_eq!(from(weak).err(), Some(KeyError::SecretLength(length)));
    }
    assert_eq!(from("your-256-bit-secret").err(), Some(KeyError::NotBase64));
    let pem = rcgen::KeyPair::generate()?.public_key_pem();
    assert_eq!(
        from(&BASE64_STANDARD.encode(&pem.as_bytes()[..48])).err(),
        Some(KeyError::NotASecret("a text"))
    );
    assert_eq!(
        from(&"0123456789abcdef".repeat(4)).err(),
        Some(KeyError::NotASecret("hexadecimal digits"))
    );
    assert_eq!(
        SigningKey::hs256(id(), b"thirty-two letters of a password").err(),
        Some(KeyError::NotASecret("a text"))
    );
    Ok(())
}

/// Each is a key that others may have: as a secret, anybody who has it can make tokens.
#[test]
fn no_key_in_a_text_is_a_secret() -> TestResult {
    let pair = rcgen::KeyPair::generate()?;
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
    let certificate =
        rcgen::CertificateParams::new(vec!["bank.test".to_owned()])?.self_signed(&pair)?;
    let jwk = KeySet::new([SigningKey::ed25519(id())?.verifying()])?.to_jwks()?;
    let point = pair.public_key_raw();
    let (spki, der) = (pair.subject_public_key_info(), ed25519.subject_public_key_info());
    let blob = |kind: &str, key: &[u8]| {
        let field = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes(), bytes].concat();
        [field(kind.as_bytes()), field(key)].concat()
    };
    let ssh = blob("ssh-ed25519", ed25519.public_key_raw());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let base64 = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    let texts = [
        pair.public_key_pem(),
        pair.serialize_pem(),
        certificate.pem(),
        format!("\n {}", pair.public_key_pem()),
        format!("# the bank's key\n{}", pair.public_key_pem()),
        format!("\u{feff}{}", pair.public_key_pem()),
        pair.public_key_pem().replace('\n', "\r\n"),
        // The lines between the two of a PEM, with and without their ends.
        pair.public_key_pem().lines().filter(|line| !line.starts_with('-')).collect(),
        ed25519.public_key_pem().lines().filter(|line| !line.starts_with('-')).collect(),
        format!("ssh-ed25519 {} alice", base64(&ssh)),
        format!("ecdsa-sha2-nistp256 {} alice", base64(&blob("ecdsa-sha2-nistp256", point))),
        format!("sk-ssh-ed25519@openssh.com {}", base64(&ssh)),
        format!("no-pty ssh-ed25519 {}", base64(&ssh)),
        base64(&ssh),
        jwk.clone(),
        format!("\u{feff} {jwk}"),
        format!("[{jwk}]"),
        base64(jwk.as_bytes()),
        base64(&spki),
        base64(&der),
        base64(certificate.der()),
        base64(&pair.serialize_der()),
        // 48 bytes: PKCS#8 of Ed25519 without the public half.
        base64(&[&ED25519_PKCS8[..], ed25519.public_key_raw()].concat()),
        // 64 bytes: a private key of P-384 as SEC 1 writes it.
        base64(&[&[0x30, 0x3e, 2, 1, 1, 4, 48][..], &[7; 48], P384_PARAMETERS].concat()),
        // 64 bytes: a public key of an unknown algorithm.
        base64(&[&[0x30, 62, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 53, 0][..], &[7; 52]].concat()),
        base64(point),
        // 64 bytes: x and y.
        base64(&point[1..]),
        BASE64_URL_SAFE_NO_PAD.encode(&point[1..]),
        hex(point),
        hex(ed25519.public_key_raw()).to_uppercase(),
        hex(&der),
        format!("SHA256:{}", base64(&[7; 32])),
        "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".to_owned(),
        "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned(),
        "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----".to_owned(),
        "<RSAKeyValue><Modulus>AQAB</Modulus></RSAKeyValue>".to_owned(),
    ];
    for text in texts {
        let made = SigningKey::hs256_from_base64(id(), &text);
        assert!(made.is_err(), "{text}");
        // As bytes it has another length, or is a text.
        if let Ok(bytes) = <&[u8; careful_tokens::keys::SECRET]>::try_from(text.as_bytes()) {
            assert!(SigningKey::hs256(id(), bytes).is_err(), "{text}");
        }
    }
    Ok(())
}

/// What stands before the 32 bytes of a private key (RFC 8410 section 7).
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// The curve of a private key (RFC 5915 section 3).
const P384_PARAMETERS: &[u8] = &[0xa0, 7, 6, 5, 0x2b, 0x81, 4, 0, 0x22];

#[test]
fn random_bytes_are_a_secret_in_each_of_their_texts() -> TestResult {
    for length in [32, 48, 64] {
        for _ in 0..1000 {
            let mut bytes = vec![0; length];
            aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "random bytes")?;
            for text in [
                BASE64_STANDARD.encode(&bytes),
                BASE64_STANDARD_NO_PAD.encode(&bytes),
                BASE64_URL_SAFE.encode(&bytes),
                format!(" {}\n", BASE64_URL_SAFE_NO_PAD.encode(&bytes)),
            ] {
                let key = SigningKey::hs256_from_base64(id(), &text)?;
                assert_eq!(*key.expose(), bytes);
            }
        }
    }
    // Random bytes may begin as a JWK or as DER does, with their own length, too.
    let mut random = [7; 32];
    for (first, second) in [(b'{', b'"'), (0x30, 7), (0x30, 30)] {
        random[..2].copy_from_slice(&[first, second]);
        assert!(SigningKey::hs256(id(), &random).is_ok());
    }
    Ok(())
}

#[test]
fn keys_come_back_from_a_key_store() -> TestResult {
    let clock = Clock::settable(NOW);
    for key in [SigningKey::ed25519(id())?, SigningKey::p256(id())?] {
        let algorithm = key.algorithm();
        let again = SigningKey::from_pkcs8(id(), algorithm, &key.expose())?;
        let (_, verifier) = pair(key, &clock)?;
        let (issuer, _) = pair(again, &clock)?;
        assert!(verifier.verify::<NoMore>(issuer.issue("a", &NoMore {})?.expose()).is_ok());
    }
    let ed25519 = SigningKey::ed25519(id())?.expose();
    for (algorithm, der) in
        [(Algorithm::Es256, &ed25519[..]), (Algorithm::Hs256, &ed25519), (Algorithm::EdDsa, b"")]
    {
        let refused = SigningKey::from_pkcs8(id(), algorithm, der).err();
        assert_eq!(refused, Some(KeyError::Private(algorithm.name())));
    }
    Ok(())
}

#[test]
fn a_key_id_is_a_plain_word() {
    for bad in ["", "../x", "a b", "a/b", "a\n", "ä", &"a".repeat(65)] {
        assert_eq!(KeyId::new(bad), Err(KeyError::Id), "{bad}");
    }
    assert!(KeyId::new(&"a".repeat(64)).is_ok());
}

#[test]
fn a_profile_needs_names_a_lifetime_and_good_clocks() -> TestResult {
    let new = |issuer, audience| Profile::new(issuer, audience, TokenType::ACCESS);
    assert_eq!(new("", "a").err(), Some(ProfileError::NoName("issuer")));
    assert_eq!(new("i", "").err(), Some(ProfileError::NoName("audience")));
    for kind in ["", "JWT", "jwt", "+jwt", "application/at+jwt", "AT+JWT", "a b+jwt", "at+jwt "] {
        let refused = Profile::new("i", "a", TokenType::new(kind)).err();
        assert_eq!(refused, Some(ProfileError::Kind(kind)));
    }
    assert!(Profile::new("i", "a", TokenType::new("secevent.v2+jwt")).is_ok());
    let half = Duration::from_millis(500);
    assert_eq!(new("i", "a")?.lifetime(half).err(), Some(ProfileError::NoLifetime));
    assert!(new("i", "a")?.lifetime(MOST_LIFETIME).is_ok());
    let longer = MOST_LIFETIME + half;
    let too_long = new("i", "a")?.lifetime(longer).err();
    assert_eq!(too_long, Some(ProfileError::Lifetime(longer)));
    let more = MOST_LEEWAY + half;
    assert_eq!(new("i", "a")?.leeway(more).err(), Some(ProfileError::Leeway(more)));
    assert!(new("i", "a")?.leeway(MOST_LEEWAY).is_ok());
    Ok(())
}

#[test]
fn claims_of_ones_own_cannot_replace_the_issuers() -> TestResult {
    let (issuer, _) = pair(secret_key(), &Clock::settable(NOW))?;
    for name in ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "cnf"] {
        let more = json!({ "scope": "read", name: "mine" });
        let refused = issuer.issue("alice", &more);
        assert!(
            matches!(refused, Err(IssueError::Reserved(reserved)) if reserved == name),
            "{name}"
        );
    }
    assert!(matches!(issuer.issue("", &NoMore {}), Err(IssueError::NoSubject)));
    assert!(matches!(issuer.issue("alice", &5), Err(IssueError::NotAnObject)));
    let long = Scope::new(&"a".repeat(LONGEST_TOKEN));
    assert!(matches!(issuer.issue("alice", &long), Err(IssueError::TooLong(_))));
    Ok(())
}

#[test]
fn the_longest_token_that_is_issued_is_the_longest_that_is_looked_at() -> TestResult {
    let key = SigningKey::hs256(KeyId::new("11")?, &SECRET)?;
    let (issuer, verifier) = pair(key, &Clock::settable(NOW))?;
    let issued = (5800..6100)
        .filter_map(|length| issuer.issue("alice", &Scope::new(&"a".repeat(length))).ok());
    let longest = issued.max_by_key(|token| token.expose().len()).ok_or("a token")?;
    assert_eq!(longest.expose().len(), LONGEST_TOKEN);
    verifier.verify::<Scope>(longest.expose())?;
    Ok(())
}

#[test]
fn no_two_tokens_have_one_id() -> TestResult {
    let (issuer, verifier) = pair(secret_key(), &Clock::settable(NOW))?;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        let token = issuer.issue("alice", &NoMore {})?;
        ids.insert(verifier.verify::<NoMore>(token.expose())?.jti);
    }
    assert_eq!(ids.len(), 1000);
    Ok(())
}

#[test]
fn a_key_set_publishes_no_secret_and_reads_none() -> TestResult {
    let secret = KeySet::new([secret_key().verifying()])?;
    assert!(matches!(secret.to_jwks(), Err(KeySetError::Secret(_))));
    let public = KeySet::new([
        SigningKey::ed25519(id())?.verifying(),
        SigningKey::p256(KeyId::new("p256")?)?.verifying(),
    ])?;
    let jwks: Value = serde_json::from_str(&public.to_jwks()?)?;
    let read = KeySet::from_jwks(jwks.to_string().as_bytes())?;
    assert_eq!(read.ids().count(), 2);
    let mut leaked = jwks.clone();
    leaked["keys"][0]["d"] = json!("AAAA");
    let oct = json!({ "keys": [{ "kty": "oct", "k": "AAAA", "kid": "x" }] });
    for set in [leaked, oct] {
        let read = KeySet::from_jwks(set.to_string().as_bytes());
        assert!(matches!(read, Err(KeySetError::Secret(_))));
    }
    Ok(())
}

#[test]
fn a_key_set_from_elsewhere_is_read_strictly() -> TestResult {
    let jwk = |key: SigningKey| -> Result<Value, Box<dyn Error>> {
        let set: Value = serde_json::from_str(&KeySet::new([key.verifying()])?.to_jwks()?)?;
        Ok(set["keys"][0].clone())
    };
    let ed25519 = jwk(SigningKey::ed25519(id())?)?;
    let p256 = jwk(SigningKey::p256(KeyId::new("p256")?)?)?;
    let read = |keys: &[Value]| KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes());
    // The same key again is one key; another one of the same id refuses the set.
    assert_eq!(read(&std::array::from_fn::<_, 100, _>(|_| ed25519.clone()))?.ids().count(), 1);
    let mut another = jwk(SigningKey::ed25519(id())?)?;
    another["kid"] = ed25519["kid"].clone();
    let twice = read(&[ed25519.clone(), another.clone()]);
    assert!(matches!(twice, Err(KeySetError::Twice(_))));
    let mut p256_of_the_id = p256.clone();
    p256_of_the_id["kid"] = ed25519["kid"].clone();
    let twice = read(&[ed25519.clone(), p256_of_the_id]);
    assert!(matches!(twice, Err(KeySetError::Twice(_))));
    // What can't be used is not counted: large issuers publish RSA keys by the dozen.
    let rsa =
        |n: usize| json!({ "kty": "RSA", "kid": format!("rsa-{n}"), "n": "AQAB", "e": "AQAB" });
    let many: Vec<Value> = (0..100).map(rsa).chain([ed25519.clone()]).collect();
    let read_many = read(&many)?;
    assert_eq!((read_many.ids().count(), read_many.left_out().len()), (1, 100));
    assert_eq!(
        read_many.left_out()[7].to_string(),
        "rsa-7: of another kind than Ed25519 and P-256"
    );
    let numbered = (0..=MOST_KEYS).map(|n| {
        let mut key = jwk(SigningKey::ed25519(id())?)?;
        key["kid"] = json!(n.to_string());
        Ok(key)
    });
    let numbered = numbered.collect::<Result<Vec<Value>, Box<dyn Error>>>()?;
    assert!(matches!(read(&numbered), Err(KeySetError::TooMany)));
    assert_eq!(read(&numbered[1..])?.ids().count(), MOST_KEYS);
    // An issuer's ids are its own affair, as long as they can be shown.
    let with_id = |kid: &str| {
        let mut key = ed25519.clone();
        key["kid"] = json!(kid);
        read(&[key, p256.clone()])
    };
    let longest = "a".repeat(256);
    for kid in ["did:web:example.test#key-1", "q7x/A+8=", "https://login.test/keys/1", &longest] {
        assert!(with_id(kid)?.ids().any(|id| id.as_str() == kid), "{kid}");
    }
    for kid in ["", "a b", "a\nb", "\u{1b}[2J", "clé", &"a".repeat(257)] {
        let set = with_id(kid)?;
        assert_eq!((set.ids().count(), set.left_out().len()), (1, 1), "{kid:?}");
        let said = set.left_out()[0].to_string();
        assert!(said.is_ascii() && !said.contains(char::is_control) && said.len() < 200, "{said}");
    }
    // Left out, next to a good one; alone, nothing is left.
    let short = BASE64_URL_SAFE_NO_PAD.encode([4; 31]);
    for (of, other, name, value) in [
        (&ed25519, &p256, "kid", json!("a b")),
        (&ed25519, &p256, "kid", json!(null)),
        (&ed25519, &p256, "kid", json!(5)),
        (&ed25519, &p256, "x", json!(null)),
        (&ed25519, &p256, "x", json!(short)),
        (&ed25519, &p256, "x", json!("+")),
        (&ed25519, &p256, "kty", json!("RSA")),
        (&ed25519, &p256, "kty", json!(5)),
        (&ed25519, &p256, "crv", json!("X25519")),
        (&ed25519, &p256, "use", json!("enc")),
        (&ed25519, &p256, "use", json!("other")),
        (&ed25519, &p256, "alg", json!("ES256")),
        (&ed25519, &p256, "alg", json!("Ed25519")),
        (&ed25519, &p256, "key_ops", json!(["sign"])),
        (&ed25519, &p256, "key_ops", json!("verify")),
        (&p256, &ed25519, "alg", json!("ECDH-ES")),
        (&p256, &ed25519, "crv", json!("secp256k1")),
        (&p256, &ed25519, "y", json!(null)),
        (&p256, &ed25519, "y", p256["x"].clone()),
        (&p256, &ed25519, "x", json!(short)),
    ] {
        let mut changed = of.clone();
        changed[name] = value.clone();
        let left = read(&[changed.clone(), other.clone()])?;
        let left: Vec<_> = left.ids().map(|id| id.as_str().to_owned()).collect();
        assert_eq!(left, [other["kid"].as_str().ok_or("kid")?], "{name}: {value}");
        assert!(matches!(read(&[changed]), Err(KeySetError::NoKey(_))), "{name}: {value}");
    }
    // The same point, cut one byte too early.
    let coordinate =
        |name: &str| BASE64_URL_SAFE_NO_PAD.decode(p256[name].as_str().unwrap_or_default());
    let point = [coordinate("x")?, coordinate("y")?].concat();
    let mut cut = p256.clone();
    cut["x"] = BASE64_URL_SAFE_NO_PAD.encode(&point[..31]).into();
    cut["y"] = BASE64_URL_SAFE_NO_PAD.encode(&point[31..]).into();
    assert!(matches!(read(&[cut]), Err(KeySetError::NoKey(_))));
    // As good as before.
    for (name, value) in [
        ("use", json!(null)),
        ("alg", json!(null)),
        ("key_ops", json!(["verify", "sign"])),
        ("d", json!(null)),
        ("more", json!({ "x": 1 })),
    ] {
        let mut changed = ed25519.clone();
        changed[name] = value;
        assert_eq!(read(&[changed])?.ids().count(), 1, "{name}");
    }
    for json in ["{}", "{\"keys\":5}", "{\"keys\":[5]}", "[]"] {
        let refused = KeySet::from_jwks(json.as_bytes());
        assert!(matches!(refused, Err(KeySetError::Json { .. })), "{json}");
    }
    assert!(matches!(read(&[]), Err(KeySetError::NoKey(_))));
    Ok(())
}

#[test]
fn a_set_of_bytes_or_keys_at_the_limit_is_read_and_one_more_is_not() -> TestResult {
    let keys =
        (0..=MOST_KEYS).map(|n| Ok(SigningKey::ed25519(KeyId::new(&n.to_string())?)?.verifying()));
    let keys = keys.collect::<Result<Vec<_>, KeyError>>()?;
    assert!(matches!(KeySet::new(keys.clone()), Err(KeySetError::TooMany)));
    let full = KeySet::new(keys[1..].to_vec())?;
    let mut json = full.to_jwks()?.into_bytes();
    assert_eq!(KeySet::from_jwks(&json)?.ids().count(), MOST_KEYS);
    json.resize(LONGEST_JWKS, b' ');
    assert!(KeySet::from_jwks(&json).is_ok());
    json.push(b' ');
    assert!(matches!(KeySet::from_jwks(&json), Err(KeySetError::TooLong(_))));
    Ok(())
}

#[test]
fn either_sign_of_a_secret_refuses_the_set() {
    for secret in [
        json!({ "kty": "oct" }),
        json!({ "kty": "OKP", "k": "AAAA" }),
        json!({ "kty": 5, "d": "AAAA" }),
    ] {
        let set = json!({ "keys": [secret] }).to_string();
        let refused = KeySet::from_jwks(set.as_bytes());
        assert!(matches!(refused, Err(KeySetError::Secret(_))), "{set}");
    }
}

/// A public key of Ed25519 plus the point of order 2: (-x, -y). It is on the curve, of mixed order, and verifiers
/// disagree about its signatures.
fn of_mixed_order(public: &[u8]) -> Vec<u8> {
    let mut p = [0xff_u8; 32];
    (p[0], p[31]) = (0xed, 0x7f);
    let sign = public[31] & 0x80;
    let mut borrow = 0;
    let mut mixed: Vec<u8> = Vec::with_capacity(32);
    for (at, byte) in public.iter().enumerate() {
        let byte = if at == 31 { byte & 0x7f } else { *byte };
        let difference = i16::from(p[at]) - i16::from(byte) - borrow;
        borrow = i16::from(difference < 0);
        mixed.push(difference.rem_euclid(256) as u8);
    }
    mixed[31] |= sign ^ 0x80;
    mixed
}

#[test]
fn a_public_key_has_one_form_and_is_of_no_small_order() -> TestResult {
    let public =
        |algorithm, bytes: &[u8]| VerifyingKey::from_public(id(), algorithm, bytes).is_ok();
    let set = KeySet::new([SigningKey::ed25519(id())?.verifying()])?.to_jwks()?;
    let set: Value = serde_json::from_str(&set)?;
    let good = BASE64_URL_SAFE_NO_PAD.decode(set["keys"][0]["x"].as_str().ok_or("x")?)?;
    assert!(public(Algorithm::EdDsa, &good));
    assert!(!public(Algorithm::EdDsa, &good[1..]) && !public(Algorithm::EdDsa, &[]));
    assert!(!public(Algorithm::EdDsa, &[&good[..], &[0]].concat()));
    let hex = |hex: &str| -> Result<Vec<u8>, std::num::ParseIntError> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16)).collect()
    };
    let mixed = of_mixed_order(&good);
    assert!(!public(Algorithm::EdDsa, &mixed));
    assert!(
        public(Algorithm::EdDsa, &of_mixed_order(&mixed)),
        "twice the point of order 2 is none"
    );
    let zeros = "00".repeat(31);
    let ones = "ff".repeat(30);
    for bad in [
        // Of order 4, 1 and 2.
        format!("00{zeros}"),
        format!("01{zeros}"),
        format!("ec{ones}7f"),
        // Of order 8.
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05".to_owned(),
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a".to_owned(),
        // y is p + 1, and p + 3, a point of the curve: there is a smaller form of both.
        format!("ee{ones}7f"),
        format!("f0{ones}7f"),
        // No point has y = 2.
        format!("02{zeros}"),
    ] {
        assert!(!public(Algorithm::EdDsa, &hex(&bad)?), "{bad}");
    }
    // RFC 7515, appendix A.3, compressed.
    let x = BASE64_URL_SAFE_NO_PAD.decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")?;
    assert!(!public(Algorithm::Es256, &[&[3][..], &x].concat()));
    Ok(())
}

fn remote_of<F, R>(clock: &Clock, denied: Arc<DenyList>, fetch: F) -> RemoteVerifier<F>
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<KeySet, ()>> + Send + 'static,
{
    let profile = profile().expect("a profile");
    RemoteVerifier::new(profile, clock.clone(), Freshness::default(), denied, fetch)
}

/// Whether it is still waiting after a moment.
async fn waits<T>(verifying: impl Future<Output = T>) -> bool {
    tokio::time::timeout(Duration::from_millis(10), verifying).await.is_err()
}

/// A verifier of keys from `sets`, one set a fetch, and how often it fetched.
fn remote(
    clock: &Clock,
    sets: Vec<Option<KeySet>>,
) -> (impl AsyncFn(&str) -> Result<(), Reason>, Arc<AtomicUsize>) {
    let fetches = Arc::new(AtomicUsize::new(0));
    let counted = fetches.clone();
    let fetch = move || {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        let set = sets.get(number).cloned().flatten();
        async move {
            tokio::task::yield_now().await;
            set.ok_or("the issuer is down")
        }
    };
    let verifier = RemoteVerifier::new(
        profile().expect("a profile"),
        clock.clone(),
        Freshness::default(),
        Arc::new(DenyList::new(1)),
        fetch,
    );
    let verify = async move |token: &str| {
        let verified = verifier.verify::<NoMore>(token).await;
        verified.map(|_claims| ()).map_err(|refused| refused.reason().clone())
    };
    (verify, fetches)
}

#[tokio::test]
async fn a_flood_of_unknown_key_ids_is_one_fetch() -> TestResult {
    let clock = Clock::settable(NOW);
    let (issuer, _) = pair(SigningKey::ed25519(id())?, &clock)?;
    let set = KeySet::new([issuer.verifying_key()])?;
    let (verify, fetches) = remote(&clock, vec![Some(set.clone()), Some(set)]);
    let (header, claims) = of_the_issuer();
    for number in 0..500 {
        let mut header = header.clone();
        header["kid"] = json!(format!("kid-{number}"));
        let token = forge::hs256(&SECRET, &forge::unsigned(&header, &claims));
        assert_eq!(verify(&token).await, Err(Reason::UnknownKey));
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
    assert_eq!(verify(issuer.issue("alice", &NoMore {})?.expose()).await, Ok(()));
    let mut header = header;
    header["kid"] = json!("one-more");
    let token = forge::hs256(&SECRET, &forge::unsigned(&header, &claims));
    for second in 1..30 {
        clock.advance(Duration::from_secs(1));
        assert_eq!(verify(&token).await, Err(Reason::UnknownKey));
        assert_eq!(fetches.load(Ordering::SeqCst), 1, "after {second} s");
    }
    clock.advance(Duration::from_secs(1));
    assert_eq!(verify(&token).await, Err(Reason::UnknownKey));
    assert_eq!(fetches.load(Ordering::SeqCst), 2, "one look in 30 seconds");
    Ok(())
}

#[tokio::test]
async fn a_flood_at_once_is_one_fetch_too() -> TestResult {
    let clock = Clock::settable(NOW);
    let set = KeySet::new([SigningKey::ed25519(id())?.verifying()])?;
    let fetches = Arc::new(AtomicUsize::new(0));
    let counted = fetches.clone();
    let verifier = remote_of(&clock, Arc::new(DenyList::new(1)), move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let set = set.clone();
        async move {
            tokio::task::yield_now().await;
            Ok(set)
        }
    });
    for expected in [1, 2] {
        let flood: Vec<_> = (0..200)
            .map(|number| {
                let (header, claims) = of_the_issuer();
                let mut header = header;
                header["kid"] = json!(format!("kid-{number}"));
                let token = forge::hs256(&SECRET, &forge::unsigned(&header, &claims));
                let verifier = verifier.clone();
                tokio::spawn(async move { verifier.verify::<NoMore>(&token).await })
            })
            .collect();
        for verified in flood {
            let refused = verified.await?.err().ok_or("refused")?;
            assert_eq!(*refused.reason(), Reason::UnknownKey);
        }
        assert_eq!(fetches.load(Ordering::SeqCst), expected);
        clock.advance(Duration::from_secs(30));
    }
    Ok(())
}

#[tokio::test]
async fn a_key_set_that_cannot_be_fetched_is_not_asked_for_at_once_again() {
    let clock = Clock::settable(NOW);
    let (verify, fetches) = remote(&clock, vec![]);
    for _ in 0..3 {
        assert_eq!(verify("a.b.c").await, Err(Reason::NoKeys));
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn keys_are_fetched_anew_after_five_minutes() -> TestResult {
    let clock = Clock::settable(NOW);
    let set = KeySet::new([secret_key().verifying()])?;
    let (verify, fetches) = remote(&clock, vec![Some(set.clone()), Some(set)]);
    for (advance, expected) in [(0, 1), (299, 1), (1, 2)] {
        clock.advance(Duration::from_secs(advance));
        let _ = verify("a.b.c").await;
        fetched().await;
        assert_eq!(fetches.load(Ordering::SeqCst), expected);
    }
    Ok(())
}

/// A fetch that nobody waits for has had its turns.
async fn fetched() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_second_client_finds_the_keys_of_a_slow_fetch_and_they_are_as_old_as_the_question()
-> TestResult {
    let (clock, fetches) = (Clock::settable(NOW), Arc::new(AtomicUsize::new(0)));
    let set = KeySet::new([secret_key().verifying()])?;
    let (slow, counted) = (clock.clone(), fetches.clone());
    let verifier = remote_of(&clock, Arc::new(DenyList::new(1)), move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let (set, slow) = (set.clone(), slow.clone());
        async move {
            tokio::task::yield_now().await;
            slow.advance(Duration::from_secs(31));
            Ok(set)
        }
    });
    let _ = tokio::join!(verifier.verify::<NoMore>("a"), verifier.verify::<NoMore>("b"));
    assert_eq!(fetches.load(Ordering::SeqCst), 1, "the second finds the first one's");
    let (mut header, claims) = of_the_issuer();
    header["kid"] = json!("unknown");
    let unknown = forge::hs256(&SECRET, &forge::unsigned(&header, &claims));
    let verify = || verifier.verify::<NoMore>(&unknown);
    let _ = tokio::join!(verify(), verify());
    assert_eq!(fetches.load(Ordering::SeqCst), 2, "with a key that is unknown, too");
    clock.advance(Duration::from_secs(300 - 31));
    let _ = verifier.verify::<NoMore>("a").await;
    fetched().await;
    assert_eq!(fetches.load(Ordering::SeqCst), 3, "keys are as old as the question");
    Ok(())
}

#[tokio::test]
async fn a_bad_signature_of_a_known_key_is_no_reason_to_fetch() -> TestResult {
    let clock = Clock::settable(NOW);
    let set = KeySet::new([secret_key().verifying()])?;
    let (verify, fetches) = remote(&clock, vec![Some(set)]);
    let _ = verify("a.b.c").await;
    clock.advance(Duration::from_secs(30));
    let (header, claims) = of_the_issuer();
    let unsigned = forge::unsigned(&header, &claims);
    assert_eq!(verify(&format!("{unsigned}.!")).await, Err(Reason::Signature));
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
    Ok(())
}

#[tokio::test]
async fn clients_that_go_away_leave_nothing_behind_but_one_fetch() {
    let verifier =
        remote_of(&Clock::settable(NOW), Arc::new(DenyList::new(1)), std::future::pending);
    for _ in 0..20 {
        assert!(waits(verifier.verify::<NoMore>("a")).await);
    }
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 1);
}

/// Keys come once; every later fetch ends as `later` says.
fn once<L, R>(
    set: KeySet,
    later: L,
) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<KeySet, ()>> + Send>>
+ Send
+ Sync
+ 'static
where
    L: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<KeySet, ()>> + Send + 'static,
{
    let first = std::sync::atomic::AtomicBool::new(true);
    move || {
        let set = set.clone();
        match first.swap(false, Ordering::SeqCst) {
            true => Box::pin(async move { Ok(set) }),
            false => Box::pin(later()),
        }
    }
}

#[tokio::test]
async fn while_an_issuer_is_slow_the_keys_that_are_there_serve() -> TestResult {
    let (clock, key) = (Clock::settable(NOW), secret_key());
    let fetch = once(KeySet::new([key.verifying()])?, std::future::pending);
    let (issuer, _) = pair(key, &clock)?;
    let verifier = remote_of(&clock, Arc::new(DenyList::new(1)), fetch);
    let token = || issuer.issue("alice", &NoMore {});
    verifier.verify::<NoMore>(token()?.expose()).await?;
    clock.advance(Duration::from_secs(300));
    // The one that begins the fetch, and those that come while it runs.
    for _ in 0..3 {
        let another = token()?;
        let at_once = verifier.verify::<NoMore>(another.expose());
        assert!(tokio::time::timeout(Duration::from_millis(10), at_once).await?.is_ok());
        fetched().await;
    }
    // Too old, they serve no more.
    clock.advance(Duration::from_secs(3300));
    assert!(waits(verifier.verify::<NoMore>(token()?.expose())).await);
    Ok(())
}

#[tokio::test]
async fn a_fetch_that_panics_leaves_the_keys_that_are_there() -> TestResult {
    let (clock, key) = (Clock::settable(NOW), secret_key());
    let fetch = once(KeySet::new([key.verifying()])?, || async { panic!("in the fetch") });
    let (issuer, _) = pair(key, &clock)?;
    let verifier = remote_of(&clock, Arc::new(DenyList::new(1)), fetch);
    for _ in 0..3 {
        let token = issuer.issue("alice", &NoMore {})?;
        assert!(verifier.verify::<NoMore>(token.expose()).await.is_ok());
        fetched().await;
        clock.advance(Duration::from_secs(300));
    }
    Ok(())
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_key_young_again() -> TestResult {
    let (clock, key) = (Clock::settable(NOW), secret_key());
    let set = KeySet::new([key.verifying()])?;
    let fetch = once(set, || std::future::ready(Err(())));
    let (issuer, _) = pair(key, &clock)?;
    let verifier = remote_of(&clock, Arc::new(DenyList::new(1)), fetch);
    verifier.verify::<NoMore>(issuer.issue("alice", &NoMore {})?.expose()).await?;
    clock.set(NOW - 86_400);
    let token = issuer.issue("alice", &NoMore {})?;
    let refused = verifier.verify::<NoMore>(token.expose()).await.err().ok_or("refused")?;
    assert_eq!(*refused.reason(), Reason::NoKeys);
    Ok(())
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_stop_the_fetches() -> TestResult {
    let (clock, key) = (Clock::settable(NOW), secret_key());
    let set = KeySet::new([key.verifying()])?;
    let (issuer, _) = pair(key, &clock)?;
    let (verify, fetches) = remote(&clock, vec![Some(set.clone()), Some(set)]);
    assert_eq!(verify(issuer.issue("alice", &NoMore {})?.expose()).await, Ok(()));
    clock.set(NOW - 86_400);
    assert_eq!(verify(issuer.issue("alice", &NoMore {})?.expose()).await, Ok(()));
    assert_eq!(fetches.load(Ordering::SeqCst), 2);
    Ok(())
}

#[test]
fn a_freshness_has_a_pause_and_an_order() {
    let new = |times: [u64; 3]| {
        let [pause, renew, forget] = times.map(Duration::from_millis);
        Freshness::new(pause, renew, forget)
    };
    assert_eq!(new([30_000, 300_000, 3_600_000]), Ok(Freshness::default()));
    assert!(new([1000, 1000, 1000]).is_ok());
    assert_eq!(new([999, 1000, 1000]), Err(FreshnessError::NoPause));
    assert_eq!(new([2000, 1000, 3000]), Err(FreshnessError::Order));
    assert_eq!(new([1000, 3000, 2000]), Err(FreshnessError::Order));
}

#[tokio::test]
async fn a_verifier_with_fetched_keys_denies_and_binds_as_the_other_does() -> TestResult {
    let (clock, key, list) = (Clock::settable(NOW), secret_key(), Arc::new(DenyList::new(2)));
    let set = KeySet::new([key.verifying()])?;
    let (issuer, local) = pair(key, &clock)?;
    let local = local.with_deny_list(list.clone());
    let remote = remote_of(&clock, list, move || std::future::ready(Ok(set.clone())));
    let reason =
        |refused: Result<Claims, Refused>| refused.err().map(|refused| refused.reason().clone());
    let (first, second) = (issuer.issue("alice", &NoMore {})?, issuer.issue("alice", &NoMore {})?);
    local.deny(&local.verify::<NoMore>(first.expose())?)?;
    assert_eq!(reason(remote.verify(first.expose()).await), Some(Reason::Denied));
    remote.deny(&remote.verify::<NoMore>(second.expose()).await?)?;
    assert_eq!(reason(local.verify(second.expose())), Some(Reason::Denied));

    let ca = shared::LabCa::new("Lab")?;
    let alices = ca.leaf("alice.test").for_clients().issue()?.leaf_der();
    let mallorys = ca.leaf("mallory.test").for_clients().issue()?.leaf_der();
    let holder = Confirmation::of_certificate(&alices);
    let bound = issuer.issue_bound("alice", holder, &NoMore {})?;
    assert!(remote.verify_bound::<NoMore>(bound.expose(), &alices).await.is_ok());
    for refused in
        [remote.verify_bound(bound.expose(), &mallorys).await, remote.verify(bound.expose()).await]
    {
        assert_eq!(reason(refused), Some(Reason::NotTheHolder));
    }
    Ok(())
}

#[tokio::test]
async fn old_keys_stay_until_they_are_too_old() -> TestResult {
    let clock = Clock::settable(NOW);
    let (issuer, _) = pair(SigningKey::ed25519(id())?, &clock)?;
    let set = KeySet::new([issuer.verifying_key()])?;
    let (verify, fetches) = remote(&clock, vec![Some(set)]);
    assert_eq!(verify(issuer.issue("alice", &NoMore {})?.expose()).await, Ok(()));
    clock.advance(Duration::from_secs(3599));
    assert_eq!(verify(issuer.issue("alice", &NoMore {})?.expose()).await, Ok(()));
    fetched().await;
    assert_eq!(fetches.load(Ordering::SeqCst), 2, "it tried");
    clock.advance(Duration::from_secs(1));
    let refused = verify(issuer.issue("alice", &NoMore {})?.expose()).await;
    assert_eq!(refused, Err(Reason::NoKeys));
    Ok(())
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_stop_a_fetch() -> TestResult {
    let clock = Clock::settable(NOW);
    let (issuer, _) = pair(SigningKey::ed25519(id())?, &clock)?;
    let set = KeySet::new([issuer.verifying_key()])?;
    let (fetches, may_answer) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Notify::new()));
    let (counted, waits) = (fetches.clone(), may_answer.clone());
    let fetch = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let (set, waits) = (set.clone(), waits.clone());
        async move {
            waits.notified().await;
            Ok::<_, ()>(set)
        }
    };
    let denied = Arc::new(DenyList::new(1));
    let freshness = Freshness::default();
    let verifier = RemoteVerifier::new(profile()?, clock.clone(), freshness, denied, fetch);
    let token = issuer.issue("alice", &NoMore {})?;
    let first = verifier.verify::<NoMore>(token.expose());
    let gone = tokio::time::timeout(Duration::from_millis(10), first).await;
    assert!(gone.is_err(), "it waits for the keys, and is dropped");
    may_answer.notify_one();
    assert!(verifier.verify::<NoMore>(token.expose()).await.is_ok());
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
    Ok(())
}

#[test]
fn of_two_uses_of_a_refresh_token_at_once_one_succeeds() -> TestResult {
    let store = RefreshStore::new(RefreshLimits::default(), Clock::settable(NOW));
    let token = store.log_in("alice")?;
    let results = std::thread::scope(|scope| {
        let uses: Vec<_> = (0..8).map(|_| scope.spawn(|| store.refresh(token.expose()))).collect();
        uses.into_iter().map(|used| used.join().expect("no panic")).collect::<Vec<_>>()
    });
    let next: Vec<_> = results.iter().flatten().collect();
    assert_eq!(next.len(), 1);
    let ended = store.refresh(next[0].token.expose()).map_err(|refused| refused.reason());
    assert_eq!(ended.err(), Some(RefreshReason::Ended), "eight uses are a theft");
    Ok(())
}

#[test]
fn a_refresh_token_is_of_its_login_alone() -> TestResult {
    let store = RefreshStore::new(RefreshLimits::default(), Clock::settable(NOW));
    let (alice, bob) = (store.log_in("alice")?, store.log_in("bob")?);
    let bytes = |token: &RefreshToken| BASE64_URL_SAFE_NO_PAD.decode(token.expose());
    // Bob's family, which is 16 bytes, with Alice's secret, and with one of zeros.
    for secret in [&bytes(&alice)?[16..], &[0; 32]] {
        let mixed = [&bytes(&bob)?[..16], secret].concat();
        let mixed = BASE64_URL_SAFE_NO_PAD.encode(mixed);
        store.log_out(&mixed);
        let refused = store.refresh(&mixed).map_err(|refused| refused.reason());
        assert_eq!(refused.err(), Some(RefreshReason::Unknown));
    }
    let longer = store.refresh(&"a".repeat(68)).map_err(|refused| refused.reason());
    assert_eq!(longer.err(), Some(RefreshReason::Malformed));
    assert_eq!(store.refresh(bob.expose())?.subject, "bob", "and Bob is not disturbed");
    store.log_out(alice.expose());
    let ended = store.refresh(alice.expose()).map_err(|refused| refused.reason());
    assert_eq!(ended.err(), Some(RefreshReason::Ended));
    Ok(())
}

#[test]
fn a_refused_token_names_its_subject_to_the_log_alone() -> TestResult {
    let store = RefreshStore::new(RefreshLimits::default(), Clock::settable(NOW));
    let first = store.log_in("alice")?;
    store.refresh(first.expose())?;
    let reused = store.refresh(first.expose()).expect_err("used before");
    assert_eq!((reused.reason(), reused.subject()), (RefreshReason::Reused, Some("alice")));
    assert!(!reused.to_string().contains("alice"));
    let unknown = store.refresh(&"a".repeat(64)).expect_err("never issued");
    assert_eq!((unknown.reason(), unknown.subject()), (RefreshReason::Unknown, None));
    assert_eq!(store.log_out(first.expose()).as_deref(), Some("alice"));
    assert_eq!(store.log_out(&"a".repeat(64)), None);
    Ok(())
}

#[test]
fn a_corrected_clock_neither_ends_a_login_nor_prolongs_it() -> TestResult {
    let clock = Clock::settable(NOW);
    let store = RefreshStore::new(RefreshLimits::default(), clock.clone());
    let token = store.log_in("alice")?;
    clock.set(NOW + 31 * 86_400);
    let token = store.refresh(token.expose())?.token;
    clock.set(NOW - 86_400);
    clock.advance(Duration::from_secs(86_400));
    let over = store.refresh(token.expose()).map_err(|refused| refused.reason());
    assert_eq!(over.err(), Some(RefreshReason::Expired), "unused for a day");
    Ok(())
}

/// While the fetch runs that brings the new key, its tokens wait for it: they are no bad tokens.
#[tokio::test]
async fn tokens_of_a_key_that_is_being_fetched_wait_for_it() -> TestResult {
    let clock = Clock::settable(NOW);
    let old = SigningKey::ed25519(KeyId::new("old")?)?;
    let new = SigningKey::ed25519(KeyId::new("new")?)?;
    let sets = [KeySet::new([old.verifying()])?, KeySet::new([old.verifying(), new.verifying()])?];
    let (old, new) = (pair(old, &clock)?.0, pair(new, &clock)?.0);
    let go_on = Arc::new(tokio::sync::Semaphore::new(1));
    let (fetches, gate) = (Arc::new(AtomicUsize::new(0)), go_on.clone());
    let counted = fetches.clone();
    let fetch = move || {
        let (number, gate) = (counted.fetch_add(1, Ordering::SeqCst), gate.clone());
        let set = sets[number.min(1)].clone();
        async move {
            gate.acquire().await.map_err(drop)?.forget();
            Ok(set)
        }
    };
    let verifier = Arc::new(remote_of(&clock, Arc::new(DenyList::new(1)), fetch));
    verifier.verify::<NoMore>(old.issue("alice", &NoMore {})?.expose()).await?;
    clock.advance(Duration::from_secs(40));
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (verifier, token) = (verifier.clone(), new.issue("alice", &NoMore {})?);
        waiting.spawn(async move { verifier.verify::<NoMore>(token.expose()).await });
    }
    while fetches.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    go_on.add_permits(1);
    for verified in waiting.join_all().await {
        verified?;
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 2, "one fetch for all of them");
    Ok(())
}

/// A login that was ended is remembered, so that its tokens are told from those that never were.
#[test]
fn an_ended_login_is_remembered_when_its_owner_logs_in_again() -> TestResult {
    let store = RefreshStore::new(RefreshLimits::default(), Clock::settable(NOW));
    let first = store.log_in("alice")?;
    assert_eq!(store.log_out(first.expose()).as_deref(), Some("alice"));
    store.log_in("alice")?;
    let refused = store.refresh(first.expose()).expect_err("ended");
    assert_eq!((refused.reason(), refused.subject()), (RefreshReason::Ended, Some("alice")));
    Ok(())
}

#[test]
fn the_longest_lifetime_and_leeway_are_these() {
    use careful_tokens::profile::{MOST_LEEWAY, MOST_LIFETIME};
    assert_eq!(MOST_LIFETIME, Duration::from_secs(3600), "RFC 6750 section 5.3");
    assert_eq!(MOST_LEEWAY, Duration::from_secs(120), "RFC 7519 section 4.1.4");
}

#[test]
fn a_deny_list_says_how_much_is_on_it() -> TestResult {
    let (issuer, verifier) = pair(secret_key(), &Clock::settable(NOW))?;
    let list = Arc::new(DenyList::new(10));
    let verifier = verifier.with_deny_list(list.clone());
    assert!((list.len(), list.is_empty()) == (0, true));
    let token = issuer.issue("alice", &NoMore {})?;
    verifier.deny(&verifier.verify::<NoMore>(token.expose())?)?;
    assert!((list.len(), list.is_empty()) == (1, false));
    Ok(())
}

#[test]
fn a_set_without_a_usable_key_names_the_first_that_was_left_out() {
    let set = json!({ "keys": [{ "kty": "RSA", "kid": "old-1", "n": "AQAB", "e": "AQAB" }] });
    let refused = KeySet::from_jwks(set.to_string().as_bytes()).expect_err("RSA");
    let said = refused.to_string();
    assert!(said.ends_with("(old-1: of another kind than Ed25519 and P-256)"), "{said}");
}

#[test]
fn a_denied_token_stays_denied_whatever_the_clock_does() -> TestResult {
    let (clock, key) = (Clock::settable(NOW), secret_key());
    let (issuer, verifier) = pair(key, &clock)?;
    let verifier = verifier.with_deny_list(Arc::new(DenyList::new(1)));
    let stolen = issuer.issue("alice", &NoMore {})?;
    verifier.deny(&verifier.verify::<NoMore>(stolen.expose())?)?;
    // The clock is an hour ahead, and the list forgets what has expired.
    clock.set(NOW + 3600);
    let later = issuer.issue("alice", &NoMore {})?;
    verifier.deny(&verifier.verify::<NoMore>(later.expose())?)?;
    for now in [NOW, NOW + 60] {
        clock.set(now);
        let refused = verifier.verify::<NoMore>(stolen.expose()).expect_err("denied");
        assert_eq!(*refused.reason(), Reason::Denied);
    }
    // And nobody waits for an hour before a token is accepted again.
    clock.set(NOW + 700);
    verifier.verify::<NoMore>(issuer.issue("alice", &NoMore {})?.expose())?;
    Ok(())
}

#[test]
fn a_new_password_ends_all_logins_of_its_owner() -> TestResult {
    let store = RefreshStore::new(RefreshLimits::default(), Clock::settable(NOW));
    let (first, second) = (store.log_in("alice")?, store.log_in("alice")?);
    let bob = store.log_in("bob")?;
    assert_eq!(store.log_out_everywhere("alice"), 2);
    assert_eq!(store.log_out_everywhere("alice"), 0, "what is ended is not ended again");
    assert!(store.refresh(first.expose()).is_err() && store.refresh(second.expose()).is_err());
    assert!(store.refresh(bob.expose()).is_ok());
    Ok(())
}

#[test]
fn logins_and_refreshes_are_limited() -> TestResult {
    let clock = Clock::settable(NOW);
    let limits = RefreshLimits { refreshes: 2, logins: 1, ..RefreshLimits::default() };
    let store = RefreshStore::new(limits, clock.clone());
    let mut token = store.log_in("alice")?;
    assert_eq!(store.log_in("bob").err(), Some(LoginError::Full(1)));
    for _ in 0..2 {
        token = store.refresh(token.expose())?.token;
    }
    let refused = store.refresh(token.expose()).map_err(|refused| refused.reason());
    assert_eq!(refused.err(), Some(RefreshReason::TooMany));
    clock.advance(limits.idle);
    assert!(store.log_in("bob").is_ok(), "what is over makes room");
    Ok(())
}

#[test]
fn a_login_that_was_ended_makes_room() -> TestResult {
    let limits = RefreshLimits { logins: 1, ..RefreshLimits::default() };
    let store = RefreshStore::new(limits, Clock::settable(NOW));
    store.log_out(store.log_in("mallory")?.expose());
    assert!(store.log_in("alice").is_ok());
    Ok(())
}

#[test]
fn one_subject_cannot_have_all_logins_and_its_idlest_one_ends() -> TestResult {
    let clock = Clock::settable(NOW);
    let limits = RefreshLimits { logins_of_one: 2, logins: 5, ..RefreshLimits::default() };
    let store = RefreshStore::new(limits, clock.clone());
    let (alice, bob) = (store.log_in("alice")?, store.log_in("bob")?);
    let first = store.log_in("mallory")?;
    clock.advance(Duration::from_secs(1));
    let second = store.log_in("mallory")?;
    clock.advance(Duration::from_secs(1));
    let first = store.refresh(first.expose())?.token;
    clock.advance(Duration::from_secs(1));
    // Each ends the one that was unused the longest: the second, then the first, then the third.
    let third = store.log_in("mallory")?;
    let ended = store.refresh(second.expose()).map_err(|refused| refused.reason());
    assert_eq!(ended.err(), Some(RefreshReason::Ended));
    let first = store.refresh(first.expose())?.token;
    for _ in 0..100 {
        clock.advance(Duration::from_secs(1));
        store.log_in("mallory")?;
    }
    assert!(store.refresh(first.expose()).is_err() && store.refresh(third.expose()).is_err());
    assert!(store.refresh(alice.expose()).is_ok() && store.refresh(bob.expose()).is_ok());
    Ok(())
}

#[test]
fn the_hashes_of_a_store_are_limited() -> TestResult {
    let limits = RefreshLimits { hashes: 2, ..RefreshLimits::default() };
    let store = RefreshStore::new(limits, Clock::settable(NOW));
    let (alice, bob) = (store.log_in("alice")?, store.log_in("bob")?);
    // Nobody has more than the next one would have.
    assert_eq!(store.log_in("carol").err(), Some(LoginError::FullOfHashes(2)));
    let full = store.refresh(alice.expose()).map_err(|refused| refused.reason());
    assert_eq!(full.err(), Some(RefreshReason::Full));
    store.log_out(bob.expose());
    let alice = store.refresh(alice.expose())?.token;
    let carol = store.log_in("carol")?;
    assert!(store.refresh(alice.expose()).is_err(), "alice had more, and carol came");
    assert!(store.refresh(carol.expose()).is_ok());
    Ok(())
}

/// Accounts that log in and refresh as often as they can, and others who want to go on.
#[test]
fn no_crowd_of_accounts_closes_the_store_for_the_others() -> TestResult {
    for limits in [
        RefreshLimits { hashes: 300, hashes_of_one: 100, refreshes: 40, ..Default::default() },
        RefreshLimits { logins: 30, logins_of_one: 10, ..Default::default() },
    ] {
        let store = RefreshStore::new(limits, Clock::settable(NOW));
        let mut alice = store.log_in("alice")?;
        for round in 0..2000 {
            let name = format!("mallory-{}", round % 10);
            if let Ok(mut token) = store.log_in(&name) {
                for _ in 0..round % 50 {
                    let Ok(next) = store.refresh(token.expose()) else { break };
                    token = next.token;
                }
            }
            if round % 100 == 0 {
                alice = store.refresh(alice.expose())?.token;
                let honest = store.log_in(&format!("honest-{round}"))?;
                store.log_out(store.refresh(honest.expose())?.token.expose());
            }
        }
    }
    Ok(())
}

#[test]
fn a_subject_takes_room_for_its_tokens_from_itself() -> TestResult {
    let limits = RefreshLimits { hashes_of_one: 10, ..RefreshLimits::default() };
    let clock = Clock::settable(NOW);
    let store = RefreshStore::new(limits, clock.clone());
    let (bob, old) = (store.log_in("bob")?, store.log_in("alice")?);
    clock.advance(Duration::from_secs(1));
    let mut new = store.log_in("alice")?;
    for _ in 0..8 {
        new = store.refresh(new.expose())?.token;
    }
    // Ten are there: the next one takes the login that was unused longer.
    new = store.refresh(new.expose())?.token;
    let gone = store.refresh(old.expose()).map_err(|refused| refused.reason());
    assert_eq!(gone.err(), Some(RefreshReason::Unknown));
    assert!(store.refresh(new.expose()).is_ok() && store.refresh(bob.expose()).is_ok());
    Ok(())
}

#[test]
fn a_login_is_over_when_it_is_unused_or_old_and_not_before() -> TestResult {
    let (clock, limits) = (Clock::settable(NOW), RefreshLimits::default());
    let store = RefreshStore::new(limits, clock.clone());
    let (idle, mut busy) = (store.log_in("a")?, store.log_in("b")?);
    for _ in 0..30 {
        clock.advance(limits.idle - Duration::from_secs(1));
        busy = store.refresh(busy.expose())?.token;
    }
    // 30 seconds short of 30 days.
    clock.advance(Duration::from_secs(30));
    for over in [&idle, &busy] {
        let refused = store.refresh(over.expose()).map_err(|refused| refused.reason());
        assert_eq!(refused.err(), Some(RefreshReason::Expired));
    }
    Ok(())
}

#[test]
fn the_defaults_allow_a_refresh_each_ten_minutes_for_thirty_days() {
    let limits = RefreshLimits::default();
    assert!(limits.refreshes as u64 > limits.login.as_secs() / 600);
}

#[test]
fn a_denied_token_stays_denied_as_long_as_it_could_be_accepted() -> TestResult {
    let clock = Clock::settable(NOW);
    let denied = Arc::new(DenyList::new(1));
    let (issuer, verifier) = pair(secret_key(), &clock)?;
    let verifier = verifier.with_deny_list(denied.clone());
    let token = issuer.issue("alice", &NoMore {})?;
    let claims = verifier.verify::<NoMore>(token.expose())?;
    verifier.deny(&claims)?;
    verifier.deny(&claims)?;
    for _second in 0..604 {
        assert_eq!(
            verifier.verify::<NoMore>(token.expose()).err().map(|r| r.reason().clone()),
            Some(Reason::Denied)
        );
        clock.advance(Duration::from_secs(1));
        let other = Claims { jti: "other".to_owned(), ..claims.clone() };
        assert!(verifier.deny(&other).is_err(), "it is full, and forgets nothing");
    }
    clock.advance(Duration::from_secs(1));
    assert!(matches!(
        verifier.verify::<NoMore>(token.expose()).err().map(|r| r.reason().clone()),
        Some(Reason::Expired(5))
    ));
    // A verifier with the longest leeway may share the list.
    let other = Claims { jti: "other".to_owned(), ..claims.clone() };
    clock.advance(Duration::from_secs(719 - 605));
    assert!(verifier.deny(&other).is_err());
    clock.advance(Duration::from_secs(1));
    verifier.deny(&other)?;
    assert_eq!(denied.len(), 1, "the first has made room");
    let (_, without) = pair(secret_key(), &clock)?;
    assert!(without.deny(&claims).is_err(), "a verifier without a list says so");
    Ok(())
}

#[test]
fn a_list_that_is_shared_serves_the_verifier_with_the_longest_leeway() -> TestResult {
    let (clock, list) = (Clock::settable(NOW), Arc::new(DenyList::new(9)));
    let verifier = |leeway| -> Result<_, Box<dyn Error>> {
        let profile = profile()?.leeway(Duration::from_secs(leeway))?;
        let keys = KeySet::new([secret_key().verifying()])?;
        Ok(Verifier::new(profile, keys, clock.clone()).with_deny_list(list.clone()))
    };
    let (strict, lax) = (verifier(5)?, verifier(120)?);
    let issuer = Issuer::new(profile()?, secret_key(), clock.clone());
    let (token, other) = (issuer.issue("alice", &NoMore {})?, issuer.issue("bob", &NoMore {})?);
    strict.deny(&strict.verify::<NoMore>(token.expose())?)?;
    clock.advance(Duration::from_secs(610));
    // To deny is when the list forgets.
    lax.deny(&lax.verify::<NoMore>(other.expose())?)?;
    let refused = lax.verify::<NoMore>(token.expose()).err().ok_or("refused")?;
    assert_eq!(*refused.reason(), Reason::Denied);
    Ok(())
}

#[test]
fn an_id_on_the_list_is_of_its_issuer_and_keeps_its_later_end() -> TestResult {
    let (clock, list) = (Clock::settable(NOW), Arc::new(DenyList::new(3)));
    let (issuer, verifier) = pair(secret_key(), &clock)?;
    let verifier = verifier.with_deny_list(list.clone());
    let token = issuer.issue("alice", &NoMore {})?;
    let claims = verifier.verify::<NoMore>(token.expose())?;
    let elsewhere = Claims { iss: "https://evil.test".to_owned(), ..claims.clone() };
    verifier.deny(&elsewhere)?;
    assert!(verifier.verify::<NoMore>(token.expose()).is_ok(), "another issuer's id");
    for (exp, expected) in [(claims.exp - 100, 2), (claims.exp, 2), (claims.exp - 50, 2)] {
        verifier.deny(&Claims { exp, ..claims.clone() })?;
        assert_eq!(list.len(), expected);
    }
    let refused = verifier.verify::<NoMore>(token.expose()).err().ok_or("refused")?;
    assert_eq!(*refused.reason(), Reason::Denied);
    let late = |jti: &str| Claims { jti: jti.to_owned(), exp: claims.exp + 600, ..claims.clone() };
    clock.advance(Duration::from_secs(719));
    verifier.deny(&late("1"))?;
    assert!(verifier.deny(&late("2")).is_err(), "nothing is forgotten before the later end");
    clock.advance(Duration::from_secs(1));
    verifier.deny(&late("2"))?;
    verifier.deny(&late("3"))?;
    assert!(verifier.deny(&late("4")).is_err(), "two had ended");
    assert_eq!(list.len(), 3);
    Ok(())
}

/// A clock that is a month ahead for a while: the logouts of that time deny nobody else's tokens when it is right again.
#[test]
fn a_clock_that_was_ahead_denies_no_token_of_others() -> TestResult {
    const MONTH: u64 = 30 * 24 * 60 * 60;
    let (clock, list) = (Clock::settable(NOW), Arc::new(DenyList::new(30)));
    let (issuer, verifier) = pair(secret_key(), &clock)?;
    let verifier = verifier.with_deny_list(list.clone());
    // (the token, when it was issued) of each logout, more of them than the list has room for.
    let log_out = |times: usize| -> Result<Vec<_>, Box<dyn Error>> {
        let one = || -> Result<_, Box<dyn Error>> {
            clock.advance(Duration::from_secs(100));
            let token = issuer.issue("alice", &NoMore {})?;
            verifier.deny(&verifier.verify::<NoMore>(token.expose())?)?;
            Ok((token, clock.now()))
        };
        (0..times).map(|_| one()).collect()
    };
    let mut denied = log_out(40)?;
    let right = clock.now();
    clock.set(NOW + MONTH);
    denied.append(&mut log_out(40)?);
    clock.set(right);
    denied.append(&mut log_out(40)?);
    assert_eq!(list.len(), 30);
    for _ in 0..100 {
        let token = issuer.issue("bob", &NoMore {})?;
        verifier.verify::<NoMore>(token.expose()).map_err(|refused| refused.reason().clone())?;
        clock.advance(Duration::from_secs(100));
    }
    for (token, issued) in denied {
        for later in [0, 300, 604] {
            clock.set(issued + later);
            let refused = verifier.verify::<NoMore>(token.expose()).err().ok_or("refused")?;
            assert_eq!(*refused.reason(), Reason::Denied, "issued at {issued}, after {later} s");
        }
    }
    Ok(())
}

#[test]
fn a_bound_token_is_of_no_use_to_anybody_else() -> TestResult {
    let ca = shared::LabCa::new("Lab")?;
    let alices = ca.leaf("alice.test").for_clients().issue()?.leaf_der();
    let mallorys = ca.leaf("mallory.test").for_clients().issue()?.leaf_der();
    let (issuer, verifier) = pair(secret_key(), &Clock::settable(NOW))?;
    let bound = issuer.issue_bound("alice", Confirmation::of_certificate(&alices), &NoMore {})?;
    let bearer = issuer.issue("alice", &NoMore {})?;
    let reason = |refused: Result<Claims<NoMore>, Refused>| {
        refused.err().map(|refused| refused.reason().clone())
    };
    assert!(verifier.verify_bound::<NoMore>(bound.expose(), &alices).is_ok());
    assert_eq!(
        reason(verifier.verify_bound(bound.expose(), &mallorys)),
        Some(Reason::NotTheHolder)
    );
    assert_eq!(reason(verifier.verify(bound.expose())), Some(Reason::NotTheHolder));
    assert_eq!(reason(verifier.verify_bound(bearer.expose(), &alices)), Some(Reason::NotBound));
    // Another way of binding, which nobody here can check.
    let other = with("cnf", json!({ "jkt": "AAAA" }));
    assert!(matches!(other, Err(Reason::Claims(_))));
    // Its holder is refused, too, once it is denied.
    let verifier = verifier.with_deny_list(Arc::new(DenyList::new(10)));
    verifier.deny(&verifier.verify_bound::<NoMore>(bound.expose(), &alices)?)?;
    assert_eq!(reason(verifier.verify_bound(bound.expose(), &alices)), Some(Reason::Denied));
    Ok(())
}

#[test]
fn the_authorization_header_is_read_strictly() {
    let read = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).expect("a value"));
        }
        bearer_token(&headers).map(str::to_owned)
    };
    assert_eq!(read(&["Bearer a.b-c_d"]), Ok("a.b-c_d".to_owned()));
    assert_eq!(read(&["bEARER a.b.c"]), Ok("a.b.c".to_owned()));
    assert_eq!(read(&[]), Err(NoToken::Missing));
    assert_eq!(read(&["Bearer a", "Bearer a"]), Err(NoToken::Twice));
    for scheme in ["Basic a", "Bearer", "a.b.c", "Bearer\ta", ""] {
        assert_eq!(read(&[scheme]), Err(NoToken::Scheme), "{scheme}");
    }
    let long = format!("Bearer {}", "a".repeat(LONGEST_TOKEN + 1));
    for form in ["Bearer ", "Bearer  a", "Bearer a ", "Bearer a,b", "Bearer a=", &long] {
        assert_eq!(read(&[form]), Err(NoToken::Form));
    }
    assert_eq!(read(&["Bearer2 a"]), Err(NoToken::Scheme));
    let longest = "a".repeat(LONGEST_TOKEN);
    assert_eq!(read(&[&format!("Bearer {longest}")]), Ok(longest));
}

#[test]
fn the_longest_token_is_looked_at() -> TestResult {
    let (_, verifier) = pair(secret_key(), &Clock::settable(NOW))?;
    let refused = verifier.verify::<NoMore>(&"a".repeat(LONGEST_TOKEN));
    let refused = refused.err().ok_or("refused")?;
    assert!(matches!(refused.reason(), Reason::Malformed(_)));
    Ok(())
}

#[test]
fn an_answer_says_whether_a_token_came_and_nothing_else() -> TestResult {
    let says = |challenge: Challenge| {
        let answer: hyper::Response<String> = refuse(challenge);
        assert_eq!(answer.status(), 401);
        answer.headers()["www-authenticate"].to_str().map(str::to_owned)
    };
    for none in [NoToken::Missing, NoToken::Twice, NoToken::Scheme] {
        assert_eq!(says(none.into())?, "Bearer realm=\"api\"");
    }
    let (issuer, verifier) = pair(secret_key(), &Clock::settable(NOW))?;
    let holder = Confirmation::of_certificate(&b"a certificate"[..].into());
    let bound = issuer.issue_bound("alice", holder, &NoMore {})?;
    for token in ["", "a.b.c", bound.expose()] {
        let refused = verifier.verify::<NoMore>(token).err().ok_or("refused")?;
        assert_eq!(says((&refused).into())?, "Bearer error=\"invalid_token\"");
    }
    assert_eq!(says(NoToken::Form.into())?, "Bearer error=\"invalid_token\"");
    Ok(())
}

/// A client that is told "invalid" throws a good token away, and asks an issuer that is down for another one.
#[tokio::test]
async fn an_issuer_that_is_down_makes_no_token_a_bad_one() -> TestResult {
    let clock = Clock::settable(NOW);
    let (verify, _fetches) = remote(&clock, vec![]);
    let (issuer, _) = pair(secret_key(), &clock)?;
    assert_eq!(verify(issuer.issue("alice", &NoMore {})?.expose()).await, Err(Reason::NoKeys));
    let verifier = remote_of(&clock, Arc::new(DenyList::new(1)), || std::future::ready(Err(())));
    let refused = verifier.verify::<NoMore>("a.b.c").await.err().ok_or("refused")?;
    let answer: hyper::Response<String> = refuse(&refused);
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"30".parse()?));
    assert!(!answer.headers().contains_key("www-authenticate"));
    let answer: hyper::Response<String> = refuse(Challenge::InsufficientScope);
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.headers()["www-authenticate"], "Bearer error=\"insufficient_scope\"");
    Ok(())
}

#[test]
fn times_are_those_of_the_verifiers_own_clock() -> TestResult {
    let (issuer, verifier) = pair(secret_key(), &Clock::settable(1_000_000_000))?;
    verifier.verify::<NoMore>(issuer.issue("alice", &NoMore {})?.expose())?;
    Ok(())
}

#[test]
fn a_signing_key_signs_after_its_predecessor() -> TestResult {
    let clock = Clock::settable(NOW);
    let (old, new) = (SigningKey::ed25519(id())?, SigningKey::ed25519(KeyId::new("2026-12")?)?);
    let set = KeySet::new([old.verifying(), new.verifying()])?;
    let verifier = Verifier::new(profile()?, set, clock.clone());
    let mut issuer = Issuer::new(profile()?, old, clock);
    let before = issuer.issue("alice", &NoMore {})?;
    assert_eq!(issuer.rotate(new).id(), &id());
    let after = issuer.issue("alice", &NoMore {})?;
    for token in [&before, &after] {
        assert!(verifier.verify::<NoMore>(token.expose()).is_ok());
    }
    let kid = forge::json(after.expose(), 0).ok_or("JSON")?["kid"].clone();
    assert_eq!(kid, "2026-12");
    Ok(())
}

/// The keys of the attacks are the library's own: what it accepts, an attacker can make.
#[test]
fn an_embedded_key_is_never_used() -> TestResult {
    let (issuer, verifier) = pair(SigningKey::ed25519(id())?, &Clock::settable(NOW))?;
    let hers = SigningKey::ed25519(id())?;
    let jwks: Value = serde_json::from_str(&KeySet::new([hers.verifying()])?.to_jwks()?)?;
    let token = issuer.issue("alice", &NoMore {})?;
    let claims = forge::json(token.expose(), 1).ok_or("JSON")?;
    for (name, value) in [
        ("jwk", jwks["keys"][0].clone()),
        ("jku", json!("https://evil.test/jwks.json")),
        ("x5u", json!("https://evil.test/cert.pem")),
    ] {
        let mut header = json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": "2026-11" });
        header[name] = value;
        let unsigned = forge::unsigned(&header, &claims);
        let signature = jsonwebtoken::crypto::sign(
            unsigned.as_bytes(),
            &EncodingKey::from_ed_der(&hers.expose()),
            jsonwebtoken::Algorithm::EdDSA,
        )?;
        let refused = verifier.verify::<NoMore>(&format!("{unsigned}.{signature}"));
        let refused = refused.err().ok_or("refused")?;
        assert_eq!(*refused.reason(), Reason::Signature, "{name}");
    }
    Ok(())
}
