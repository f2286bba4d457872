//! A token that says it is unsigned.

use anyhow::Context;
use aws_lc_rs::rand;
use careful_tokens::clock::Clock;
use careful_tokens::keys::SigningKey;
use jwt::lab::stage::{NOW, Scope, key_id, pair};
use jwt::lab::{careless, forge};
use serde_json::json;
use shared::Transcript;

use super::logged;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let mut secret = [0; 32];
    rand::fill(&mut secret).ok().context("random bytes")?;
    let (issuer, verifier) =
        pair(SigningKey::hs256(key_id("2026-11")?, &secret)?, &Clock::settable(NOW))?;
    let token = issuer.issue("alice", &Scope::new("read"))?;

    t.step("Mallory takes her token, writes another name into it and leaves out the signature.");
    let mut claims = forge::json(token.expose(), 1).context("JSON")?;
    claims["sub"] = "admin".into();
    let forged = |alg: &str| {
        let header = json!({ "typ": "at+jwt", "alg": alg, "kid": "2026-11" });
        format!("{}.", forge::unsigned(&header, &claims))
    };
    t.shows("header", forge::json(&forged("none"), 0).context("JSON")?);

    t.step(
        "Three verifiers: a handwritten one, one with a deny list that has \"none\" on it, and \
         the take-home one.",
    );
    let sub = |claims: Option<serde_json::Value>| match claims {
        Some(claims) if claims["sub"] == "admin" => "admin",
        _ => "refused",
    };
    let mut rows = vec![["alg", "by hand", "with a list", "take-home"].map(str::to_owned)];
    let mut accepted = [0; 2];
    for alg in ["none", "None", "NONE", "nOnE", "none ", "null", "", "HS256"] {
        let token = forged(alg);
        let first = sub(careless::honors_none(&token, &secret));
        let second = sub(careless::refuses_none(&token, &secret));
        accepted[0] += usize::from(first == "admin");
        accepted[1] += usize::from(second == "admin");
        let ours = match verifier.verify::<Scope>(&token) {
            Ok(_claims) => anyhow::bail!("accepted without a signature: {alg}"),
            Err(_refused) => "refused",
        };
        rows.push([format!("{alg:?}"), first.into(), second.into(), ours.into()]);
    }
    t.table(&rows);
    t.attack_works("the handwritten verifier takes Mallory for admin", accepted[0] > 0)?;
    t.attack_works(
        "the verifier with the list does so, too, if \"none\" has a capital letter",
        accepted[1] > 0,
    )?;

    t.step("The take-home verifier, in which each key has its algorithm.");
    t.refused(
        "alg none",
        logged(verifier.verify::<Scope>(&forged("none"))),
        "not one of a signed token",
    )?;
    t.refused(
        "alg HS256 and no signature",
        logged(verifier.verify::<Scope>(&forged("HS256"))),
        "the signature is not valid",
    )?;

    t.step(
        "A third verifier calls insecure_decode_claims, which reads the claims and checks \
         no signature.",
    );
    let read = careless::reads_only(&forged("HS256"))?;
    t.attack_works("the verifier takes Mallory for admin", read["sub"] == "admin")?;
    t.note("In this course clippy refuses that function, because clippy.toml lists it.");
    Ok(())
}
