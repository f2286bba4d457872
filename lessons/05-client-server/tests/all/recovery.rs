//! The way back after a theft, and a sender or a reader who is restored from a copy.

use std::sync::atomic::Ordering;

use crate::common::{TestResult, name, quick, refusal, silent_about, tokens};
use careful_encryption::password::Cost;
use careful_mailbox::account::{Account, AccountError, Found, Order};
use careful_mailbox::client::{Client, ClientError};
use careful_mailbox::protocol::{Bytes, Refusal, Request, Response, Secret};
use mailbox::lab::stage::{Person, Stage, StageOptions};
use std::time::Duration;

fn fetch(token: &Secret) -> Request {
    Request::Fetch { token: token.clone(), after: 0 }
}

fn numbers(found: &[Found]) -> Vec<(u64, Order)> {
    let number = |found: &Found| match found {
        Found::Letter { number, order, .. } => Some((*number, *order)),
        _ => None,
    };
    found.iter().filter_map(number).collect()
}

#[tokio::test]
async fn another_password_ends_everything_that_a_thief_has() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let mut alice = stage.person("alice").await?;
    let mut thief = Client::new(stage.endpoint()?);
    let (access, refresh) = tokens(&mut thief, &alice).await?;
    let old = alice.account.password();
    let new = Secret::new("another password of alice");
    // A stolen token is not enough to do it.
    let guess = Request::ChangePassword {
        token: access.clone(),
        password: Secret::new("a guess of the thief"),
        new: Secret::new("the password of the thief"),
    };
    assert_eq!(refusal(thief.call(&guess).await), Some(Refusal::Unauthorized));

    let ended = alice.account.change_password(&mut alice.client, new.clone()).await?;
    assert_eq!(ended, 2, "the thief's and her own");
    assert_eq!(refusal(thief.call(&fetch(&access)).await), Some(Refusal::Unauthorized));
    let renew = Request::Refresh { refresh };
    assert_eq!(refusal(thief.call(&renew).await), Some(Refusal::Unauthorized));
    let log_in = Request::LogIn { name: name("alice"), password: old };
    assert_eq!(refusal(thief.call(&log_in).await), Some(Refusal::Unauthorized));
    // Her own program goes on, also after a restart.
    assert!(alice.read().await?.is_empty());
    let alice = alice.at(stage.endpoint()?)?;
    assert!(alice.account.password() == new);
    Ok(())
}

#[tokio::test]
async fn ending_the_logins_ends_access_tokens_at_once_and_the_password_stays() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let mut alice = stage.person("alice").await?;
    let mut thief = Client::new(stage.endpoint()?);
    let (access, _) = tokens(&mut thief, &alice).await?;
    assert_eq!(alice.account.end_logins(&mut alice.client).await?, 2);
    assert_eq!(refusal(thief.call(&fetch(&access)).await), Some(Refusal::Unauthorized));
    assert!(alice.read().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_changed_key_gives_a_warning_and_lists_letters_sealed_for_the_old_key() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    alice.send("bob", "one").await?;
    assert_eq!(numbers(&bob.read().await?), [(1, Order::Next)]);
    alice.send("bob", "sealed for the old key").await?;
    let before = bob.account.own_fingerprint();
    bob.account.change_key(&mut bob.client).await?;
    assert_ne!(bob.account.own_fingerprint(), before);
    let found = bob.read().await?;
    let old = Found::NotAuthentic { from: name("alice"), had_another_key: true };
    assert_eq!(found, [old]);

    let failed = alice.send("bob", "three").await.expect_err("the key has changed");
    assert!(matches!(failed.error, AccountError::KeyChanged { .. }), "{failed:?}");
    assert_eq!(alice.account.waiting(), 1, "kept: perhaps the server lies");
    let print = bob.account.own_fingerprint();
    let removed = alice.account.trust(&mut alice.client, &name("bob"), &print).await?;
    assert_eq!((removed, alice.account.waiting()), (1, 0), "nobody could open it any more");
    alice.send("bob", "four").await?;
    let mut bob = bob.at(stage.endpoint()?)?;
    let found = bob.read().await?;
    assert!(matches!(found.last(), Some(Found::Letter { number: 4, .. })), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn a_deleted_account_loses_its_tokens_and_frees_its_name() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    alice.send("bob", "hello").await?;
    bob.send("alice", "a letter that she never reads").await?;
    let mut thief = Client::new(stage.endpoint()?);
    let (access, refresh) = tokens(&mut thief, &alice).await?;
    let guess = Request::DeleteAccount { token: access.clone(), password: Secret::new("a guess") };
    assert_eq!(refusal(thief.call(&guess).await), Some(Refusal::Unauthorized));
    alice.account.delete(&mut alice.client).await?;
    assert_eq!(refusal(thief.call(&fetch(&access)).await), Some(Refusal::Unauthorized));
    let folder = stage.folder.path().join("another-alice");
    let mut other = Person::register(folder, "alice", stage.endpoint()?).await?;
    assert_eq!(refusal(thief.call(&fetch(&access)).await), Some(Refusal::Unauthorized));
    let renew = Request::Refresh { refresh };
    assert_eq!(refusal(thief.call(&renew).await), Some(Refusal::Unauthorized));
    assert!(other.read().await?.is_empty());
    // Bob is warned.
    let failed = bob.send("alice", "are you there?").await.expect_err("another key");
    assert!(matches!(failed.error, AccountError::KeyChanged { .. }), "{failed:?}");
    Ok(())
}

#[tokio::test]
async fn a_reused_refresh_token_is_counted_and_ends_access_tokens_as_well() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let alice = stage.person("alice").await?;
    let mut client = Client::new(stage.endpoint()?);
    let (_, refresh) = tokens(&mut client, &alice).await?;
    let renew = Request::Refresh { refresh };
    let Response::Tokens { access, .. } = client.call(&renew).await? else {
        return Err("tokens".into());
    };
    let counters = stage.server.service().counters();
    assert_eq!(counters.reused_tokens.load(Ordering::SeqCst), 0);
    for _ in 0..2 {
        assert_eq!(refusal(client.call(&renew).await), Some(Refusal::Unauthorized));
    }
    assert_eq!(counters.reused_tokens.load(Ordering::SeqCst), 1, "one copy, one alarm");
    assert_eq!(refusal(client.call(&fetch(&access)).await), Some(Refusal::Unauthorized));
    Ok(())
}

