//! What the lesson claims of its server and client, each as a test.

use std::collections::BTreeSet;

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::{TestResult, name, quick, refusal, tokens};
use careful_encryption::public_key::{Classical, KeyPair};
use careful_mailbox::account::{Account, AccountError, Fate, Found, Order, SendError};
use careful_mailbox::client::Client;
use careful_mailbox::protocol::{Bytes, MessageId, Refusal, Request, Response, Secret};
use careful_mailbox::server::ServerDeadlines;
use careful_tls::server::{Deadlines, Limits};
use mailbox::lab::log::Log;
use mailbox::lab::stage::{Stage, StageOptions, identity};
use mailbox::lab::stranger;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

// The store.

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_files() -> TestResult {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::new(quick()).await?;
    let alice = stage.person("alice").await?;
    for file in [stage.database(), stage.signing_keys(), alice.folder.join("account.json")] {
        let mode = std::fs::metadata(&file)?.permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
    let mode = std::fs::metadata(&alice.folder)?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    Ok(())
}

// The server.

#[tokio::test]
async fn nothing_of_a_mailbox_is_given_without_a_token() -> TestResult {
    let stage = Stage::new(quick()).await?;
    stage.person("alice").await?;
    let mut client = Client::new(stage.endpoint()?);
    for token in ["", "a.b.c"] {
        let token = || Secret::new(token);
        let requests = [
            Request::Key { token: token(), name: name("alice") },
            Request::Send {
                token: token(),
                to: name("alice"),
                id: MessageId([1; 16]),
                sealed: Bytes(vec![]),
            },
            Request::Fetch { token: token(), after: 0 },
            Request::Delete { token: token(), numbers: vec![1] },
            Request::Status { token: token() },
            Request::LogOut { token: Some(token()), refresh: token() },
            Request::Refresh { refresh: token() },
        ];
        for request in requests {
            let refused = refusal(client.call(&request).await);
            assert_eq!(refused, Some(Refusal::Unauthorized), "{}", request.name());
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_and_a_wrong_name_are_one_answer() -> TestResult {
    let stage = Stage::new(quick()).await?;
    stage.person("alice").await?;
    let mut client = Client::new(stage.endpoint()?);
    for who in ["alice", "nobody"] {
        let password = Secret::new("a wrong password");
        let request = Request::LogIn { name: name(who), password };
        assert_eq!(refusal(client.call(&request).await), Some(Refusal::Unauthorized));
    }
    Ok(())
}

#[tokio::test]
async fn only_an_operator_sees_the_counters() -> TestResult {
    let operators = BTreeSet::from([name("olga")]);
    let stage = Stage::new(StageOptions { operators, ..quick() }).await?;
    let mut olga = stage.person("olga").await?;
    let mut alice = stage.person("alice").await?;
    let status = |token| Request::Status { token };
    let answer = olga.client.call_with_token(status).await?;
    let Response::Status(status_) = answer else { return Err("status".into()) };
    assert_eq!(status_.connections, 2);
    let answer = alice.client.call_with_token(status).await;
    assert_eq!(refusal(answer), Some(Refusal::Forbidden));
    Ok(())
}

#[tokio::test]
async fn a_name_is_given_once() -> TestResult {
    let stage = Stage::new(quick()).await?;
    stage.person("alice").await?;
    let mut client = Client::new(stage.endpoint()?);
    let password = Secret::new("another password");
    let key = Bytes(KeyPair::<Classical>::random().public().to_bytes());
    let request = Request::Register { name: name("alice"), password, key };
    assert_eq!(refusal(client.call(&request).await), Some(Refusal::Taken));
    let password = Secret::new("another password");
    let request = Request::Register { name: name("bob"), password, key: Bytes(vec![1]) };
    assert_eq!(refusal(client.call(&request).await), Some(Refusal::BadRequest));
    Ok(())
}

#[tokio::test]
async fn a_used_refresh_token_ends_its_login() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let alice = stage.person("alice").await?;
    let mut client = Client::new(stage.endpoint()?);
    let (_, refresh) = tokens(&mut client, &alice).await?;
    let first = Request::Refresh { refresh };
    let Response::Tokens { refresh, .. } = client.call(&first).await? else {
        return Err("tokens".into());
    };
    let second = Request::Refresh { refresh };
    for used_or_ended in [first, second] {
        let refused = refusal(client.call(&used_or_ended).await);
        assert_eq!(refused, Some(Refusal::Unauthorized));
    }
    Ok(())
}

#[tokio::test]
async fn silent_clients_are_closed_and_honest_ones_served() -> TestResult {
    let short = Duration::from_millis(100);
    let connections = Limits { connections: 4, per_address: 4, reserved: 0 };
    let connection = Deadlines { handshake: short, shutdown: short };
    let deadlines = ServerDeadlines { connection, first: short, ..ServerDeadlines::default() };
    let stage = Stage::new(StageOptions { connections, deadlines, ..quick() }).await?;
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(tokio::net::TcpStream::connect(stage.address()).await?);
    }
    let mut quiet = stranger::connect(stage.address(), stage.ca.roots()).await?;
    let began = std::time::Instant::now();
    let mut honest = Client::new(stage.endpoint()?);
    assert_eq!(honest.call(&Request::Ping {}).await?, Response::Pong {});
    for mut stream in silent {
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    }
    assert_eq!(quiet.read(&mut [0]).await?, 0, "and with a goodbye");
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "by the first frame's deadline, not by that of the login"
    );
    assert_eq!(honest.call(&Request::Ping {}).await?, Response::Pong {});
    Ok(())
}

#[tokio::test]
async fn a_shutdown_finishes_what_was_asked_and_leaves_nothing() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let mut alice = stage.person("alice").await?;
    alice.send("alice", "a letter to herself").await?;
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let mut client = Client::new(stage.endpoint()?);
        let login = Request::LogIn { name: name("alice"), password: alice.account.password() };
        tasks.spawn(async move { client.call(&login).await });
    }
    let counters = || stage.server.service().counters().requests.load(Ordering::SeqCst);
    let before = counters();
    while counters() < before + 4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let drained = stage.server.shut_down().await?;
    assert_eq!(drained.cut, 0);
    for answer in tasks.join_all().await {
        assert!(matches!(answer, Ok(Response::Tokens { .. })), "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_bad_certificate_does_not_replace_a_good_one() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let mut wrong = identity(&stage.ca)?;
    wrong.key = identity(&stage.ca)?.key;
    assert!(stage.server.replace_identity(wrong).is_err());
    let mut client = Client::new(stage.endpoint()?);
    assert_eq!(client.call(&Request::Ping {}).await?, Response::Pong {});
    assert!(stage.server.replace_keys(Vec::new()).is_err());
    stage.person("alice").await?.read().await?;
    Ok(())
}

#[tokio::test]
async fn the_log_holds_no_secret_at_its_most_talkative_level() -> TestResult {
    let log = Log::of_this_process();
    let stage = Stage::new(quick()).await?;
    let mut alice = stage.person("a-person-of-the-log").await?;
    alice.send("a-person-of-the-log", "an unmistakable text").await?;
    let token = alice.client.token().ok_or("a token")?.clone();
    let _ = alice.client.call(&Request::Status { token: token.clone() }).await;
    alice.read().await?;
    let mut raw = stranger::connect(stage.address(), stage.ca.roots()).await?;
    let password = "a password in a broken frame";
    let frame = format!("{{\"do\":\"log_in\",\"password\":\"{password}\"");
    let length = (frame.len() as u32).to_be_bytes();
    stranger::send_and_read(&mut raw, &[&length, frame.as_bytes()].concat()).await?;
    let text = log.text();
    assert!(text.contains("request=\"send\"") && text.contains("not a request"));
    let key = alice.account.own_fingerprint();
    for secret in ["an unmistakable text", token.expose(), password, "the password of a-", &key] {
        assert!(!text.contains(secret), "{secret}");
    }
    Ok(())
}

// The client.

#[tokio::test]
async fn an_account_is_not_overwritten() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let alice = stage.person("alice").await?;
    let again = Account::create(&alice.folder, name("alice"), Secret::new("x"));
    assert!(matches!(again, Err(AccountError::Exists(_))));
    careful_files::replace(&alice.folder.join("state.json"), b"{")?;
    assert!(matches!(Account::load(&alice.folder), Err(AccountError::Broken(_))));
    Ok(())
}

