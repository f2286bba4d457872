//! A token, byte by byte, and who can make one.

use anyhow::{Context, ensure};
use careful_tokens::clock::Clock;
use careful_tokens::keys::SigningKey;
use jwt::lab::forge;
use jwt::lab::stage::{NOW, Scope, key_id, pair};
use shared::Transcript;

use super::logged;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let clock = Clock::settable(NOW);

    // ANCHOR: issue
    t.step("The bank issues a token for Alice, signed with HMAC-SHA256 (HS256).");
    let shared_secret = SigningKey::hs256_random(key_id("2026-11")?)?;
    let for_bob = shared_secret.expose();
    let (issuer, verifier) = pair(shared_secret, &clock)?;
    let token = issuer.issue("alice", &Scope::new("read"))?;
    // ANCHOR_END: issue
    let text = token.expose();
    let parts: Vec<&str> = text.split('.').collect();
    ensure!(parts.len() == 3, "three parts");
    t.shows("characters", text.len());
    t.shows("parts", "three, with dots between them");
    for (name, part) in ["header", "claims", "signature"].iter().zip(&parts) {
        let start: String = part.chars().take(20).collect();
        t.shows(name, format!("{} characters, {start}…", part.len()));
    }

    t.step("The header and the claims are JSON in base64url, so anybody can read them.");
    for (name, index) in [("header", 0), ("claims", 1)] {
        let json = forge::json(text, index).context("JSON")?;
        let text = serde_json::to_string_pretty(&json)?;
        t.shows(name, text);
    }
    t.note("A token is encoded, not encrypted. Put nothing into it that its holder mustn't see.");

    t.step("The signature covers the first two parts and the dot between them.");
    let (unsigned, _) = text.rsplit_once('.').context("a dot")?;
    let by_hand = forge::hs256(&for_bob, unsigned);
    ensure!(by_hand == text, "HMAC-SHA256 over header and claims is the signature");
    t.shows("by hand", "HMAC-SHA256 of them, in base64url, gives the same token");
    t.works("the token", logged(verifier.verify::<Scope>(text)))?;

    t.step("Alice changes a claim from \"read\" to \"root\".");
    let mut claims = forge::json(text, 1).context("JSON")?;
    claims["scope"] = "root".into();
    let header = forge::json(text, 0).context("JSON")?;
    let changed = format!("{}.{}", forge::unsigned(&header, &claims), parts[2]);
    t.refused(
        "the changed token",
        logged(verifier.verify::<Scope>(&changed)),
        "signature is not valid",
    )?;

    // ANCHOR: forge
    t.step("Bob's service verifies the bank's tokens, so it has the secret.");
    let forged = forge::hs256(&for_bob, &forge::unsigned(&header, &claims));
    let accepted = verifier.verify::<Scope>(&forged);
    t.attack_works(
        "Bob issues himself a token for Alice with the scope root",
        accepted.is_ok_and(|claims| claims.more.scope == "root"),
    )?;
    t.note("Use HS256 only where the issuer is also the only verifier.");

    t.step("The same with EdDSA. The bank signs with its private key, and Bob has the public key.");
    let (issuer, verifier) = pair(SigningKey::ed25519(key_id("2026-11")?)?, &clock)?;
    let token = issuer.issue("alice", &Scope::new("read"))?;
    t.shows("characters", token.expose().len());
    t.works("the token", logged(verifier.verify::<Scope>(token.expose())))?;
    let public = careful_tokens::jwks::KeySet::new([issuer.verifying_key()])?.to_jwks()?;
    t.shows("Bob has", public.replace(',', ", "));
    let header = forge::json(token.expose(), 0).context("JSON")?;
    let forged = forge::hs256(public.as_bytes(), &forge::unsigned(&header, &claims));
    t.refused(
        "a token that Bob makes with the public key as the secret",
        logged(verifier.verify::<Scope>(&forged)),
        "signature is not valid",
    )?;
    // ANCHOR_END: forge

    t.step("Print a token, a key and a refusal.");
    let refused = verifier.verify::<Scope>(&forged).err().context("refused")?;
    t.must_show("token", &format!("{token:?}"), "redacted")?;
    let key = SigningKey::ed25519(key_id("2026-12")?)?;
    t.must_show("key", &format!("{key:?}"), "SigningKey(2026-12, EdDSA)")?;
    t.must_show("outward", &refused.to_string(), "the token is refused")?;
    t.must_show("for the log", &refused.reason().to_string(), "the signature")
}