/// Who knows the old password logs in while its owner ends all logins: the login that was begun before is none after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_was_begun_before_all_are_ended_is_ended() -> TestResult {
    // A hash that takes longer than it takes to end all logins.
    let cost = Cost { memory: 64 * 1024, passes: 4, lanes: 1 };
    let stage = Stage::new(StageOptions { cost, ..StageOptions::default() }).await?;
    let mut alice = stage.person("alice").await?;
    for wait in (10..).step_by(20).take(10) {
        let (name, password) = (name("alice"), alice.account.password());
        let mut thief = Client::new(stage.endpoint()?);
        thief.call(&Request::Ping {}).await?;
        alice.read().await?;
        let login = tokio::spawn(async move {
            let answer = thief.call(&Request::LogIn { name, password }).await;
            answer.map(|answer| (thief, answer))
        });
        tokio::time::sleep(Duration::from_millis(wait)).await;
        alice.account.end_logins(&mut alice.client).await?;
        let (mut thief, answer) = login.await??;
        let Response::Tokens { access, refresh, .. } = answer else {
            return Err("tokens".into());
        };
        if refusal(thief.call(&fetch(&access)).await) != Some(Refusal::Unauthorized) {
            // It was begun after the others were ended.
            continue;
        }
        let renewed = thief.call(&Request::Refresh { refresh }).await;
        assert_eq!(refusal(renewed), Some(Refusal::Unauthorized));
        return Ok(());
    }
    Err("none of ten logins was begun before the others were ended".into())
}

#[tokio::test]
async fn a_login_ends_by_its_refresh_token_alone() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let alice = stage.person("alice").await?;
    let mut client = Client::new(stage.endpoint()?);
    let (access, refresh) = tokens(&mut client, &alice).await?;
    // The access token has expired.
    stage.clock.advance(Duration::from_secs(605));
    let log_out = Request::LogOut { refresh: refresh.clone(), token: Some(access) };
    assert_eq!(client.call(&log_out).await?, Response::LoggedOut {});
    let renew = Request::Refresh { refresh };
    assert_eq!(refusal(client.call(&renew).await), Some(Refusal::Unauthorized));
    let (_, refresh) = tokens(&mut client, &alice).await?;
    let log_out = Request::LogOut { refresh, token: None };
    assert_eq!(client.call(&log_out).await?, Response::LoggedOut {});
    let nothing = Request::LogOut { refresh: Secret::new("x"), token: None };
    assert_eq!(refusal(client.call(&nothing).await), Some(Refusal::Unauthorized));
    Ok(())
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_locks_nobody_out() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let alice = stage.person("alice").await?;
    let change = |request: &Request| {
        matches!(request, Request::ChangePassword { .. } | Request::ChangeKey { .. })
    };
    let (_spy, mut alice) = silent_about(&stage, alice, change).await?;
    let new = Secret::new("another password of alice");
    let lost = alice.account.change_password(&mut alice.client, new.clone()).await;
    assert!(lost.is_err());
    // The program starts again, with a password that the server no longer takes.
    let mut alice = alice.at(stage.endpoint()?)?;
    assert!(alice.read().await.is_err());
    alice.account.settle(&mut alice.client).await?;
    assert!(alice.read().await?.is_empty() && alice.account.password() == new);

    let (_spy, mut alice) = silent_about(&stage, alice, change).await?;
    let before = alice.account.own_fingerprint();
    assert!(alice.account.change_key(&mut alice.client).await.is_err());
    let mut alice = alice.at(stage.endpoint()?)?;
    assert_eq!(alice.account.own_fingerprint(), before);
    alice.account.settle(&mut alice.client).await?;
    assert_ne!(alice.account.own_fingerprint(), before);
    let request = |token| Request::Key { token, name: name("alice") };
    let Response::Key { key: Bytes(key), .. } = alice.client.call_with_token(request).await? else {
        return Err("a key".into());
    };
    let key = careful_encryption::public_key::PublicKey::from_bytes(&key)?;
    let served = careful_mailbox::sealed::fingerprint(&name("alice"), &key);
    assert_eq!(served, alice.account.own_fingerprint());
    alice.at(stage.endpoint()?)?;
    Ok(())
}

