//! A secret that can be guessed.

use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use careful_tokens::clock::Clock;
use careful_tokens::keys::SigningKey;
use jwt::lab::dictionary::{Search, WORDS, search};
use jwt::lab::stage::{AUDIENCE, ISSUER, NOW, Scope, key_id, pair};
use jwt::lab::{careless, forge};
use serde_json::json;
use shared::Transcript;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let now = Clock::system().now();
    let header = json!({ "typ": "JWT", "alg": "HS256" });
    let claims = json!({ "iss": ISSUER, "sub": "mallory", "aud": AUDIENCE, "exp": now + 300 });

    t.step(
        "A service signs with a secret that was copied from an example. Mallory logs in and gets \
         a token.",
    );
    let token = forge::hs256(b"your-256-bit-secret", &forge::unsigned(&header, &claims));
    let key = jsonwebtoken::DecodingKey::from_secret(b"your-256-bit-secret");
    let hs256 = jsonwebtoken::Algorithm::HS256;
    t.works("Mallory's own token", careless::by_defaults(&token, &key, hs256))?;

    // ANCHOR: attack
    t.step("At home she tries a list of words against the signature, where nobody sees it.");
    let started = Instant::now();
    let Search { tries, found } = search(&token);
    let elapsed = started.elapsed();
    // ANCHOR_END: attack
    t.shows("words", WORDS.split_whitespace().count());
    t.shows("tries", tries);
    t.must_show("found", found.unwrap_or("nothing"), "your-256-bit-secret")?;
    anyhow::ensure!(elapsed.as_secs() < 1, "a hundred tries take no second");
    t.shows("took", "less than a second, on one core");

    t.step("With the secret she makes a token of her own.");
    let mut admin = claims;
    admin["sub"] = "admin".into();
    let secret = found.unwrap_or_default().as_bytes();
    let forged = forge::hs256(secret, &forge::unsigned(&header, &admin));
    let accepted = careless::by_defaults(&forged, &key, hs256)?;
    t.attack_works("the service takes Mallory for admin", accepted["sub"] == "admin")?;

    t.step("Give jsonwebtoken an empty secret, and the take-home key three secrets.");
    let nothing = forge::hs256(b"", &forge::unsigned(&header, &admin));
    let empty = jsonwebtoken::DecodingKey::from_secret(b"");
    t.attack_works(
        "jsonwebtoken signs and verifies with an empty secret",
        careless::by_defaults(&nothing, &empty, hs256).is_ok(),
    )?;
    let typed = BASE64_STANDARD.encode("thirty-two letters of a password");
    for (what, secret, because) in [
        ("an empty secret", "", "32, 48 or 64 random bytes"),
        ("a secret from an example", "your-256-bit-secret", "in base64"),
        ("32 letters in base64", &typed, "a text"),
    ] {
        let made = SigningKey::hs256_from_base64(key_id("2026-11")?, secret);
        t.refused_in_short(what, made, because)?;
    }

    t.step("The same search against a secret of 32 random bytes.");
    let random = SigningKey::hs256_random(key_id("2026-11")?)?;
    let (issuer, _verifier) = pair(random, &Clock::settable(NOW))?;
    let token = issuer.issue("mallory", &Scope::new("read"))?;
    let Search { tries, found } = search(token.expose());
    t.shows("tries", tries);
    t.must_show("found", found.unwrap_or("nothing"), "nothing")?;
    t.note("No program can tell whether bytes are random. The key refuses those that can't be.");
    Ok(())
}
