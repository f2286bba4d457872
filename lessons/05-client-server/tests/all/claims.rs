//! What the lesson claims of its server and client, each as a test.

use std::collections::BTreeSet;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::common::{TestResult, name, refusal, tokens};
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use careful_encryption::password::Cost;
use careful_encryption::public_key::KeyPair;
use careful_mailbox::account::{Account, AccountError, Found};
use careful_mailbox::attempts::{AttemptLimits, Attempts};
use careful_mailbox::client::Client;
use careful_mailbox::frames::{FrameDeadlines, FrameError, Frames, parse};
use careful_mailbox::passwords::{PasswordError, Passwords};
use careful_mailbox::protocol::{
    Bytes, Delivery, MAX_FRAME, MAX_SEALED, MessageId, Name, Refusal, Request, Response, Secret,
};
use careful_mailbox::sealed::{self, Letter, MAX_TEXT, NotALetter, fingerprint};
use careful_mailbox::server::ServerDeadlines;
use careful_mailbox::signing_keys;
use careful_mailbox::store::{Account as Stored, NewMessage, Store, StoreError, StoreLimits};
use careful_tls::server::{Deadlines, Limits};
use careful_tokens::clock::Clock;
use mailbox::lab::log::Log;
use mailbox::lab::stage::{NOW, Stage, StageOptions, identity};
use mailbox::lab::stranger;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::JoinSet;

const PATIENCE: FrameDeadlines = FrameDeadlines {
    idle: Duration::from_secs(5),
    frame: Duration::from_secs(5),
    write: Duration::from_secs(5),
};

fn pair() -> KeyPair {
    KeyPair::random()
}

// Frames.

#[tokio::test]
async fn a_frame_over_the_limit_is_refused_before_room_is_made() -> TestResult {
    let (client, server) = duplex(64);
    let mut frames = Frames::new(server, PATIENCE);
    let mut client = client;
    client.write_all(&(MAX_FRAME as u32 + 1).to_be_bytes()).await?;
    assert!(matches!(frames.next().await, Err(FrameError::TooLong)));
    let (mut client, server) = duplex(2 * MAX_FRAME);
    let mut frames = Frames::new(server, PATIENCE);
    client.write_all(&(MAX_FRAME as u32).to_be_bytes()).await?;
    client.write_all(&vec![b' '; MAX_FRAME]).await?;
    assert_eq!(frames.next().await?.map(|frame| frame.len()), Some(MAX_FRAME));
    assert!(matches!(frames.send(&"x".repeat(MAX_FRAME - 1)).await, Err(FrameError::TooLong)));
    Ok(())
}

#[tokio::test]
async fn a_frame_that_is_cancelled_in_the_middle_is_read_on() -> TestResult {
    let (mut client, server) = duplex(64);
    let mut frames = Frames::new(server, PATIENCE);
    client.write_all(&[0, 0, 0, 4, b't', b'r']).await?;
    let soon = Duration::from_millis(10);
    assert!(tokio::time::timeout(soon, frames.next()).await.is_err());
    client.write_all(b"ue").await?;
    assert_eq!(frames.receive::<bool>().await?, Some(true));
    Ok(())
}

#[tokio::test]
async fn each_phase_of_a_frame_has_its_deadline() -> TestResult {
    let (short, long) = (Duration::from_millis(100), Duration::from_secs(30));
    let (_client, server) = duplex(64);
    let mut frames = Frames::new(server, FrameDeadlines { idle: short, ..PATIENCE });
    assert!(matches!(frames.next().await, Err(FrameError::Idle(_))));

    // A byte every 10 ms: each read succeeds, the sum does not.
    let (mut client, server) = duplex(64);
    let mut frames = Frames::new(server, FrameDeadlines { idle: long, frame: short, write: long });
    let slow = tokio::spawn(async move {
        client.write_all(&1000_u32.to_be_bytes()).await?;
        while client.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok::<_, std::io::Error>(())
    });
    let started = Instant::now();
    assert!(matches!(frames.next().await, Err(FrameError::TooSlow(_))));
    assert!(started.elapsed() >= short && started.elapsed() < long);
    slow.abort();

    let (_client, server) = duplex(4);
    let mut frames = Frames::new(server, FrameDeadlines { write: short, ..PATIENCE });
    assert!(matches!(frames.send(&"more than four").await, Err(FrameError::Unread(_))));
    Ok(())
}

