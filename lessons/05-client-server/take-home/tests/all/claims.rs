//! What this crate promises, and what it does with what strangers send.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use careful_encryption::password::Cost;
use careful_encryption::public_key::KeyPair;
use careful_mailbox::account::{Found, Order};
use careful_mailbox::attempts::{AttemptLimits, Attempts};
use careful_mailbox::frames::{FrameDeadlines, FrameError, Frames, parse};
use careful_mailbox::passwords::{PasswordError, PasswordLimits, Passwords};
use careful_mailbox::protocol::{
    Bytes, Delivery, MAX_FRAME, MAX_SEALED, MessageId, Name, Request, Response, Secret,
};
use careful_mailbox::sealed::{self, Letter, MAX_TEXT, NotALetter, fingerprint};
use careful_mailbox::signing_keys;
use careful_mailbox::store::{
    Account as Stored, Generation, NewMessage, Store, StoreError, StoreLimits,
};
use careful_tokens::clock::Clock;
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt, duplex};
use tokio::task::JoinSet;

/// When it is: in November 2026.
const NOW: u64 = 1_795_600_000;

type TestResult = Result<(), Box<dyn Error>>;

/// Where a client is.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

fn limits(at_once: usize, waiting: usize) -> PasswordLimits {
    PasswordLimits { at_once, waiting, of_one_network: at_once + waiting }
}

fn stored(password: &str, key: Vec<u8>) -> Stored {
    let (password, key) = (password.to_owned(), Bytes(key));
    Stored { password, key, generation: Generation([1; 8]) }
}

fn name(name: &str) -> Name {
    Name::new(name).expect("a name")
}

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
            .prop_map(|(token, refresh)| Request::LogOut { token: Some(token), refresh }),
        secret.clone().prop_map(|refresh| Request::LogOut { token: None, refresh }),
        (secret.clone(), secret.clone(), secret.clone())
            .prop_map(|(token, password, new)| Request::ChangePassword { token, password, new }),
        (secret.clone(), secret.clone(), bytes.clone())
            .prop_map(|(token, password, key)| Request::ChangeKey { token, password, key }),
        secret.clone().prop_map(|token| Request::EndLogins { token }),
        (secret.clone(), secret.clone())
            .prop_map(|(token, password)| Request::DeleteAccount { token, password }),
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
            let account = stored("", vec![0; 32]);
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
    let account = stored("", vec![]);
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
    let mut exact = message("carol", "bob", 7);
    exact.sealed = vec![0; 150];
    assert!(!shelf.store.put(exact).await?, "250 bytes fit");
    shelf.store.put(message("alice", "carol", 5)).await?;
    assert!(full(shelf.store.put(message("alice", "carol", 6)).await), "three of one sender");
    shelf.clock.advance(Duration::from_secs(limits.keep));
    assert!(!shelf.store.put(message("alice", "carol", 6)).await?, "the old ones expired");
    assert!(shelf.box_of("bob").await?.is_empty());
    assert_eq!(shelf.box_of("carol").await?.len(), 1);
    Ok(())
}

/// Each name may have as many ids as one sender may. Deleting an account frees its name, and not what it has sent.
#[tokio::test]
async fn who_registers_sends_and_deletes_in_turn_fills_no_more_than_the_accounts() -> TestResult {
    let limits = StoreLimits { accounts: 3, ..StoreLimits::default() };
    let shelf = shelf(limits)?;
    shelf.people(&["bob"]).await?;
    for mallory in ["mallory-1", "mallory-2"] {
        shelf.people(&[mallory]).await?;
        shelf.store.put(message(mallory, "bob", 1)).await?;
        let generation = stored("", vec![]).generation;
        shelf.store.remove_account(name(mallory), generation).await?;
    }
    let full = shelf.people(&["mallory-3"]).await;
    assert!(full.is_err_and(|error| error.to_string().contains("accounts of this server")));
    shelf.people(&["mallory-1"]).await?;
    shelf.clock.advance(Duration::from_secs(limits.keep));
    shelf.store.forget_expired().await?;
    shelf.people(&["mallory-3"]).await?;
    assert!(shelf.people(&["mallory-4"]).await.is_err(), "three accounts");
    Ok(())
}

