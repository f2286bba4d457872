//! A token that is bound to a service's certificate, at an axum handler.

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use careful_services::token::OnBehalf;
use careful_tokens::binding::Confirmation;
use careful_tokens::claims::NoMore;
use careful_tokens::clock::Clock;
use careful_tokens::issuer::Issuer;
use careful_tokens::jwks::KeySet;
use careful_tokens::keys::{KeyId, SigningKey};
use careful_tokens::profile::{Profile, TokenType};
use careful_tokens::verifier::Verifier;
use http::{Request, StatusCode};
use services::lab::client::{Connection, with};
use services::lab::pki::{credentials, trust};
use services::lab::service::{Ledger, config};
use services::lab::{CHECKOUT, LEDGER, LEDGER_NAME, PHOTOS};
use shared::LabCa;

type TestResult = Result<(), Box<dyn Error>>;

/// A login service, and the ledger's router with its verifier.
fn login() -> Result<(Issuer, Router), Box<dyn Error>> {
    let profile =
        || Profile::new("https://login.bank.test", "https://ledger.bank.test", TokenType::ACCESS);
    let (key, clock) = (SigningKey::ed25519(KeyId::new("key-1")?)?, Clock::system());
    let verifier = Verifier::new(profile()?, KeySet::new([key.verifying()])?, clock.clone());
    let charge =
        async |OnBehalf { service, claims }: OnBehalf| format!("{service} for {}", claims.sub);
    let router = Router::new().route("/charge", get(charge)).with_state(Arc::new(verifier));
    Ok((Issuer::new(profile()?, key, clock), router))
}

#[tokio::test]
async fn a_token_counts_from_the_service_to_which_it_is_bound_and_from_no_other() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let (login, router) = login()?;
    let own = credentials(&ca.leaf(LEDGER).also_for(LEDGER_NAME).issue()?);
    let ledger = Ledger::start_with(config(&own, &trust(&ca))?, router).await?;
    let checkout = ca.leaf(CHECKOUT).for_clients().issue()?;
    let photos = ca.leaf(PHOTOS).for_clients().issue()?;
    let holder = Confirmation::of_certificate(&checkout.leaf_der());
    let bound = login.issue_bound("alice", holder, &NoMore {})?;
    let unbound = login.issue("alice", &NoMore {})?;
    let charge = async |identity, token: Option<&str>| {
        let client = with(&credentials(identity), &trust(&ca))?;
        let mut connection = Connection::open(client, ledger.address()).await?;
        let authorization = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> =
            authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        connection.get_with("/charge", &headers).await
    };
    let answer = charge(&checkout, Some(bound.expose())).await?;
    assert_eq!(answer, format!("{CHECKOUT} for alice"));
    for (identity, token) in [
        (&photos, Some(bound.expose())),
        (&checkout, Some(unbound.expose())),
        (&checkout, Some("e30.e30.e30")),
        (&checkout, None),
    ] {
        let refused = charge(identity, token).await.expect_err("not this token from this service");
        assert!(refused.to_string().contains("401"), "{refused}");
    }
    // Without a service's identity, a good token doesn't count.
    let nobody = ca.leaf(CHECKOUT).common_name_only().for_clients().issue()?;
    let refused = charge(&nobody, Some(bound.expose())).await.expect_err("nobody");
    assert!(refused.to_string().contains("403"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn without_tls_a_bound_token_is_worth_nothing() -> TestResult {
    use hyper::service::Service as _;
    let (login, router) = login()?;
    let ca = LabCa::new("Course Lab")?;
    let holder = ca.leaf(CHECKOUT).for_clients().issue()?.leaf_der();
    let bound = login.issue_bound("alice", Confirmation::of_certificate(&holder), &NoMore {})?;
    let request = Request::get("/charge")
        .header("authorization", format!("Bearer {}", bound.expose()))
        .body(axum::body::Body::empty())?;
    let answer = hyper_util::service::TowerToHyperService::new(router).call(request).await?;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    Ok(())
}
