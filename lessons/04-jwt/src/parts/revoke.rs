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
    t.step("Alice logs in: an access token for 10 minutes, a refresh token for the next one.");
    let first = store.log_in("alice")?;
    let access = issuer.issue("alice", &scope)?;
    t.works("the access token", logged(verifier.verify::<Scope>(access.expose())))?;
    t.shows("refresh token", format!("{} random characters", first.expose().len()));

    t.step("Ten minutes later it has expired. The refresh token gives the next pair, once.");
    clock.advance(Duration::from_secs(605));
    t.refused_in_short(
        "the access token",
        logged(verifier.verify::<Scope>(access.expose())),
        "expired",
    )?;
    let second = t.works("the refresh token", store.refresh(first.expose()))?.token;
    // ANCHOR_END: refresh

    t.step("Mallory had copied the first refresh token. She uses it.");
    t.refused("her copy", told(store.refresh(first.expose())), "used before: somebody has a copy")?;
    t.refused(
        "and Alice's own, the second: the login is ended for both",
        told(store.refresh(second.expose())),
        "of a login that was ended",
    )?;

    t.step("The other way around: Mallory is the first to use her copy.");
    let first = store.log_in("alice")?;
    let hers = store.refresh(first.expose())?.token;
    t.attack_works("Mallory has the next one", !hers.expose().is_empty())?;
    t.refused_in_short("Alice's", told(store.refresh(first.expose())), "used before")?;
    t.refused_in_short(
        "Mallory's",
        told(store.refresh(hers.expose())),
        "of a login that was ended",
    )?;
    t.note("Until Alice's next refresh the theft works. Then it ends, and is noticed.");

    // ANCHOR: deny
    t.step("Alice logs out. Her access token would live for ten more minutes.");
    let access = issuer.issue("alice", &scope)?;
    let claims = t.works("before", logged(verifier.verify::<Scope>(access.expose())))?;
    verifier.deny(&claims)?;
    t.refused_in_short(
        "after",
        logged(verifier.verify::<Scope>(access.expose())),
        "on the deny list",
    )?;
    // ANCHOR_END: deny

    t.step("The list has room for two. When it is full, it forgets what has expired, and nothing else.");
    let deny = || {
        let token = issuer.issue("bob", &scope)?;
        let claims = logged(verifier.verify::<Scope>(token.expose()))?;
        verifier.deny(&claims).map_err(anyhow::Error::from)
    };
    t.works("a second token", deny())?;
    t.refused("a third token", deny(), "expected at most 2 tokens")?;
    clock.advance(Duration::from_secs(719));
    t.refused_in_short(
        "after 719 s: a verifier with the longest leeway, 120 s, would accept both",
        deny(),
        "at most 2",
    )?;
    clock.advance(Duration::from_secs(1));
    t.works("after 720 s", deny())?;
    t.works("and once more", deny())?;
    t.refused("and no third time", deny(), "expected at most 2 tokens")?;
    t.refused_in_short(
        "the first one",
        logged(verifier.verify::<Scope>(access.expose())),
        "expired",
    )?;

    t.step("Unused for a day, or after 30 days in all, a login is over.");
    let idle = store.log_in("carol")?;
    clock.advance(Duration::from_secs(24 * 60 * 60));
    t.refused_in_short("unused", told(store.refresh(idle.expose())), "over")?;
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