#[tokio::test]
async fn what_was_stored_is_there_after_the_store_was_closed() -> TestResult {
    let Shelf { _folder, path, clock, store } = shelf(StoreLimits::default())?;
    let account = stored("hash", vec![1; 32]);
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

// Passwords and attempts.

#[tokio::test]
async fn a_password_is_checked_and_never_stored() -> TestResult {
    let passwords = Passwords::new(Cost::LEAST, limits(1, 8))?;
    let secret = || Secret::new("correct horse battery");
    let hash = passwords.hash(HERE, secret()).await?;
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert_ne!(hash, passwords.hash(HERE, secret()).await?, "each has a salt of its own");
    // What the library itself makes and takes is the same.
    let library = argon2::Argon2::default();
    let password = secret();
    library.verify_password(password.expose().as_bytes(), hash.as_str())?;
    let made = library.hash_password_with_salt(password.expose().as_bytes(), &[7; 16])?;
    assert!(passwords.check(HERE, secret(), Some(made.to_string())).await?);
    assert!(passwords.check(HERE, secret(), Some(hash.clone())).await?);
    assert!(!passwords.check(HERE, Secret::new("correct horse batterz"), Some(hash)).await?);
    assert!(!passwords.check(HERE, Secret::new("the password of nobody"), None).await?);
    for bad in ["fourteen chars".to_owned(), "x".repeat(257)] {
        let refused = passwords.hash(HERE, Secret::new(bad)).await;
        assert_eq!(refused, Err(PasswordError::Length));
    }
    Ok(())
}

#[tokio::test]
async fn an_account_that_is_not_there_costs_as_much_as_one_that_is() -> TestResult {
    let passwords = Passwords::new(Cost::LEAST, limits(1, 8))?;
    let hash = passwords.hash(HERE, Secret::new("correct horse battery")).await?;
    // The same function over the same cost: what is counted is what takes the time.
    for hash in [Some(hash), None] {
        let before = passwords.computed();
        assert!(!passwords.check(HERE, Secret::new("a guess"), hash).await?);
        assert_eq!(passwords.computed(), before + 1);
    }
    Ok(())
}

#[tokio::test]
async fn more_passwords_than_the_line_holds_are_refused() -> TestResult {
    let passwords = Passwords::new(Cost::LEAST, limits(1, 2))?;
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let passwords = passwords.clone();
        tasks.spawn(async move { passwords.check(HERE, Secret::new("a guess"), None).await });
    }
    let busy = tasks.join_all().await.iter().filter(|r| **r == Err(PasswordError::Busy)).count();
    assert_eq!(busy, 7, "one is computed, two wait");
    assert_eq!(passwords.check(HERE, Secret::new("a guess"), None).await, Ok(false));
    Ok(())
}

#[tokio::test]
async fn networks_take_turns_and_one_of_them_cannot_fill_the_line() -> TestResult {
    let limits = PasswordLimits { at_once: 1, waiting: 20, of_one_network: 10 };
    let passwords = Passwords::new(Cost::LEAST, limits)?;
    let mut flood = JoinSet::new();
    for _ in 0..30 {
        let passwords = passwords.clone();
        flood.spawn(async move { passwords.check(HERE, Secret::new("a guess"), None).await });
    }
    tokio::task::yield_now().await;
    // Behind ten of the flood, and yet the next or the one after it: 3 of 10 at most were computed.
    let before = passwords.computed();
    assert_eq!(passwords.check(THERE, Secret::new("a guess"), None).await, Ok(false));
    let waited = passwords.computed() - before;
    assert!(waited <= 3, "{waited} were computed before the other network's");
    let busy = flood.join_all().await.iter().filter(|r| **r == Err(PasswordError::Busy)).count();
    assert_eq!(busy, 20, "ten of one network");
    Ok(())
}

fn few() -> AttemptLimits {
    let window = Duration::from_secs(60);
    AttemptLimits { account: 2, address: 3, window, remembered: 4, ..AttemptLimits::default() }
}