#[tokio::test]
async fn what_was_read_and_not_finished_is_read_again() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, bob) = (stage.person("alice").await?, stage.person("bob").await?);
    alice.send("bob", "hello").await?;
    let mut bob = bob;
    let reading = bob.account.read(&mut bob.client).await?;
    assert_eq!(reading.found.len(), 1);
    drop(reading);
    let mut bob = bob.at(stage.endpoint()?)?;
    assert_eq!(bob.read().await?.len(), 1, "the program ended before it was shown");
    assert!(bob.read().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_is_sent_while_a_page_is_shown_is_not_forgotten() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    alice.send("bob", "one").await?;
    let reading = bob.account.read(&mut bob.client).await?;
    bob.send("alice", "an answer").await?;
    bob.account.finish(&mut bob.client, reading).await?;
    bob.send("alice", "another one").await?;
    let found = alice.read().await?;
    let numbers: Vec<_> = found
        .iter()
        .filter_map(|found| match found {
            Found::Letter { number, order: Order::Next, .. } => Some(*number),
            _ => None,
        })
        .collect();
    assert_eq!(numbers, [1, 2]);
    alice.send("bob", "two").await?;
    let found = bob.read().await?;
    assert!(matches!(&found[..], [Found::Letter { number: 2, order: Order::Next, .. }]));
    Ok(())
}

