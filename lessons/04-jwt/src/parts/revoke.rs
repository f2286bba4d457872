//! To end what was issued.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use careful_tokens::clock::Clock;
use careful_tokens::denylist::DenyList;
use careful_tokens::issuer::Issuer;
use careful_tokens::jwks::KeySet;
use careful_tokens::keys::SigningKey;
use careful_tokens::refresh::{RefreshLimits, RefreshRefused, RefreshStore};
use careful_tokens::verifier::Verifier;
use jwt::lab::stage::{NOW, Scope, key_id, profile};
use shared::Transcript;

use super::logged;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let clock = Clock::settable(NOW);
    let key = SigningKey::ed25519(key_id("2026-11")?)?;
    let verifier = Verifier::new(profile()?, KeySet::new([key.verifying()])?, clock.clone())
        .with_deny_list(Arc::new(DenyList::new(2)));
    let issuer = Issuer::new(profile()?, key, clock.clone());
    let store = RefreshStore::new(RefreshLimits::default(), clock.clone());
    let scope = Scope::new("read");

    // ANCHOR: refresh
    t.step(
        "Alice logs in. She gets an access token for 10 minutes, and a refresh token to get the \
         next one with.",
    );
    let first = store.log_in("alice")?;
    let access = issuer.issue("alice", &scope)?;
    t.works("the access token", logged(verifier.verify::<Scope>(access.expose())))?;
    t.shows("refresh token", format!("{} random characters", first.expose().len()));

    t.step("Ten minutes later she tries both.");
    clock.advance(Duration::from_secs(605));
    t.refused_in_short(
        "the access token",
        logged(verifier.verify::<Scope>(access.expose())),
        "expired",
    )?;
    let second = t.works("the refresh token", store.refresh(first.expose()))?.token;
    // ANCHOR_END: refresh

    t.step("Mallory had copied the first refresh token, and uses it after Alice.");
    t.refused(
        "Mallory's copy, which Alice has used before",
        told(store.refresh(first.expose())),
        "used before: somebody has a copy",
    )?;
    t.refused(
        "Alice's own second refresh token, which nobody copied",
        told(store.refresh(second.expose())),
        "the login was ended",
    )?;

    t.step("The other way around. Mallory uses her copy before Alice does.");
    let first = store.log_in("alice")?;
    let hers = store.refresh(first.expose())?.token;
    t.attack_works("Mallory gets the next pair", !hers.expose().is_empty())?;
    t.refused_in_short(
        "then Alice's first refresh token",
        told(store.refresh(first.expose())),
        "used before",
    )?;
    t.refused_in_short(
        "then Mallory's new refresh token",
        told(store.refresh(hers.expose())),
        "the login was ended",
    )?;
    t.note(
        "The theft works until Alice's next refresh, which ends the login and reveals the theft.",
    );

    // ANCHOR: deny
    t.step("Alice logs out. Her access token would be valid for ten more minutes.");
    let access = issuer.issue("alice", &scope)?;
    let claims = t.works(
        "the access token, before she logs out",
        logged(verifier.verify::<Scope>(access.expose())),
    )?;
    verifier.deny(&claims)?;
    t.refused_in_short(
        "the access token, afterwards",
        logged(verifier.verify::<Scope>(access.expose())),
        "on the deny list",
    )?;
    // ANCHOR_END: deny

    t.step("The deny list has room for two tokens. Fill it, and wait until they have expired.");
    let deny = || {
        let token = issuer.issue("bob", &scope)?;
        let claims = logged(verifier.verify::<Scope>(token.expose()))?;
        verifier.deny(&claims).map_err(anyhow::Error::from)
    };
    t.works("a second token goes on the list", deny())?;
    t.refused("a third token goes on the list", deny(), "expected at most 2 tokens")?;
    clock.advance(Duration::from_secs(719));
    t.refused_in_short(
        "a third token after 719 s, while the longest leeway, 120 s, lasts",
        deny(),
        "at most 2",
    )?;
    clock.advance(Duration::from_secs(1));
    t.works("a third token after 720 s", deny())?;
    t.works("a fourth token after 720 s", deny())?;
    t.refused("a fifth token after 720 s", deny(), "expected at most 2 tokens")?;
    t.refused_in_short(
        "the first token, at the verifier",
        logged(verifier.verify::<Scope>(access.expose())),
        "expired",
    )?;

    t.step("A login that isn't used for a day, and one that is used every day for a month.");
    let idle = store.log_in("carol")?;
    clock.advance(Duration::from_secs(24 * 60 * 60));
    t.refused_in_short("after a day without use", told(store.refresh(idle.expose())), "over")?;
    let mut busy = store.log_in("carol")?;
    let mut days: f64 = 0.0;
    loop {
        clock.advance(Duration::from_secs(12 * 60 * 60));
        days += 0.5;
        match store.refresh(busy.expose()) {
            Ok(next) => busy = next.token,
            Err(_over) => break,
        }
    }
    t.must_show("used daily", &format!("over after {days} days"), "30 days")
}

/// Outward one text, and the reason for the log.
fn told<T>(refreshed: Result<T, RefreshRefused>) -> anyhow::Result<T> {
    refreshed.map_err(|refused| anyhow!(refused.reason()).context(refused.to_string()))
}