#[test]
fn attempts_are_counted_by_account_and_by_address() {
    let clock = Clock::settable(NOW);
    let attempts = Attempts::new(few(), clock.clone());
    assert!(attempts.begin(&name("alice"), HERE) && attempts.begin(&name("alice"), THERE));
    assert!(!attempts.begin(&name("alice"), HERE), "two for an account, from anywhere");
    assert!(attempts.begin(&name("bob"), HERE) && attempts.begin(&name("carol"), HERE));
    assert!(!attempts.begin(&name("dave"), HERE), "three from an address");
    assert!(!attempts.begin_without_account(HERE));
    attempts.succeeded(&name("carol"), HERE);
    assert!(attempts.begin(&name("carol"), HERE), "what succeeded is no failure");
    clock.advance(Duration::from_secs(60));
    assert!(attempts.begin(&name("alice"), HERE), "forgotten after the window");
    // A stranger cannot make it remember forever.
    let clock = Clock::settable(NOW);
    let attempts = Attempts::new(AttemptLimits { address: 100, ..few() }, clock.clone());
    for number in 0..4 {
        assert!(attempts.begin(&name(&format!("n{number}")), HERE));
    }
    assert!(!attempts.begin(&name("n4"), HERE));
    clock.advance(Duration::from_secs(60));
    assert!(attempts.begin(&name("n4"), HERE));
}

#[test]
fn attempts_without_an_account_are_counted_by_network_with_the_others() {
    let attempts = Attempts::new(few(), Clock::settable(NOW));
    assert!(attempts.begin_without_account(HERE) && attempts.begin_without_account(HERE));
    assert!(attempts.begin(&name("alice"), HERE));
    assert!(!attempts.begin_without_account(HERE), "three from a network, of both kinds");
    assert!(!attempts.begin(&name("bob"), HERE));
    assert!(attempts.begin_without_account(THERE));
}

/// A server that has run for days counts as one that has just started.
#[test]
fn the_window_begins_with_the_first_attempt_and_not_with_the_server() {
    let clock = Clock::settable(NOW);
    let attempts = Attempts::new(few(), clock.clone());
    clock.advance(Duration::from_secs(1_000_000));
    for _ in 0..2 {
        clock.advance(Duration::from_secs(20));
        assert!(attempts.begin(&name("alice"), HERE));
    }
    assert!(!attempts.begin(&name("alice"), HERE));
    clock.advance(Duration::from_secs(39));
    assert!(!attempts.begin(&name("alice"), HERE), "59 seconds after the first");
    clock.advance(Duration::from_secs(1));
    assert!(attempts.begin(&name("alice"), HERE));
}

/// When as many accounts are remembered as there may be, those that are remembered go on, and those that have nothing to be
/// remembered for make room.
#[test]
fn a_full_memory_shuts_nobody_out_whom_it_knows() {
    let limits = AttemptLimits { account: 5, address: 100, remembered: 2, ..few() };
    let attempts = Attempts::new(limits, Clock::settable(NOW));
    let (alice, bob, carol) = (name("alice"), name("bob"), name("carol"));
    // One failed and one good attempt are two things to remember.
    assert!(attempts.begin(&alice, HERE) && attempts.begin(&alice, HERE));
    attempts.succeeded(&alice, HERE);
    assert!(attempts.begin(&bob, HERE));
    assert!(!attempts.begin(&carol, HERE), "there is no room for a third");
    assert!(attempts.begin(&alice, HERE) && attempts.begin(&bob, HERE));
    attempts.not_made(&bob, HERE);
    attempts.not_made(&bob, HERE);
    assert!(attempts.begin(&carol, HERE), "bob has made no attempt");
    assert!(!attempts.begin(&bob, HERE));
}

#[tokio::test]
async fn a_password_of_the_longest_length_is_checked_and_one_byte_more_is_refused() -> TestResult {
    let passwords = Passwords::new(Cost::LEAST, limits(1, 8))?;
    let of = |length: usize| Secret::new("x".repeat(length));
    assert_eq!(passwords.check(HERE, of(256), None).await, Ok(false));
    assert_eq!(passwords.check(HERE, of(257), None).await, Err(PasswordError::Length));
    Ok(())
}

