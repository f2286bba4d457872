//! A new key, while tokens are on their way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use careful_https::body::read_body;
use careful_tokens::clock::Clock;
use careful_tokens::denylist::DenyList;
use careful_tokens::issuer::Issuer;
use careful_tokens::jwks::{KeySet, LONGEST_JWKS};
use careful_tokens::keys::SigningKey;
use careful_tokens::remote::{Freshness, RemoteVerifier};
use careful_tokens::verifier::Reason;
use http_body_util::Full;
use hyper::Response;
use jwt::lab::forge;
use jwt::lab::stage::{NOW, Scope, key_id, profile};
use jwt::lab::web::{Handler, WebServer, url};
use serde_json::json;
use shared::Transcript;

use super::logged;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let clock = Clock::settable(NOW);
    let old = SigningKey::ed25519(key_id("2026-11")?)?;
    let new = SigningKey::ed25519(key_id("2026-12")?)?;
    let (old_public, new_public) = (old.verifying(), new.verifying());

    t.step("The login publishes its keys over HTTPS, and a service fetches them.");
    let page = Arc::new(Page::default());
    page.publish(&KeySet::new([old_public.clone()])?)?;
    let server = WebServer::start(page.handler()).await?;
    let client = server.client(server.address())?;
    // ANCHOR: fetch
    let address = url(server.address(), "/.well-known/jwks.json");
    let fetch = move || {
        let request = client.get(&address);
        async move {
            let answer = request.send().await?.error_for_status()?;
            anyhow::Ok(KeySet::from_jwks(&read_body(answer, LONGEST_JWKS).await?)?)
        }
    };
    let denied = Arc::new(DenyList::new(1000));
    let freshness = Freshness::default();
    let service = RemoteVerifier::new(profile()?, clock.clone(), freshness, denied, fetch);
    // ANCHOR_END: fetch
    let mut issuer = Issuer::new(profile()?, old, clock.clone());
    let first = issuer.issue("alice", &Scope::new("read"))?;
    t.works(
        "a token signed with the key 2026-11",
        logged(service.verify::<Scope>(first.expose()).await),
    )?;
    t.must_show("fetches", &page.fetches(), "1")?;

    t.step(
        "The login publishes a second key next to the first one, and signs with it a minute later.",
    );
    page.publish(&KeySet::new([old_public, new_public.clone()])?)?;
    clock.advance(Duration::from_secs(60));
    drop(issuer.rotate(new));
    let second = issuer.issue("alice", &Scope::new("read"))?;
    let kid = forge::json(second.expose(), 0).context("JSON")?["kid"].clone();
    t.shows("kid", kid);
    t.works(
        "a token signed with the key 2026-12, which the service hasn't seen",
        logged(service.verify::<Scope>(second.expose()).await),
    )?;
    t.must_show("fetches", &page.fetches(), "2")?;
    t.works(
        "the token signed with the key 2026-11",
        logged(service.verify::<Scope>(first.expose()).await),
    )?;

    // ANCHOR: storm
    t.step("Mallory sends a thousand tokens, each with another made-up key id.");
    let mut refused = 0;
    for number in 0..1000 {
        let header = json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": format!("mallory-{number}") });
        let token = format!("{}.AAAA", forge::unsigned(&header, &json!({})));
        refused += usize::from(service.verify::<Scope>(&token).await.is_err());
    }
    t.must_show("refused", &refused.to_string(), "1000")?;
    t.must_show("fetches", &page.fetches(), "2")?;
    t.note(
        "The service fetches at most once in 30 seconds, whatever it's sent, so Mallory can't \
         flood the login.",
    );
    // ANCHOR_END: storm

    t.step(
        "The last token of the first key has expired, and the login no longer publishes that key.",
    );
    clock.advance(Duration::from_secs(600));
    page.publish(&KeySet::new([new_public])?)?;
    let third = issuer.issue("alice", &Scope::new("read"))?;
    t.works(
        "a token signed with the key 2026-12",
        logged(service.verify::<Scope>(third.expose()).await),
    )?;
    let until_refused = async {
        loop {
            let refused = service.verify::<Scope>(first.expose()).await.err();
            match refused {
                Some(refused) if *refused.reason() == Reason::UnknownKey => return refused,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(10), until_refused).await;
    let refused = refused.context("the fetch has no end")?;
    t.refused_in_short("the first token", logged(Err::<(), _>(refused)), "not in the set")?;
    t.must_show("fetches", &page.fetches(), "3")?;

    t.step("The login is down for an hour.");
    page.fail();
    clock.advance(Duration::from_secs(590));
    t.works(
        "a fresh token, after 10 minutes",
        logged(service.verify::<Scope>(third.expose()).await),
    )?;
    clock.advance(Duration::from_secs(3600));
    let fourth = issuer.issue("alice", &Scope::new("read"))?;
    t.refused(
        "a fresh token, after an hour",
        logged(service.verify::<Scope>(fourth.expose()).await),
        "no fresh keys",
    )
}

/// What the login publishes, and how often it was asked.
#[derive(Default)]
struct Page {
    /// None: the login is down.
    jwks: Mutex<Option<String>>,
    fetches: AtomicUsize,
}

impl Page {
    fn publish(&self, keys: &KeySet) -> anyhow::Result<()> {
        *self.jwks.lock().unwrap_or_else(PoisonError::into_inner) = Some(keys.to_jwks()?);
        Ok(())
    }

    fn fail(&self) {
        *self.jwks.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn fetches(&self) -> String {
        self.fetches.load(Ordering::SeqCst).to_string()
    }

    fn handler(self: &Arc<Self>) -> Handler {
        let page = self.clone();
        Arc::new(move |_request| {
            page.fetches.fetch_add(1, Ordering::SeqCst);
            let jwks = page.jwks.lock().unwrap_or_else(PoisonError::into_inner);
            match &*jwks {
                Some(jwks) => Response::new(Full::from(jwks.clone())),
                None => {
                    let mut down = Response::new(Full::default());
                    *down.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
                    down
                }
            }
        })
    }
}