#[tokio::test]
async fn a_letter_to_nobody_does_not_stand_in_the_way() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let mut alice = stage.person("alice").await?;
    let to_nobody = alice.send("nobody", "hello").await;
    let Err(SendError { fate, error: AccountError::Client(_) }) = to_nobody else {
        return Err("refused".into());
    };
    assert_eq!(fate, Fate::NotKept);
    assert_eq!(alice.account.waiting(), 0);
    alice.send("alice", "hello").await?;
    let found = alice.read().await?;
    assert!(matches!(&found[..], [Found::Letter { number: 1, order: Order::Next, .. }]));
    Ok(())
}

#[tokio::test]
async fn to_trust_the_pinned_key_again_loses_no_letter() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    alice.send("bob", "one").await?;
    alice.send("bob", "two").await?;
    assert_eq!(bob.read().await?.len(), 2);
    let (hers, his) = (alice.account.own_fingerprint(), bob.account.own_fingerprint());
    for (trusting, of, print) in [(&mut alice, "bob", &his), (&mut bob, "alice", &hers)] {
        let other =
            trusting.account.trust(&mut trusting.client, &name(of), &"0000 ".repeat(8)).await;
        assert!(matches!(other, Err(AccountError::NotCompared { .. })));
        trusting.account.trust(&mut trusting.client, &name(of), print).await?;
    }
    alice.send("bob", "three").await?;
    let found = bob.read().await?;
    assert!(matches!(&found[..], [Found::Letter { number: 3, order: Order::Next, .. }]));
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn a_private_file_that_others_can_read_is_refused() -> TestResult {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::new(quick()).await?;
    let alice = stage.person("alice").await?;
    let open = |path: &std::path::Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
    };
    open(&alice.folder.join("account.json"))?;
    let error = Account::load(&alice.folder).err().ok_or("refused")?;
    let said = careful_errors::ErrorChain(&error).to_string();
    assert!(said.contains("chmod 600") && said.contains("account.json"), "{said}");
    open(&stage.signing_keys())?;
    assert!(careful_mailbox::signing_keys::load_or_make(&stage.signing_keys()).is_err());
    Ok(())
}