#[test]
fn good_logins_and_refreshes_are_counted_by_account_and_by_network() {
    let limits = AttemptLimits { logins_of_account: 3, logins_from_address: 5, ..few() };
    let log_in = |attempts: &Attempts, who: &str, from| {
        let begun = attempts.begin(&name(who), from);
        if begun {
            attempts.succeeded(&name(who), from);
        }
        begun
    };
    let clock = Clock::settable(NOW);
    let attempts = Attempts::new(limits, clock.clone());
    assert!(log_in(&attempts, "alice", HERE) && log_in(&attempts, "alice", HERE));
    assert!(attempts.begin_refresh(HERE) && attempts.refreshed(&name("alice")));
    assert!(!log_in(&attempts, "alice", THERE), "three of one account");
    assert!(!attempts.refreshed(&name("alice")));
    assert!(log_in(&attempts, "bob", HERE) && attempts.begin_refresh(HERE));
    assert!(!log_in(&attempts, "bob", HERE) && !attempts.begin_refresh(HERE), "five from here");
    assert!(log_in(&attempts, "bob", THERE), "another network is not disturbed");
    attempts.begin(&name("bob"), THERE);
    attempts.not_made(&name("bob"), THERE);
    assert!(log_in(&attempts, "bob", THERE), "what was not made does not count");
    clock.advance(limits.window);
    assert!(log_in(&attempts, "alice", HERE));
}

#[test]
fn a_corrected_clock_neither_prolongs_a_lock_nor_ends_it() {
    let clock = Clock::settable(NOW);
    let attempts = Attempts::new(few(), clock.clone());
    let alice = name("alice");
    assert!(attempts.begin(&alice, HERE) && attempts.begin(&alice, HERE));
    for now in [NOW + 86_400, NOW - 3600] {
        clock.set(now);
        assert!(!attempts.begin(&alice, HERE), "not by a date");
    }
    clock.advance(Duration::from_secs(60));
    assert!(attempts.begin(&alice, HERE), "by a minute");
}

// The server.

/// Of a server that runs, keys that are gone by accident must not be replaced by none, nor by others.
#[test]
fn a_reload_reads_the_keys_that_are_there_and_refuses_a_file_without_any() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("signing-keys.json");
    assert!(signing_keys::load(&path).is_err(), "there is no file");
    assert!(!path.exists(), "and none is made");
    let made = signing_keys::load_or_make(&path)?;
    let ids = |keys: &[careful_tokens::keys::SigningKey]| -> Vec<String> {
        keys.iter().map(|key| key.id().to_string()).collect()
    };
    assert_eq!(made.len(), 1);
    assert_eq!(ids(&signing_keys::load(&path)?), ids(&made));
    careful_files::replace(&path, b"[]")?;
    assert!(signing_keys::load(&path).is_err(), "no keys");
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
    let second = ids(signing_keys::rotate(&path)?.keys);
    assert_eq!((second.len(), &second[0]), (2, &first[0]));
    let third = ids(signing_keys::rotate(&path)?.keys);
    assert_eq!((third.len(), &third[0]), (2, &second[1]));
    careful_files::replace(&path, b"something else")?;
    assert!(signing_keys::load_or_make(&path).is_err());
    Ok(())
}

// The client.

#[tokio::test]
async fn a_steering_text_is_shown_escaped() {
    let show = |text: &str| {
        let (from, text) = (name("alice"), text.to_owned());
        Found::Letter { from, number: 1, text, order: Order::Next }.to_string()
    };
    let text = "\u{1b}[2J\u{202e}\n";
    assert_eq!(show(text), "letter 1 from alice: \\u{1b}[2J\\u{202e}\\n");
    // What a display leaves out, or shows as nothing.
    for invisible in [
        '\u{ad}',
        '\u{34f}',
        '\u{115f}',
        '\u{180e}',
        '\u{200b}',
        '\u{200d}',
        '\u{2060}',
        '\u{2064}',
        '\u{206a}',
        '\u{2800}',
        '\u{3164}',
        '\u{fe0f}',
        '\u{feff}',
        '\u{ffa0}',
        '\u{fffa}',
        '\u{1d173}',
        '\u{e0041}',
        '\u{e01ef}',
    ] {
        assert_eq!(
            show(&format!("a{invisible}b")),
            show(&format!("a\\u{{{:x}}}b", invisible as u32))
        );
    }
    let plain = "Grüße, 你好, שלום, नमस्ते, e\u{301}, 😀, no-break\u{a0}space";
    assert_eq!(show(plain), format!("letter 1 from alice: {plain}"));
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
    // Two for the accounts.
    let commits = shelf.store.commits() - 2;
    assert!((1..=50).contains(&commits), "100 messages took {commits} commits");
    Ok(())
}