#[tokio::test]
async fn an_end_between_frames_is_an_end_and_in_a_frame_is_an_error() -> TestResult {
    let (client, server) = duplex(64);
    drop(client);
    assert!(Frames::new(server, PATIENCE).next().await?.is_none());
    let (mut client, server) = duplex(64);
    client.write_all(&[0, 0]).await?;
    drop(client);
    let end = Frames::new(server, PATIENCE).next().await;
    assert!(matches!(end, Err(FrameError::Io(_))));
    Ok(())
}

// Messages.

fn any_request() -> impl Strategy<Value = Request> {
    let name = "[a-z][a-z0-9-]{0,31}".prop_map(|text| name(&text));
    let secret = "\\PC{0,40}".prop_map(Secret::new);
    let bytes = proptest::collection::vec(any::<u8>(), 0..100).prop_map(Bytes);
    let id = any::<[u8; 16]>().prop_map(MessageId);
    prop_oneof![
        Just(Request::Ping {}),
        (name.clone(), secret.clone(), bytes.clone())
            .prop_map(|(name, password, key)| Request::Register { name, password, key }),
        (name.clone(), secret.clone())
            .prop_map(|(name, password)| Request::LogIn { name, password }),
        secret.clone().prop_map(|refresh| Request::Refresh { refresh }),
        (secret.clone(), secret.clone())
            .prop_map(|(token, refresh)| Request::LogOut { token, refresh }),
        (secret.clone(), name.clone()).prop_map(|(token, name)| Request::Key { token, name }),
        (secret.clone(), name, id, bytes).prop_map(|(token, to, id, sealed)| Request::Send {
            token,
            to,
            id,
            sealed
        }),
        (secret.clone(), any::<u64>()).prop_map(|(token, after)| Request::Fetch { token, after }),
        (secret.clone(), proptest::collection::vec(any::<u64>(), 0..9))
            .prop_map(|(token, numbers)| Request::Delete { token, numbers }),
        secret.prop_map(|token| Request::Status { token }),
    ]
}

proptest! {
    #[test]
    fn a_request_is_read_as_it_was_written(request in any_request()) {
        let json = serde_json::to_vec(&request)?;
        prop_assert_eq!(parse::<Request>(&json).ok(), Some(request));
    }

    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse::<Request>(&bytes);
        let _ = parse::<Response>(&bytes);
    }

    #[test]
    fn frames_are_found_however_the_stream_is_cut(
        texts in proptest::collection::vec("\\PC{0,50}", 0..8),
        cut in 1_usize..50,
    ) {
        let mut stream = Vec::new();
        for text in &texts {
            let json = serde_json::to_vec(text)?;
            stream.extend_from_slice(&(json.len() as u32).to_be_bytes());
            stream.extend_from_slice(&json);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let found = runtime.block_on(async move {
            let (mut client, server) = duplex(64);
            let writing = async move {
                for piece in stream.chunks(cut) {
                    let _ = client.write_all(piece).await;
                }
            };
            let reading = async move {
                let mut frames = Frames::new(server, PATIENCE);
                let mut found = Vec::new();
                while let Ok(Some(text)) = frames.receive::<String>().await {
                    found.push(text);
                }
                found
            };
            tokio::join!(writing, reading).1
        });
        prop_assert_eq!(found, texts);
    }
}