// Restored from a copy.

#[tokio::test]
async fn letters_of_a_restored_sender_are_shown_with_a_warning() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    alice.send("bob", "one").await?;
    let copy = std::fs::read(alice.folder.join("state.json"))?;
    alice.send("bob", "two").await?;
    alice.send("bob", "three").await?;
    assert_eq!(bob.read().await?.len(), 3);
    careful_files::replace(&alice.folder.join("state.json"), &copy)?;
    let mut alice = alice.at(stage.endpoint()?)?;
    alice.send("bob", "new").await?;
    let mut bob = bob.at(stage.endpoint()?)?;
    let found = bob.read().await?;
    assert_eq!(numbers(&found), [(2, Order::Reused)]);
    assert!(found[0].to_string().contains("WARNING") && found[0].to_string().ends_with(": new"));
    alice.send("bob", "newer").await?;
    alice.send("bob", "newest").await?;
    assert_eq!(numbers(&bob.read().await?), [(3, Order::Reused), (4, Order::Next)]);
    Ok(())
}

#[tokio::test]
async fn a_restored_reader_is_told_what_it_has_no_record_of() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    alice.send("bob", "one").await?;
    bob.read().await?;
    let copy = std::fs::read(bob.folder.join("state.json"))?;
    alice.send("bob", "two, which he read before the disk broke").await?;
    bob.read().await?;
    careful_files::replace(&bob.folder.join("state.json"), &copy)?;
    alice.send("bob", "three").await?;
    let mut bob = bob.at(stage.endpoint()?)?;
    let found = bob.read().await?;
    assert_eq!(found[0], Found::Missing { from: name("alice"), count: 1 });
    assert_eq!(numbers(&found), [(3, Order::Next)]);
    Ok(())
}

#[tokio::test]
async fn half_an_account_is_an_error_that_says_what_to_do() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let mut alice = stage.person("alice").await?;
    alice.send("alice", "a letter to herself").await?;
    let state = alice.folder.join("state.json");
    let old = std::fs::read(&state)?;
    std::fs::remove_file(&state)?;
    let error = Account::load(&alice.folder).err().ok_or("no state")?;
    assert!(matches!(error, AccountError::NoState { .. }));
    assert!(error.to_string().contains("mailbox --as alice start-over"), "{error}");
    careful_files::replace(&state, &old)?;
    alice.account.change_key(&mut alice.client).await?;
    Account::load(&alice.folder)?;
    careful_files::replace(&state, &old)?;
    let error = Account::load(&alice.folder).err().ok_or("another account's state")?;
    assert!(matches!(error, AccountError::NotOneAccount { .. }), "{error}");
    let mut over = Account::load_without_state(&alice.folder)?;
    over.start_over()?;
    Account::load(&alice.folder)?;
    Ok(())
}

#[tokio::test]
async fn a_name_that_looks_like_a_known_one_is_named() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    let mut mallory = stage.person("a1ice").await?;
    bob.send("alice", "hello").await?;
    assert_eq!(bob.account.looks_like(&name("a1ice")), Some(name("alice")));
    assert_eq!(bob.account.looks_like(&name("b0b")), Some(name("bob")));
    assert_eq!(bob.account.looks_like(&name("alice")), None);
    alice.send("bob", "hello").await?;
    mallory.send("bob", "hello").await?;
    let found = bob.read().await?;
    let like = Found::LooksLike { from: name("a1ice"), other: name("alice") };
    assert!(found.contains(&like), "{found:?}");
    mallory.send("bob", "hello again").await?;
    assert!(!bob.read().await?.contains(&like), "once");
    Ok(())
}

#[tokio::test]
async fn a_lost_connection_does_not_change_a_password_twice() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let mut alice = stage.person("alice").await?;
    let wrong = Secret::new("too short");
    let refused = alice.account.change_password(&mut alice.client, wrong).await;
    let bad = matches!(
        refused,
        Err(AccountError::Client(ClientError::Refused { because: Refusal::BadRequest, .. }))
    );
    assert!(bad, "{refused:?}");
    alice.account.settle(&mut alice.client).await?;
    assert!(alice.read().await?.is_empty());
    Ok(())
}
