//! Foreign peers: PyJWT and npm's jose. Tokens both ways, and whose defaults accept what.

use std::error::Error;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use careful_tokens::clock::Clock;
use careful_tokens::issuer::Issuer;
use careful_tokens::jwks::KeySet;
use careful_tokens::keys::{Algorithm, KeyId, SigningKey};
use jwt::lab::cases;
use jwt::lab::stage::{AUDIENCE, ISSUER, Scope, pair};
use peers::Peer;
use serde_json::{Value, json};
use snapshots::Page;

type TestResult = Result<(), Box<dyn Error>>;

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// A peer and its script.
type Script = (Peer, String);

fn pyjwt() -> Option<Script> {
    Some((Peer::python("jwt, cryptography")?, format!("{FOLDER}/python/peer.py")))
}

fn jose() -> Option<Script> {
    Some((Peer::jose()?, format!("{FOLDER}/node/peer.mjs")))
}

/// Asks a peer; its answer, or what it says when it fails.
fn ask((peer, script): &Script, command: &str, given: &Value) -> Result<Value, String> {
    let answer = peer.run_with_input([script.as_str(), command], &given.to_string());
    match answer.code {
        Some(0) => serde_json::from_str(&answer.said).map_err(|error| error.to_string()),
        _ => Err(answer.said),
    }
}

fn keys() -> Result<[SigningKey; 3], Box<dyn Error>> {
    let id = |id: &str| KeyId::new(id);
    Ok([
        SigningKey::ed25519(id("2026-11")?)?,
        SigningKey::p256(id("2026-12")?)?,
        SigningKey::hs256_random(id("2027-01")?)?,
    ])
}

/// What a peer needs to know of a key: the public one to verify, the private one or the secret to
/// sign.
fn told(key: &SigningKey) -> Result<Value, Box<dyn Error>> {
    let mut told = json!({
        "algorithm": key.algorithm().name(), "issuer": ISSUER, "audience": AUDIENCE,
    });
    if key.algorithm() == Algorithm::Hs256 {
        let hex = key.expose().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        told["secret"] = hex.into();
    } else {
        let jwks: Value = serde_json::from_str(&KeySet::new([key.verifying()])?.to_jwks()?)?;
        told["jwk"] = jwks["keys"][0].clone();
        let der = BASE64_STANDARD.encode(&*key.expose());
        told["pem"] =
            format!("-----BEGIN {0}-----\n{der}\n-----END {0}-----\n", "PRIVATE KEY").into();
    }
    Ok(told)
}

fn both_ways(peer: &Script) -> TestResult {
    let clock = Clock::system();
    for key in keys()? {
        let name = key.algorithm().name();
        let (id, given) = (key.id().to_string(), told(&key)?);
        let (issuer, verifier): (Issuer, _) = pair(key, &clock)?;

        let ours = issuer.issue("alice", &Scope::new("read"))?;
        let mut request = given.clone();
        request["token"] = ours.expose().into();
        let claims = ask(peer, "verify", &request)?;
        assert_eq!((&claims["sub"], &claims["scope"]), (&json!("alice"), &json!("read")));
        request["audience"] = "https://evil.test".into();
        assert!(ask(peer, "verify", &request).is_err(), "{name}: another audience");

        let now = clock.now();
        let mut request = given;
        request["header"] = json!({ "typ": "at+jwt", "kid": id });
        request["claims"] = json!({
            "iss": ISSUER, "sub": "bob", "aud": AUDIENCE, "exp": now + 300, "iat": now,
            "jti": "from-a-peer", "scope": "read",
        });
        let theirs = ask(peer, "sign", &request)?;
        let theirs = theirs.as_str().ok_or("a token")?;
        assert_eq!(verifier.verify::<Scope>(theirs)?.sub, "bob", "{name}");
        let cut = &theirs[..theirs.len() - 8];
        assert!(verifier.verify::<Scope>(cut).is_err(), "{name}");
    }
    Ok(())
}

#[test]
fn tokens_go_both_ways_with_pyjwt() -> TestResult {
    pyjwt().map_or(Ok(()), |peer| both_ways(&peer))
}

#[test]
fn tokens_go_both_ways_with_jose() -> TestResult {
    jose().map_or(Ok(()), |peer| both_ways(&peer))
}

/// The table of the chapter.
#[test]
fn whose_defaults_accept_what() -> TestResult {
    let (Some(pyjwt), Some(jose)) = (pyjwt(), jose()) else { return Ok(()) };
    let public = rcgen::KeyPair::generate()?.public_key_pem();
    let cases = cases::all(Clock::system().now(), &[7; 32], &public);
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let given = json!({
        "algorithm": "HS256", "issuer": ISSUER, "audience": AUDIENCE,
        "cases": cases.iter().map(|case| json!({
            "token": case.token, "secret": hex(&case.secret),
        })).collect::<Vec<_>>(),
    });
    let verdicts = [&pyjwt, &jose].map(|peer| ask(peer, "verdicts", &given));
    let [pyjwt, jose] = verdicts;
    let (pyjwt, jose) = (pyjwt?, jose?);

    let word = |accepted: bool| if accepted { "accepted" } else { "refused" };
    let mut rows = vec![["token", "jsonwebtoken", "PyJWT", "jose", "profile"].map(str::to_owned)];
    for (index, case) in cases.iter().enumerate() {
        let verdicts = [
            case.defaults(),
            pyjwt[index].is_null(),
            jose[index].is_null(),
            case.profile()?.is_ok(),
        ];
        let [a, b, c, d] = verdicts.map(|accepted| word(accepted).to_owned());
        rows.push([case.name.to_owned(), a, b, c, d]);
    }
    let (page, mut table) = Page::with_transcript();
    table.table(&rows);
    drop(table);
    snapshots::settings(env!("CARGO_MANIFEST_DIR"), &[])
        .bind(|| insta::assert_snapshot!("defaults", page.text()));
    Ok(())
}

#[test]
fn the_usual_example_runs() -> TestResult {
    let Some((python, _)) = pyjwt() else { return Ok(()) };
    let ran = python.run([format!("{FOLDER}/python/usual.py")]);
    assert_eq!(
        (ran.code, ran.said.as_str()),
        (
            Some(0),
            "without exp, for alice\n\
             with everything required: Token is missing the \"iss\" claim\n"
        )
    );
    Ok(())
}

/// The vectors that the take-home crate is tested with.
#[test]
fn pyjwt_computes_the_same_vectors() {
    let Some((python, _)) = pyjwt() else { return };
    let vectors = format!("{FOLDER}/take-home/tests/vectors.json");
    let ran = python.run([format!("{FOLDER}/python/vectors.py"), vectors]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert_eq!(ran.said.lines().count(), 6, "{}", ran.said);
    assert!(ran.said.lines().all(|line| line.ends_with(": the same")), "{}", ran.said);
}