#[test]
fn unknown_members_other_types_and_odd_forms_are_refused() {
    for json in [
        r#"{"do":"ping","more":1}"#,
        r#"{"do":"pong"}"#,
        r#"{"do":"log_in","name":"alice"}"#,
        r#"{"do":"log_in","name":"Alice","password":"x"}"#,
        r#"{"do":"log_in","name":"alice","name":"bob","password":"x"}"#,
        r#"{"do":"fetch","token":"x","after":-1}"#,
        r#"{"do":"fetch","token":"x","after":1.5}"#,
        r#"{"do":"key","token":5,"name":"alice"}"#,
        r#"[{"do":"ping"}]"#,
        r#"{"do":"ping"} {"do":"ping"}"#,
    ] {
        assert!(parse::<Request>(json.as_bytes()).is_err(), "{json}");
    }
    for id in ["", "0", &"A".repeat(32), &"+".repeat(32), &"0".repeat(33)] {
        let json = format!("\"{id}\"");
        assert!(parse::<MessageId>(json.as_bytes()).is_err(), "{id}");
    }
    for bad in ["", "-a", "1a", "a_b", "ä", &"a".repeat(33)] {
        assert!(Name::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn no_secret_is_printed() {
    let secret = Secret::new("hunter2-hunter2");
    let letter = Letter { number: 1, text: "hunter2-hunter2".to_owned() };
    let request = Request::Refresh { refresh: secret.clone() };
    let printed = format!("{secret:?} {letter:?} {request:?} {:?}", Bytes(b"hunter2".to_vec()));
    assert!(!printed.contains("hunter2"), "{printed}");
}

// Letters.

#[test]
fn a_letter_opens_for_its_recipient_from_its_sender_under_its_id_only() -> TestResult {
    let (alice, bob) = (name("alice"), name("bob"));
    let (hers, his, mallorys) = (KeyPair::random(), KeyPair::random(), KeyPair::random());
    let id = MessageId([7; 16]);
    let letter = Letter { number: 1, text: "hello".to_owned() };
    let sealed = sealed::seal((&alice, &hers), (&bob, &his.public()), id, &letter)?;
    let opened = sealed::open((&bob, &his), (&alice, &hers.public()), id, &sealed);
    assert_eq!(opened, Ok(letter));
    for (recipient, key, sender, of, id) in [
        (&bob, &mallorys, &alice, &hers, id),
        (&bob, &his, &alice, &mallorys, id),
        (&alice, &his, &alice, &hers, id),
        (&bob, &his, &bob, &hers, id),
        (&bob, &his, &alice, &hers, MessageId([8; 16])),
    ] {
        let opened = sealed::open((recipient, key), (sender, &of.public()), id, &sealed);
        assert_eq!(opened, Err(NotALetter));
    }
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        let opened = sealed::open((&bob, &his), (&alice, &hers.public()), id, &changed);
        assert_eq!(opened, Err(NotALetter), "byte {at}");
    }
    Ok(())
}

#[test]
fn the_longest_letter_fits_into_a_message_whatever_its_text() -> TestResult {
    let (alice, bob) = (name("alice"), name("bob"));
    let (hers, his) = (KeyPair::random(), KeyPair::random());
    for text in ["\u{1}".repeat(MAX_TEXT), "\"".repeat(MAX_TEXT), "ä".repeat(MAX_TEXT / 2)] {
        let letter = Letter { number: u64::MAX, text };
        let id = MessageId([7; 16]);
        let sealed = sealed::seal((&alice, &hers), (&bob, &his.public()), id, &letter)?;
        assert!(sealed.len() <= MAX_SEALED, "{}", sealed.len());
        let request = Request::Send {
            token: Secret::new("x".repeat(2000)),
            to: bob.clone(),
            id,
            sealed: Bytes(vec![0; MAX_SEALED]),
        };
        assert!(serde_json::to_vec(&request)?.len() <= MAX_FRAME);
    }
    let letter = Letter { number: 1, text: "x".repeat(MAX_TEXT + 1) };
    let sealed = sealed::seal((&alice, &hers), (&bob, &his.public()), MessageId([7; 16]), &letter);
    assert!(sealed.is_err());
    Ok(())
}

#[test]
fn a_fingerprint_is_of_a_name_and_a_key() {
    let (one, other) = (pair().public(), pair().public());
    let print = fingerprint(&name("alice"), &one);
    assert_eq!((print.len(), print.split(' ').count()), (39, 8));
    assert_ne!(print, fingerprint(&name("alice"), &other));
    assert_ne!(print, fingerprint(&name("alic"), &one));
}

// The store.

struct Shelf {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    clock: Clock,
    store: Store,
}

fn shelf(limits: StoreLimits) -> Result<Shelf, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("db");
    let clock = Clock::settable(NOW);
    let store = Store::open(&path, limits, clock.clone())?;
    Ok(Shelf { _folder: folder, path, clock, store })
}

fn message(from: &str, to: &str, id: u8) -> NewMessage {
    let (from, to) = (name(from), name(to));
    NewMessage { from, to, id: MessageId([id; 16]), sealed: vec![id; 100] }
}

impl Shelf {
    async fn people(&self, names: &[&str]) -> TestResult {
        for who in names {
            let account = Stored { password: String::new(), key: Bytes(vec![0; 32]) };
            self.store.register(name(who), account).await?;
        }
        Ok(())
    }

    async fn box_of(&self, who: &str) -> Result<Vec<Delivery>, StoreError> {
        Ok(self.store.messages(name(who), 0).await?.0)
    }
}

#[tokio::test]
async fn a_message_sent_twice_is_stored_once_even_after_it_was_read() -> TestResult {
    let shelf = shelf(StoreLimits::default())?;
    shelf.people(&["alice", "bob"]).await?;
    assert!(!shelf.store.put(message("alice", "bob", 1)).await?);
    assert!(shelf.store.put(message("alice", "bob", 1)).await?);
    let number = shelf.box_of("bob").await?[0].number;
    assert_eq!(shelf.store.delete(name("bob"), vec![number, number]).await?, 1);
    assert!(shelf.store.put(message("alice", "bob", 1)).await?);
    assert!(shelf.box_of("bob").await?.is_empty(), "a late repetition brings nothing back");
    let mut other = message("alice", "bob", 1);
    other.sealed = vec![9; 100];
    assert!(matches!(shelf.store.put(other).await, Err(StoreError::Conflict)));
    let elsewhere = message("alice", "alice", 1);
    assert!(matches!(shelf.store.put(elsewhere).await, Err(StoreError::Conflict)));
    // An id is its sender's own: nobody can take another one's.
    assert!(!shelf.store.put(message("bob", "alice", 1)).await?);
    Ok(())
}

#[tokio::test]
async fn messages_come_in_order_and_their_numbers_are_not_used_again() -> TestResult {
    let shelf = shelf(StoreLimits::default())?;
    shelf.people(&["alice", "bob", "bo"]).await?;
    for id in 1..=5 {
        shelf.store.put(message("alice", "bob", id)).await?;
    }
    shelf.store.put(message("alice", "bo", 6)).await?;
    let numbers: Vec<u64> =
        shelf.box_of("bob").await?.iter().map(|delivery| delivery.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    shelf.store.delete(name("bob"), numbers).await?;
    shelf.store.put(message("alice", "bob", 7)).await?;
    assert_eq!(shelf.box_of("bob").await?[0].number, 6);
    assert_eq!(shelf.store.messages(name("bob"), 6).await?.0.len(), 0);
    assert_eq!(shelf.store.messages(name("bob"), u64::MAX).await?.0.len(), 0);
    assert_eq!(shelf.box_of("bo").await?.len(), 1, "a mailbox of another name");
    Ok(())
}

#[tokio::test]
async fn a_full_mailbox_is_read_in_frames_that_fit() -> TestResult {
    let shelf = shelf(StoreLimits::default())?;
    shelf.people(&["alice", "bob"]).await?;
    for id in 0..20 {
        let mut large = message("alice", "bob", id);
        large.sealed = vec![id; MAX_SEALED];
        shelf.store.put(large).await?;
    }
    let (mut after, mut count) = (0, 0);
    loop {
        let (messages, more) = shelf.store.messages(name("bob"), after).await?;
        count += messages.len();
        after = messages.last().map_or(after, |delivery| delivery.number);
        let answer = Response::Messages { messages, more };
        assert!(serde_json::to_vec(&answer)?.len() <= MAX_FRAME);
        if !more {
            break;
        }
    }
    assert_eq!(count, 20);
    Ok(())
}

#[tokio::test]
async fn quotas_hold_and_what_is_read_or_expired_makes_room() -> TestResult {
    let limits =
        StoreLimits { messages: 2, bytes: 250, sent: 3, accounts: 3, ..StoreLimits::default() };
    let shelf = shelf(limits)?;
    shelf.people(&["alice", "bob", "carol"]).await?;
    let full = |result: Result<bool, StoreError>| matches!(result, Err(StoreError::Full(_)));
    let account = Stored { password: String::new(), key: Bytes(vec![]) };
    let fourth = shelf.store.register(name("dave"), account).await;
    assert!(matches!(fourth, Err(StoreError::Full(_))));
    for id in 1..=2 {
        shelf.store.put(message("alice", "bob", id)).await?;
    }
    assert!(full(shelf.store.put(message("carol", "bob", 3)).await), "two messages");
    shelf.store.delete(name("bob"), vec![1]).await?;
    let mut large = message("carol", "bob", 4);
    large.sealed = vec![0; 151];
    assert!(full(shelf.store.put(large).await), "251 bytes");
    shelf.store.put(message("alice", "carol", 5)).await?;
    assert!(full(shelf.store.put(message("alice", "carol", 6)).await), "three of one sender");
    shelf.clock.advance(Duration::from_secs(limits.keep));
    assert!(!shelf.store.put(message("alice", "carol", 6)).await?, "the old ones expired");
    assert!(shelf.box_of("bob").await?.is_empty());
    assert_eq!(shelf.box_of("carol").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_was_stored_is_there_after_the_store_was_closed() -> TestResult {
    let Shelf { _folder, path, clock, store } = shelf(StoreLimits::default())?;
    let account = Stored { password: "hash".to_owned(), key: Bytes(vec![1; 32]) };
    store.register(name("alice"), account.clone()).await?;
    store.put(message("alice", "alice", 1)).await?;
    let again = Store::open(&path, StoreLimits::default(), clock.clone());
    assert!(again.is_err(), "one server at a time");
    tokio::task::spawn_blocking(move || store.close()).await?;
    let store = Store::open(&path, StoreLimits::default(), clock)?;
    assert_eq!(store.account(name("alice")).await?, Some(account));
    assert!(store.put(message("alice", "alice", 1)).await?);
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_files() -> TestResult {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::new(StageOptions::default()).await?;
    let alice = stage.person("alice").await?;
    for file in [stage.database(), stage.signing_keys(), alice.folder.join("account.json")] {
        let mode = std::fs::metadata(&file)?.permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
    let mode = std::fs::metadata(&alice.folder)?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    Ok(())
}

// Passwords and attempts.

#[tokio::test]
async fn a_password_is_checked_and_never_stored() -> TestResult {
    let passwords = Passwords::new(Cost::LEAST, 1, 8)?;
    let secret = || Secret::new("correct horse battery");
    let hash = passwords.hash(secret()).await?;
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert_ne!(hash, passwords.hash(secret()).await?, "each has a salt of its own");
    // What the library itself makes and takes is the same.
    let library = argon2::Argon2::default();
    let password = secret();
    library.verify_password(password.expose().as_bytes(), hash.as_str())?;
    let made = library.hash_password_with_salt(password.expose().as_bytes(), &[7; 16])?;
    assert!(passwords.check(secret(), Some(made.to_string())).await?);
    assert!(passwords.check(secret(), Some(hash.clone())).await?);
    assert!(!passwords.check(Secret::new("correct horse batterz"), Some(hash)).await?);
    assert!(!passwords.check(Secret::new("the password of nobody"), None).await?);
    for bad in ["fourteen chars".to_owned(), "x".repeat(257)] {
        let refused = passwords.hash(Secret::new(bad)).await;
        assert_eq!(refused, Err(PasswordError::Length));
    }
    Ok(())
}

#[tokio::test]
async fn an_account_that_is_not_there_costs_as_much_as_one_that_is() -> TestResult {
    let passwords = Passwords::new(Cost::LEAST, 1, 8)?;
    let hash = passwords.hash(Secret::new("correct horse battery")).await?;
    // The same function over the same cost: what is counted is what takes the time.
    for hash in [Some(hash), None] {
        let before = passwords.computed();
        assert!(!passwords.check(Secret::new("a guess"), hash).await?);
        assert_eq!(passwords.computed(), before + 1);
    }
    Ok(())
}

#[tokio::test]
async fn more_passwords_than_the_line_holds_are_refused() -> TestResult {
    let passwords = Passwords::new(Cost::LEAST, 1, 2)?;
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let passwords = passwords.clone();
        tasks.spawn(async move { passwords.check(Secret::new("a guess"), None).await });
    }
    let busy = tasks.join_all().await.iter().filter(|r| **r == Err(PasswordError::Busy)).count();
    assert_eq!(busy, 7, "one is computed, two wait");
    assert_eq!(passwords.check(Secret::new("a guess"), None).await, Ok(false));
    Ok(())
}

#[test]
fn attempts_are_counted_by_account_and_by_address() -> TestResult {
    let clock = Clock::settable(NOW);
    let limits = AttemptLimits { account: 2, address: 3, window: 60, remembered: 4 };
    let attempts = Attempts::new(limits, clock.clone());
    let (here, there) = ("192.0.2.1".parse()?, "192.0.2.2".parse()?);
    assert!(attempts.begin(&name("alice"), here) && attempts.begin(&name("alice"), there));
    assert!(!attempts.begin(&name("alice"), here), "two for an account, from anywhere");
    assert!(attempts.begin(&name("bob"), here) && attempts.begin(&name("carol"), here));
    assert!(!attempts.begin(&name("dave"), here), "three from an address");
    assert!(!attempts.begin_without_account(here));
    attempts.succeeded(&name("carol"), here);
    assert!(attempts.begin(&name("carol"), here), "what succeeded does not count");
    clock.advance(Duration::from_secs(60));
    assert!(attempts.begin(&name("alice"), here), "forgotten after the window");
    // A stranger cannot make it remember for ever.
    let clock = Clock::settable(NOW);
    let attempts = Attempts::new(AttemptLimits { address: 100, ..limits }, clock.clone());
    for number in 0..4 {
        assert!(attempts.begin(&name(&format!("n{number}")), here));
    }
    assert!(!attempts.begin(&name("n4"), here));
    clock.advance(Duration::from_secs(60));
    assert!(attempts.begin(&name("n4"), here));
    Ok(())
}

// The server.

#[tokio::test]
async fn nothing_of_a_mailbox_is_given_without_a_token() -> TestResult {
    let stage = Stage::new(StageOptions::default()).await?;
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
            Request::LogOut { token: token(), refresh: token() },
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
    let stage = Stage::new(StageOptions::default()).await?;
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
    let stage = Stage::new(StageOptions { operators, ..StageOptions::default() }).await?;
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
    let stage = Stage::new(StageOptions::default()).await?;
    stage.person("alice").await?;
    let mut client = Client::new(stage.endpoint()?);
    let password = Secret::new("another password");
    let key = Bytes(pair().public().to_bytes());
    let request = Request::Register { name: name("alice"), password, key };
    assert_eq!(refusal(client.call(&request).await), Some(Refusal::Taken));
    let password = Secret::new("another password");
    let request = Request::Register { name: name("bob"), password, key: Bytes(vec![1]) };
    assert_eq!(refusal(client.call(&request).await), Some(Refusal::BadRequest));
    Ok(())
}

#[tokio::test]
async fn a_used_refresh_token_ends_its_login() -> TestResult {
    let stage = Stage::new(StageOptions::default()).await?;
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
    let connections = Limits { connections: 4, per_address: 4 };
    let connection = Deadlines { handshake: short, shutdown: short };
    let deadlines = ServerDeadlines { connection, first: short, ..ServerDeadlines::default() };
    let stage =
        Stage::new(StageOptions { connections, deadlines, ..StageOptions::default() }).await?;
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(tokio::net::TcpStream::connect(stage.address()).await?);
    }
    let mut quiet = stranger::connect(stage.address(), stage.ca.roots()).await?;
    let mut honest = Client::new(stage.endpoint()?);
    assert_eq!(honest.call(&Request::Ping {}).await?, Response::Pong {});
    for mut stream in silent {
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    }
    assert_eq!(quiet.read(&mut [0]).await?, 0, "and with a goodbye");
    assert_eq!(honest.call(&Request::Ping {}).await?, Response::Pong {});
    Ok(())
}

#[tokio::test]
async fn a_shutdown_finishes_what_was_asked_and_leaves_nothing() -> TestResult {
    let stage = Stage::new(StageOptions::default()).await?;
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
    let stage = Stage::new(StageOptions::default()).await?;
    let mut wrong = identity(&stage.ca)?;
    wrong.key = identity(&stage.ca)?.key;
    assert!(stage.server.replace_identity(wrong).is_err());
    let mut client = Client::new(stage.endpoint()?);
    assert_eq!(client.call(&Request::Ping {}).await?, Response::Pong {});
    assert!(stage.server.replace_keys(Vec::new()).is_err());
    stage.person("alice").await?.read().await?;
    Ok(())
}

#[test]
fn two_signing_keys_are_kept_and_the_newest_signs() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("keys.json");
    let ids = |keys: Vec<careful_tokens::keys::SigningKey>| -> Vec<String> {
        keys.iter().map(|key| key.id().to_string()).collect()
    };
    let first = ids(signing_keys::load_or_make(&path)?);
    assert_eq!(ids(signing_keys::load_or_make(&path)?), first, "made once");
    let second = ids(signing_keys::rotate(&path)?);
    assert_eq!((second.len(), &second[0]), (2, &first[0]));
    let third = ids(signing_keys::rotate(&path)?);
    assert_eq!((third.len(), &third[0]), (2, &second[1]));
    careful_files::replace(&path, b"something else")?;
    assert!(signing_keys::load_or_make(&path).is_err());
    Ok(())
}

#[tokio::test]
async fn the_log_holds_no_secret_at_its_most_talkative_level() -> TestResult {
    let log = Log::of_this_process();
    let stage = Stage::new(StageOptions::default()).await?;
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
    let stage = Stage::new(StageOptions::default()).await?;
    let alice = stage.person("alice").await?;
    let again = Account::create(&alice.folder, name("alice"), Secret::new("x"));
    assert!(matches!(again, Err(AccountError::Exists(_))));
    careful_files::replace(&alice.folder.join("state.json"), b"{")?;
    assert!(matches!(Account::load(&alice.folder), Err(AccountError::Broken(_))));
    Ok(())
}

#[tokio::test]
async fn what_was_read_and_not_finished_is_read_again() -> TestResult {
    let stage = Stage::new(StageOptions::default()).await?;
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
    let stage = Stage::new(StageOptions::default()).await?;
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
            Found::Letter { number, late: false, .. } => Some(*number),
            _ => None,
        })
        .collect();
    assert_eq!(numbers, [1, 2]);
    alice.send("bob", "two").await?;
    let found = bob.read().await?;
    assert!(matches!(&found[..], [Found::Letter { number: 2, late: false, .. }]));
    Ok(())
}

#[tokio::test]
async fn a_letter_to_nobody_does_not_stand_in_the_way() -> TestResult {
    let stage = Stage::new(StageOptions::default()).await?;
    let mut alice = stage.person("alice").await?;
    let to_nobody = alice.send("nobody", "hello").await;
    assert!(matches!(to_nobody, Err(AccountError::Client(_))));
    assert_eq!(alice.account.waiting(), 0);
    alice.send("alice", "hello").await?;
    let found = alice.read().await?;
    assert!(matches!(&found[..], [Found::Letter { number: 1, late: false, .. }]));
    Ok(())
}

#[tokio::test]
async fn to_trust_the_pinned_key_again_loses_no_letter() -> TestResult {
    let stage = Stage::new(StageOptions::default()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    alice.send("bob", "one").await?;
    alice.send("bob", "two").await?;
    assert_eq!(bob.read().await?.len(), 2);
    let (hers, his) = (alice.account.own_fingerprint(), bob.account.own_fingerprint());
    for (trusting, of, print) in [(&mut alice, "bob", &his), (&mut bob, "alice", &hers)] {
        let other = trusting.account.trust(&mut trusting.client, &name(of), "0000").await;
        assert!(matches!(other, Err(AccountError::NotCompared { .. })));
        trusting.account.trust(&mut trusting.client, &name(of), print).await?;
    }
    alice.send("bob", "three").await?;
    let found = bob.read().await?;
    assert!(matches!(&found[..], [Found::Letter { number: 3, late: false, .. }]));
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn a_private_file_that_others_can_read_is_refused() -> TestResult {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::new(StageOptions::default()).await?;
    let alice = stage.person("alice").await?;
    let open = |path: &std::path::Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
    };
    open(&alice.folder.join("account.json"))?;
    let error = Account::load(&alice.folder).err().ok_or("refused")?;
    let said = careful_errors::ErrorChain(&error).to_string();
    assert!(said.contains("chmod 600") && said.contains("account.json"), "{said}");
    open(&stage.signing_keys())?;
    assert!(signing_keys::load_or_make(&stage.signing_keys()).is_err());
    Ok(())
}

#[tokio::test]
async fn a_steering_text_is_shown_escaped() {
    let text = "\u{1b}[2J\u{202e}\n".to_owned();
    let found = Found::Letter { from: name("alice"), number: 1, text, late: false };
    assert_eq!(found.to_string(), "letter 1 of alice: \\u{1b}[2J\\u{202e}\\n");
}

#[tokio::test]
async fn sends_at_once_share_commits() -> TestResult {
    let shelf = shelf(StoreLimits::default())?;
    shelf.people(&["alice", "bob"]).await?;
    let store = Arc::new(shelf.store.clone());
    let mut tasks = JoinSet::new();
    for id in 0..100 {
        let store = store.clone();
        tasks.spawn(async move { store.put(message("alice", "bob", id)).await });
    }
    for stored in tasks.join_all().await {
        assert!(!stored?);
    }
    let numbers: Vec<u64> =
        shelf.box_of("bob").await?.iter().map(|delivery| delivery.number).collect();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>(), "each once, none missing");
    Ok(())
}
