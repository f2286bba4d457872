//! Floods from one part of the network, and an honest client elsewhere.
//!
//! Every address of 127.0.0.0/8 is a network of its own to the server. macOS has only one of them.
#![cfg(not(target_os = "macos"))]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::common::{TestResult, name, quick};
use careful_encryption::password::Cost;
use careful_mailbox::protocol::{Refusal, Request, Response, Secret};
use careful_mailbox::server::ServerDeadlines;
use careful_tls::server::Limits;
use mailbox::lab::stage::{Person, Stage, StageOptions};
use mailbox::lab::stranger::{ask, connect_from};
use tokio::task::JoinSet;

/// An address of this machine.
fn here(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// The honest client.
const ELSEWHERE: u8 = 200;

fn log_in(person: &Person) -> Request {
    Request::LogIn { name: person.account.name().clone(), password: person.account.password() }
}

/// Connects, logs in, and reads its mailbox.
async fn works(stage: &Stage, person: &Person) -> anyhow::Result<()> {
    let source = here(ELSEWHERE);
    let mut frames = connect_from(source, stage.address(), stage.ca.roots()).await?;
    let Response::Tokens { access: token, .. } = ask(&mut frames, &log_in(person)).await? else {
        anyhow::bail!("not logged in");
    };
    let fetch = Request::Fetch { token, after: 0 };
    let Response::Messages { .. } = ask(&mut frames, &fetch).await? else {
        anyhow::bail!("no messages");
    };
    Ok(())
}

/// How many of a hundred tries work.
async fn of_a_hundred(stage: &Stage, person: &Person) -> usize {
    let mut worked = 0;
    for _ in 0..100 {
        worked += usize::from(works(stage, person).await.is_ok());
    }
    worked
}

/// Four accounts with right passwords, as fast as they can, over sixteen connections.
#[tokio::test]
async fn good_logins_of_one_network_do_not_close_the_login_for_the_others() -> TestResult {
    // Less than a real one, so that a hundred tries take a second.
    let cost = Cost { memory: 4096, passes: 1, lanes: 1 };
    let stage = Stage::new(StageOptions { cost, ..StageOptions::default() }).await?;
    let honest = stage.person("honest").await?;
    let mut flood = JoinSet::new();
    for number in 0..4 {
        let person = stage.person(&format!("flood-{number}")).await?;
        for _ in 0..4 {
            let request = log_in(&person);
            let (address, roots) = (stage.address(), stage.ca.roots());
            let mut frames = connect_from(here(2), address, roots).await?;
            flood.spawn(async move { while ask(&mut frames, &request).await.is_ok() {} });
        }
    }
    let worked = of_a_hundred(&stage, &honest).await;
    assert!(worked >= 95, "{worked} of 100 tries worked");
    flood.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn good_logins_of_an_account_and_of_a_network_are_limited() -> TestResult {
    let mut attempts = quick().attempts;
    (attempts.logins_of_account, attempts.logins_from_address) = (3, 5);
    let stage = Stage::new(StageOptions { attempts, ..quick() }).await?;
    let (alice, bob) = (stage.person("alice").await?, stage.person("bob").await?);
    let mut frames = connect_from(here(2), stage.address(), stage.ca.roots()).await?;
    let mut granted = 0;
    for person in [&alice, &bob, &alice, &bob, &alice, &bob, &alice, &bob] {
        let answer = ask(&mut frames, &log_in(person)).await?;
        granted += usize::from(matches!(answer, Response::Tokens { .. }));
    }
    assert_eq!(granted, 5, "from one network");
    let mut frames = connect_from(here(3), stage.address(), stage.ca.roots()).await?;
    let answer = ask(&mut frames, &log_in(&alice)).await?;
    let refused = Refusal::TooManyAttempts;
    assert!(
        matches!(answer, Response::Refused { because, .. } if because == refused),
        "{answer:?}"
    );
    let answer = ask(&mut frames, &log_in(&bob)).await?;
    let Response::Tokens { refresh, .. } = answer else { return Err("Bob's third".into()) };
    // A refresh counts as a login: it would be his fourth.
    let answer = ask(&mut frames, &Request::Refresh { refresh }).await?;
    assert!(
        matches!(answer, Response::Refused { because, .. } if because == refused),
        "{answer:?}"
    );
    stage.clock.advance(attempts.window);
    let answer = ask(&mut frames, &log_in(&alice)).await?;
    assert!(matches!(answer, Response::Tokens { .. }), "{answer:?}");
    Ok(())
}

/// So many clients at ten addresses. Each connects, asks this once, pings, and comes again when it is put out. Returns
/// when this many connections are open.
async fn flood(stage: &Stage, clients: u8, first: &Request, open: u64) -> JoinSet<()> {
    let mut flood = JoinSet::new();
    for number in 0..clients {
        let (address, roots, first) = (stage.address(), stage.ca.roots(), first.clone());
        flood.spawn(async move {
            loop {
                let source = here(2 + number % 10);
                if let Ok(mut frames) = connect_from(source, address, roots.clone()).await
                    && ask(&mut frames, &first).await.is_ok()
                {
                    while ask(&mut frames, &Request::Ping {}).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
    let counters = stage.server.service().counters();
    while counters.connections.load(Ordering::Relaxed) < open {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    flood
}

#[tokio::test]
async fn idle_strangers_do_not_fill_the_connections() -> TestResult {
    let connections = Limits { connections: 30, per_address: 8, reserved: 10 };
    let stage = Stage::new(StageOptions { connections, ..quick() }).await?;
    let honest = stage.person("honest").await?;
    let mut flood = flood(&stage, 45, &Request::Ping {}, 20).await;
    let worked = of_a_hundred(&stage, &honest).await;
    assert!(worked >= 95, "{worked} of 100 tries worked");
    flood.shutdown().await;
    Ok(())
}

/// One account that logs in over and over, from several networks, and keeps all connections that it gets.
#[tokio::test]
async fn logged_in_clients_cannot_fill_the_connections() -> TestResult {
    let connections = Limits { connections: 40, per_address: 10, reserved: 10 };
    let stage = Stage::new(StageOptions { connections, ..quick() }).await?;
    let (honest, mallory) = (stage.person("honest").await?, stage.person("mallory").await?);
    let mut flood = flood(&stage, 60, &log_in(&mallory), 30).await;
    let worked = of_a_hundred(&stage, &honest).await;
    assert!(worked >= 95, "{worked} of 100 tries worked");
    flood.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn registrations_of_one_network_do_not_use_up_those_of_others() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let key = careful_encryption::public_key::KeyPair::<
        careful_encryption::public_key::Classical,
    >::random();
    let register = |who: String| Request::Register {
        name: name(&who),
        password: Secret::new("the password of somebody"),
        key: careful_mailbox::protocol::Bytes(key.public().to_bytes()),
    };
    let mut frames = connect_from(here(2), stage.address(), stage.ca.roots()).await?;
    let mut granted = 0;
    for number in 0..60 {
        let answer = ask(&mut frames, &register(format!("flood-{number}"))).await?;
        granted += usize::from(matches!(answer, Response::Registered {}));
    }
    assert_eq!(granted, 50);
    let mut frames = connect_from(here(ELSEWHERE), stage.address(), stage.ca.roots()).await?;
    let answer = ask(&mut frames, &register("honest".to_owned())).await?;
    assert!(matches!(answer, Response::Registered {}), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn who_does_not_log_in_is_ended_whatever_else_it_asks_and_who_does_stays() -> TestResult {
    let login = Duration::from_millis(300);
    let deadlines = ServerDeadlines { login, ..ServerDeadlines::default() };
    let stage = Stage::new(StageOptions { deadlines, ..quick() }).await?;
    let alice = stage.person("alice").await?;
    let mut known = connect_from(here(2), stage.address(), stage.ca.roots()).await?;
    ask(&mut known, &log_in(&alice)).await?;
    let mut stranger = connect_from(here(3), stage.address(), stage.ca.roots()).await?;
    let began = Instant::now();
    while ask(&mut stranger, &Request::Ping {}).await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(20), "it is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(began.elapsed() >= login / 2);
    ask(&mut known, &Request::Ping {}).await?;
    Ok(())
}

#[tokio::test]
async fn a_connection_does_not_get_older_than_its_age() -> TestResult {
    let age = Duration::from_millis(300);
    let deadlines = ServerDeadlines { age, ..ServerDeadlines::default() };
    let stage = Stage::new(StageOptions { deadlines, ..quick() }).await?;
    let alice = stage.person("alice").await?;
    let mut known = connect_from(here(2), stage.address(), stage.ca.roots()).await?;
    ask(&mut known, &log_in(&alice)).await?;
    let began = Instant::now();
    while ask(&mut known, &Request::Ping {}).await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(20), "it is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// What the chapter says of the log: what was left out is counted, of strangers and of accounts together.
#[tokio::test]
async fn log_lines_that_were_left_out_are_counted() -> TestResult {
    let stage = Stage::new(StageOptions::default()).await?;
    let service = stage.server.service();
    assert_eq!(service.lines_left_out(), 0);
    for _ in 0..1000 {
        service.strangers_log().allows();
        service.accounts_log().allows();
    }
    let (strangers, accounts) =
        (service.strangers_log().left_out(), service.accounts_log().left_out());
    assert!(strangers > 900 && accounts > 500, "{strangers}, {accounts}");
    assert_eq!(service.lines_left_out(), strangers + accounts);
    Ok(())
}

/// An access token is one of ten minutes, and signing keys that are read again are not others for that.
#[tokio::test]
async fn tokens_live_for_ten_minutes_and_the_same_keys_are_no_others() -> TestResult {
    let stage = Stage::new(StageOptions::default()).await?;
    let mut alice = stage.person("alice").await?;
    alice.read().await?;
    let token = alice.client.token().ok_or("a token")?.clone();
    let fetch = || Request::Fetch { token: token.clone(), after: 0 };
    let mut other = careful_mailbox::client::Client::new(stage.endpoint()?);
    stage.clock.advance(Duration::from_secs(599));
    assert!(other.call(&fetch()).await.is_ok());
    stage.clock.advance(Duration::from_secs(10));
    assert!(other.call(&fetch()).await.is_err_and(|error| error.is(Refusal::Unauthorized)));

    let keys = || careful_mailbox::signing_keys::load(&stage.signing_keys());
    assert!(!stage.server.replace_keys(keys()?)?, "read again");
    let rotated = careful_mailbox::signing_keys::rotate(&stage.signing_keys())?;
    assert!(stage.server.replace_keys(rotated.keys)?);
    assert!(!stage.server.replace_keys(keys()?)?, "and again");
    Ok(())
}
