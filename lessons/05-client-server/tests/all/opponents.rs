//! What a hostile server, a stranger or a neighbor may try, and every limit at its edge.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::common::{TestResult, name, quick, refusal, tokens};
use careful_encryption::password::Cost;
use careful_encryption::public_key::{KeyPair, PublicKey};
use careful_mailbox::account::{Account, AccountError, Found, Order, SendError};
use careful_mailbox::attempts::{AttemptLimits, Attempts};
use careful_mailbox::client::{Client, ClientError};
use careful_mailbox::frames::{FrameDeadlines, FrameError, Frames};
use careful_mailbox::passwords::{PasswordError, PasswordLimits, Passwords};
use careful_mailbox::protocol::{
    Bytes, Delivery, MAX_DELETE, MAX_FRAME, MAX_SEALED, MessageId, Refusal, Request, Response,
    Secret,
};
use careful_mailbox::sealed::{self, Letter, NotALetter};
use careful_mailbox::server::ServerDeadlines;
use careful_mailbox::store::{
    Account as Stored, Generation, NewMessage, Store, StoreError, StoreLimits,
};
use careful_tokens::clock::Clock;
use mailbox::lab::spy::{Spy, Tamper};
use mailbox::lab::stage::{NOW, Person, Stage, StageOptions, endpoint};
use mailbox::lab::stranger;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

async fn spied(
    stage: &Stage,
    person: Person,
    change: impl Fn(&Request, Response) -> Response + Send + Sync + 'static,
) -> Result<(Spy, Person), Box<dyn Error>> {
    let tamper: Tamper = Arc::new(change);
    let spy = Spy::before(stage, tamper).await?;
    let person = person.at(endpoint(&stage.ca, spy.address())?)?;
    Ok((spy, person))
}

/// Where a client is.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn limits(at_once: usize, waiting: usize) -> PasswordLimits {
    PasswordLimits { at_once, waiting, of_one_network: at_once + waiting }
}

fn stored(password: &str, key: Vec<u8>) -> Stored {
    let (password, key) = (password.to_owned(), Bytes(key));
    Stored { password, key, generation: Generation([1; 8]) }
}

fn message(to: &str, id: u8, sealed: Vec<u8>) -> NewMessage {
    NewMessage { from: name("alice"), to: name(to), id: MessageId([id; 16]), sealed }
}

async fn store(limits: StoreLimits) -> Result<(tempfile::TempDir, Store), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(&folder.path().join("db"), limits, Clock::settable(NOW))?;
    for who in ["alice", "bob"] {
        let account = stored("", vec![0; 32]);
        store.register(name(who), account).await?;
    }
    Ok((folder, store))
}

#[tokio::test]
async fn the_rest_of_a_read_is_the_begin_of_a_frame() -> TestResult {
    let (mut client, server) = duplex(64);
    let frame = Duration::from_millis(50);
    let idle = Duration::from_secs(5);
    let mut frames = Frames::new(server, FrameDeadlines { idle, frame, write: idle });
    client.write_all(&[0, 0, 0, 1, b'1', 0, 0]).await?;
    assert_eq!(frames.receive::<u8>().await?, Some(1));
    assert!(matches!(frames.next().await, Err(FrameError::TooSlow(_))));
    Ok(())
}

#[tokio::test]
async fn a_mailbox_is_filled_to_its_last_byte_and_emptied_by_as_many() -> TestResult {
    let (_folder, store) = store(StoreLimits { bytes: 250, ..StoreLimits::default() }).await?;
    for id in 1..=3 {
        assert!(!store.put(message("bob", id, vec![id; 250])).await?);
        assert!(store.put(message("bob", 9, vec![0; 1])).await.is_err());
        store.delete(name("bob"), vec![u64::from(id)]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_page_of_small_messages_fits_into_a_frame() -> TestResult {
    let (_folder, store) = store(StoreLimits { messages: 3000, ..StoreLimits::default() }).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for id in 0..2000_u16 {
        let store = store.clone();
        let [high, low] = id.to_be_bytes();
        tasks.spawn(async move {
            let mut message = message("bob", 0, vec![]);
            (message.id.0[0], message.id.0[1]) = (high, low);
            // More wait than may.
            while store.put(message.clone()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
    tasks.join_all().await;
    let (messages, more) = store.messages(name("bob"), 0).await?;
    assert!(more);
    let answer = Response::Messages { messages, more };
    assert!(serde_json::to_vec(&answer)?.len() <= MAX_FRAME);
    Ok(())
}

#[tokio::test]
async fn a_logout_ends_both_tokens() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let alice = stage.person("alice").await?;
    let mut client = Client::new(stage.endpoint()?);
    let (token, refresh) = tokens(&mut client, &alice).await?;
    client.call(&Request::LogOut { token: Some(token.clone()), refresh: refresh.clone() }).await?;
    let fetch = Request::Fetch { token, after: 0 };
    assert_eq!(refusal(client.call(&fetch).await), Some(Refusal::Unauthorized));
    let again = Request::Refresh { refresh };
    assert_eq!(refusal(client.call(&again).await), Some(Refusal::Unauthorized));
    // And they stay ended when the signing keys are read again, or others come before them.
    let keys = careful_mailbox::signing_keys::load(&stage.signing_keys())?;
    stage.server.replace_keys(keys)?;
    assert_eq!(refusal(client.call(&fetch).await), Some(Refusal::Unauthorized));
    let rotated = careful_mailbox::signing_keys::rotate(&stage.signing_keys())?;
    stage.server.replace_keys(rotated.keys)?;
    assert_eq!(refusal(client.call(&fetch).await), Some(Refusal::Unauthorized));
    assert_eq!(refusal(client.call(&again).await), Some(Refusal::Unauthorized));
    Ok(())
}

#[tokio::test]
async fn requests_over_their_limits_are_refused() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let alice = stage.person("alice").await?;
    let mut client = Client::new(stage.endpoint()?);
    let (token, _) = tokens(&mut client, &alice).await?;
    for (more, refused) in [(0, None), (1, Some(Refusal::BadRequest))] {
        let send = Request::Send {
            token: token.clone(),
            to: name("alice"),
            id: MessageId([more as u8; 16]),
            sealed: Bytes(vec![0; MAX_SEALED + more]),
        };
        assert_eq!(refusal(client.call(&send).await), refused);
        let numbers = vec![9; MAX_DELETE + more];
        let delete = Request::Delete { token: token.clone(), numbers };
        assert_eq!(refusal(client.call(&delete).await), refused);
    }
    Ok(())
}

#[tokio::test]
async fn registrations_and_failed_logins_are_counted_and_good_logins_are_not() -> TestResult {
    let attempts = AttemptLimits { account: 2, address: 3, ..AttemptLimits::default() };
    let stage = Stage::new(StageOptions { attempts, ..quick() }).await?;
    let alice = stage.person("alice").await?;
    let mut client = Client::new(stage.endpoint()?);
    for _ in 0..4 {
        tokens(&mut client, &alice).await?;
    }
    let guess = || Request::LogIn { name: name("alice"), password: Secret::new("wrong") };
    for refused in [Refusal::Unauthorized, Refusal::Unauthorized, Refusal::TooManyAttempts] {
        assert_eq!(refusal(client.call(&guess()).await), Some(refused));
    }
    // One registration and two guesses: the address has had its three.
    let pair: KeyPair = KeyPair::random();
    let register = Request::Register {
        name: name("bob"),
        password: Secret::new("the password of bob"),
        key: Bytes(pair.public().to_bytes()),
    };
    assert_eq!(refusal(client.call(&register).await), Some(Refusal::TooManyAttempts));
    Ok(())
}

#[tokio::test]
async fn after_the_first_frame_a_client_may_be_quiet_for_longer() -> TestResult {
    let deadlines =
        ServerDeadlines { first: Duration::from_millis(100), ..ServerDeadlines::default() };
    let stage = Stage::new(StageOptions { deadlines, ..quick() }).await?;
    let mut client = Client::new(stage.endpoint()?);
    for _ in 0..2 {
        assert_eq!(client.call(&Request::Ping {}).await?, Response::Pong {});
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_request_has_its_deadline() -> TestResult {
    let deadlines =
        ServerDeadlines { request: Duration::from_millis(1), ..ServerDeadlines::default() };
    let stage = Stage::new(StageOptions { deadlines, ..StageOptions::default() }).await?;
    let mut client = Client::new(stage.endpoint()?);
    let login = Request::LogIn { name: name("alice"), password: Secret::new("a guess") };
    assert_eq!(refusal(client.call(&login).await), Some(Refusal::Unavailable));
    Ok(())
}

#[tokio::test]
async fn a_password_is_measured_in_characters_and_bytes() -> TestResult {
    let passwords = Passwords::new(Cost::LEAST, limits(1, 8))?;
    let short = Secret::new("ä".repeat(14));
    assert_eq!(passwords.hash(HERE, short).await, Err(PasswordError::Length));
    let long = Secret::new("x".repeat(257));
    assert_eq!(passwords.check(HERE, long, None).await, Err(PasswordError::Length));
    Ok(())
}

#[tokio::test]
async fn a_hash_that_nobody_waits_for_still_has_its_place() -> TestResult {
    // A hash says its own cost: 96 MiB is long enough to be overtaken by 19.
    let costly = Passwords::new(Cost { memory: 96 * 1024, ..Cost::LEAST }, limits(1, 8))?;
    let passwords = Passwords::new(Cost::LEAST, limits(1, 8))?;
    let guess = || Secret::new("correct horse battery");
    let started = std::time::Instant::now();
    let hash = costly.hash(HERE, guess()).await?;
    let long = started.elapsed();
    let soon = Duration::from_millis(20);
    let cancelled = tokio::time::timeout(soon, passwords.check(HERE, guess(), Some(hash))).await;
    assert!(cancelled.is_err());
    let started = std::time::Instant::now();
    passwords.check(HERE, guess(), None).await?;
    assert!(started.elapsed() > long / 8, "it had to wait for the first one");
    Ok(())
}

#[test]
fn an_attempt_that_was_not_made_makes_room_and_a_network_is_one_address() -> TestResult {
    let limits = AttemptLimits {
        account: 9,
        address: 2,
        window: Duration::from_secs(60),
        remembered: 2,
        ..AttemptLimits::default()
    };
    let attempts = Attempts::new(limits, Clock::settable(NOW));
    let (one, other) = ("2001:db8::1".parse()?, "2001:db8::2".parse()?);
    for who in ["a", "b", "c"] {
        assert!(attempts.begin(&name(who), one), "{who}");
        attempts.not_made(&name(who), one);
    }
    assert!(attempts.begin(&name("a"), one) && attempts.begin(&name("a"), other));
    assert!(!attempts.begin(&name("a"), other), "two from a network of 64 bits");
    Ok(())
}

#[tokio::test]
async fn the_outbox_is_on_the_disk_before_it_is_sent_and_has_an_end() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let alice = stage.person("alice").await?;
    let (_spy, mut alice) = spied(&stage, alice, |request, answer| match request {
        Request::Send { .. } => {
            Response::Refused { because: Refusal::Busy, request: String::new() }
        }
        _ => answer,
    })
    .await?;
    let mut alice = loop {
        let full = matches!(
            alice.send("alice", "x").await,
            Err(SendError { error: AccountError::OutboxFull, .. })
        );
        if full || alice.account.waiting() > 100 {
            break alice.at(stage.endpoint()?)?;
        }
    };
    assert_eq!(alice.account.waiting(), 100);
    assert_eq!(alice.account.send_waiting(&mut alice.client).await?.letters, 100);
    Ok(())
}

#[tokio::test]
async fn a_page_that_brings_nothing_new_is_the_last_one() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let mut alice = stage.person("alice").await?;
    alice.send("alice", "hello").await?;
    let (_spy, mut alice) = spied(&stage, alice, |request, answer| match (request, answer) {
        (Request::Fetch { .. }, Response::Messages { mut messages, .. }) => {
            if messages.is_empty() {
                let (from, id, sealed) = (name("alice"), MessageId([0; 16]), Bytes(vec![]));
                messages.push(Delivery { number: 1, from, id, sealed });
            }
            Response::Messages { messages, more: true }
        }
        (_, answer) => answer,
    })
    .await?;
    let found = tokio::time::timeout(Duration::from_secs(10), alice.read()).await??;
    assert!(matches!(&found[..], [Found::Letter { number: 1, .. }]), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn a_key_of_another_name_is_not_taken() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (alice, _bob) = (stage.person("alice").await?, stage.person("bob").await?);
    let (_spy, mut alice) = spied(&stage, alice, |_request, answer| match answer {
        Response::Key { key, .. } => Response::Key { name: name("mallory"), key },
        answer => answer,
    })
    .await?;
    let sent = alice.send("bob", "hello").await;
    let error = sent.map_err(|failed| failed.error);
    let unexpected = matches!(error, Err(AccountError::Client(ClientError::Unexpected("key"))));
    assert!(unexpected, "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_refresh_is_never_repeated() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let alice = stage.person("alice").await?;
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = asked.clone();
    let (_spy, mut alice) = spied(&stage, alice, move |request, answer| {
        if !matches!(request, Request::Refresh { .. }) {
            return answer;
        }
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        // Over the limit of a frame: the relay closes instead of an answer.
        Response::Refused { because: Refusal::Busy, request: "x".repeat(MAX_FRAME) }
    })
    .await?;
    alice.read().await?;
    stage.clock.advance(Duration::from_secs(605));
    alice.read().await?;
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
    Ok(())
}

#[tokio::test]
async fn after_a_bad_request_a_client_connects_anew() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let mut client = Client::new(stage.endpoint()?);
    let token = Secret::new("x".repeat(MAX_FRAME - 100));
    // A frame that fits, of a request that does not.
    let register = Request::Register { name: name("bob"), password: token, key: Bytes(vec![]) };
    assert_eq!(refusal(client.call(&register).await), Some(Refusal::BadRequest));
    let open = || {
        let counters = stage.server.service().counters();
        counters.connections.load(std::sync::atomic::Ordering::SeqCst)
    };
    let closed = async {
        while open() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3), closed).await?;
    assert_eq!(client.call(&Request::Ping {}).await?, Response::Pong {});
    Ok(())
}

#[test]
fn a_box_over_the_limit_is_no_letter() -> TestResult {
    let (alice, bob) = (name("alice"), name("bob"));
    let (hers, his) = (KeyPair::random(), KeyPair::random());
    let id = MessageId([7; 16]);
    let letter = Letter { number: 1, text: "x".repeat(MAX_SEALED) };
    let context = sealed::context(&alice, &bob, id);
    let sealed = hers.seal_for(&his.public(), &context, &serde_json::to_vec(&letter)?)?;
    let opened = sealed::open((&bob, &his), (&alice, &hers.public()), id, &sealed);
    assert_eq!(opened, Err(NotALetter));
    Ok(())
}

#[tokio::test]
async fn the_server_speaks_tls_1_3_alone() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let mut tcp = tokio::net::TcpStream::connect(stage.address()).await?;
    // A ClientHello of TLS 1.2: no supported_versions, ECDHE with AES-256-GCM, X25519, ECDSA and
    // Ed25519.
    let extensions: &[u8] = &[
        0, 10, 0, 6, 0, 4, 0, 29, 0, 23, // supported_groups: x25519, secp256r1
        0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 8, 7, // signature_algorithms
        0, 16, 0, 12, 0, 10, 9, b'm', b'a', b'i', b'l', b'b', b'o', b'x', b'/', b'1', // ALPN
        0, 23, 0, 0, // extended_master_secret
    ];
    let mut body = [&[3, 3][..], &[7; 32], &[0], &[0, 4, 0xc0, 0x2c, 0xc0, 0x2b], &[1, 0]].concat();
    body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
    body.extend_from_slice(extensions);
    let hello = [&[1, 0][..], &(body.len() as u16).to_be_bytes(), &body].concat();
    let record = [&[22, 3, 1][..], &(hello.len() as u16).to_be_bytes(), &hello].concat();
    tcp.write_all(&record).await?;
    let mut answer = [0; 7];
    tcp.read_exact(&mut answer).await?;
    // An alert (21): fatal (2), protocol_version (70).
    assert_eq!((answer[0], answer[5], answer[6]), (21, 2, 70));
    Ok(())
}

#[tokio::test]
async fn of_too_many_missing_letters_the_latest_are_awaited() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    // Forty gaps, of which 32 are remembered; then one of the first and one of the last.
    for number in (2..=80).step_by(2).chain([1, 79]) {
        letter_by_hand(&mut alice, number).await?;
    }
    let found = bob.read().await?;
    // What is not awaited any more is shown all the same, with a warning.
    let first = found.iter().find(|found| matches!(found, Found::Letter { number: 1, .. }));
    assert!(matches!(first, Some(Found::Letter { order: Order::Reused, .. })), "{first:?}");
    let last = found.last();
    assert!(matches!(last, Some(Found::Letter { number: 79, order: Order::Late, .. })), "{last:?}");
    Ok(())
}

async fn alice_key(alice: &mut Person, of: &str) -> Result<PublicKey, Box<dyn Error>> {
    let request = |token| Request::Key { token, name: name(of) };
    match alice.client.call_with_token(request).await? {
        Response::Key { key, .. } => Ok(PublicKey::from_bytes(&key.0)?),
        _ => Err("a key".into()),
    }
}

#[tokio::test]
async fn after_nonsense_the_server_closes() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let mut stream = stranger::connect(stage.address(), stage.ca.roots()).await?;
    stream.write_all(&[0, 0, 0, 1, b'{']).await?;
    stream.flush().await?;
    let mut rest = Vec::new();
    let reading = stream.read_to_end(&mut rest);
    tokio::time::timeout(Duration::from_secs(3), reading).await??;
    assert!(String::from_utf8_lossy(&rest).contains("bad_request"));
    Ok(())
}

#[tokio::test]
async fn a_store_is_closed_while_others_hold_it() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("db");
    let store = Store::open(&path, StoreLimits::default(), Clock::settable(NOW))?;
    let other = store.clone();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        store.close();
        let _ = tell.send(());
    });
    told.recv_timeout(Duration::from_secs(5))?;
    let late = other.put(message("bob", 1, vec![])).await;
    assert!(matches!(late, Err(StoreError::Closed)), "{late:?}");
    Ok(())
}

#[tokio::test]
async fn a_count_that_cannot_be_read_is_left_and_nothing_is_overwritten() -> TestResult {
    const COUNTS: redb::TableDefinition<&str, &[u8]> = redb::TableDefinition::new("boxes");
    let (folder, shelf) = store(StoreLimits::default()).await?;
    shelf.put(message("bob", 1, vec![1])).await?;
    tokio::task::spawn_blocking(move || shelf.close()).await?;
    let path = folder.path().join("db");
    let database = redb::Database::open(&path)?;
    let transaction = database.begin_write()?;
    transaction.open_table(COUNTS)?.insert("bob", &b"something else"[..])?;
    transaction.commit()?;
    drop(database);
    let shelf = Store::open(&path, StoreLimits::default(), Clock::settable(NOW))?;
    let stored = shelf.put(message("bob", 2, vec![2])).await;
    assert!(matches!(stored, Err(StoreError::Broken)), "{stored:?}");
    let (messages, _) = shelf.messages(name("bob"), 0).await?;
    assert_eq!(messages.iter().map(|one| one.sealed.0.clone()).collect::<Vec<_>>(), [[1]]);
    // Others are not disturbed.
    assert!(!shelf.put(message("alice", 3, vec![3])).await?);
    Ok(())
}

/// Table names and texts are written here as they are in files, and not taken from the code: a new name there
/// would mean that old files are read as empty ones.
#[tokio::test]
async fn the_file_of_an_earlier_version_is_read_and_its_numbers_go_on() -> TestResult {
    use redb::TableDefinition;
    const TEXTS: [(&str, &str, &str); 3] = [
        (
            "accounts",
            "bob",
            r#"{"password":"$argon2id$v=19$m=64,t=1,p=1$c2FsdA$aGFzaA","key":"AQ=="}"#,
        ),
        ("boxes", "bob", r#"{"last":2,"messages":1,"bytes":1,"sent":0}"#),
        ("boxes", "alice", r#"{"last":0,"messages":0,"bytes":0,"sent":2}"#),
    ];
    const MESSAGES: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("messages");
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("db");
    let file = careful_files::open_or_create_private(&path)?;
    let database = redb::Builder::new().create_file(file)?;
    let transaction = database.begin_write()?;
    for (table, key, text) in TEXTS {
        let table: TableDefinition<&str, &[u8]> = TableDefinition::new(table);
        transaction.open_table(table)?.insert(key, text.as_bytes())?;
    }
    let second = r#"{"from":"alice","id":"02000000000000000000000000000000","sealed":"Bw=="}"#;
    transaction.open_table(MESSAGES)?.insert(("bob", 2), second.as_bytes())?;
    transaction.commit()?;
    drop(database);

    let shelf = Store::open(&path, StoreLimits::default(), Clock::settable(NOW))?;
    assert_eq!(shelf.account(name("bob")).await?.ok_or("no account")?.key.0, [1]);
    shelf.put(message("bob", 3, vec![8])).await?;
    let (messages, _) = shelf.messages(name("bob"), 0).await?;
    let found: Vec<_> = messages.iter().map(|one| (one.number, one.sealed.0.clone())).collect();
    assert_eq!(found, [(2, vec![7]), (3, vec![8])]);
    Ok(())
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_as_it_is() -> TestResult {
    const OTHER: redb::TableDefinition<&str, &[u8]> = redb::TableDefinition::new("counts");
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("db");
    let file = careful_files::open_or_create_private(&path)?;
    let database = redb::Builder::new().create_file(file)?;
    let transaction = database.begin_write()?;
    transaction.open_table(OTHER)?.insert("bob", &b"{}"[..])?;
    transaction.commit()?;
    drop(database);
    let refused = Store::open(&path, StoreLimits::default(), Clock::settable(NOW)).err();
    let refused = refused.ok_or("it was opened")?.to_string();
    assert!(refused.contains("\"counts\""), "{refused}");
    let database = redb::Database::open(&path)?;
    let tables = redb::ReadableDatabase::begin_read(&database)?.list_tables()?.count();
    assert_eq!(tables, 1, "no table was made");
    Ok(())
}

#[tokio::test]
async fn a_full_mailbox_of_one_does_not_stop_letters_to_another() -> TestResult {
    let store = StoreLimits { messages: 1, ..StoreLimits::default() };
    let stage = Stage::new(StageOptions { store, ..quick() }).await?;
    let mut alice = stage.person("alice").await?;
    for who in ["bob", "carol"] {
        stage.person(who).await?;
    }
    alice.send("bob", "one").await?;
    assert!(alice.send("bob", "two").await.is_err());
    assert_eq!(alice.send("carol", "hello").await?.letters, 1);
    assert_eq!(alice.account.waiting(), 1);
    Ok(())
}

#[tokio::test]
async fn the_id_in_an_error_does_not_steer_a_terminal() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let alice = stage.person("alice").await?;
    let (_spy, mut alice) = spied(&stage, alice, |_request, _answer| Response::Refused {
        because: Refusal::Busy,
        request: "\u{1b}]0;x\u{7}\u{1b}[2J".to_owned(),
    })
    .await?;
    let error = alice.read().await.err().ok_or("refused")?;
    assert!(!error.to_string().contains('\u{1b}'), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_number_far_ahead_takes_no_room() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    letter_by_hand(&mut alice, u64::MAX).await?;
    letter_by_hand(&mut alice, 7).await?;
    let found = bob.read().await?;
    let expected = Found::Missing { from: name("alice"), count: u64::MAX - 1 };
    assert_eq!(found.first(), Some(&expected));
    assert!(matches!(found.last(), Some(Found::Letter { number: 7, order: Order::Late, .. })));
    let size = std::fs::metadata(bob.folder.join("state.json"))?.len();
    assert!(size < 1000, "{size} bytes");
    Account::load(&bob.folder)?;
    Ok(())
}

#[tokio::test]
async fn a_mailbox_that_counts_from_a_smaller_number_is_read() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let mut alice = stage.person("alice").await?;
    alice.send("alice", "one").await?;
    // A server that once said the largest number, or that was restored from a backup.
    let (_spy, mut alice) = spied(&stage, alice, |_request, answer| match answer {
        Response::Messages { mut messages, more } => {
            messages.iter_mut().for_each(|delivery| delivery.number = u64::MAX);
            Response::Messages { messages, more }
        }
        answer => answer,
    })
    .await?;
    alice.read().await?;
    let mut alice = alice.at(stage.endpoint()?)?;
    alice.send("alice", "two").await?;
    let found = alice.read().await?;
    assert!(matches!(found.last(), Some(Found::Letter { number: 2, .. })), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn a_key_is_trusted_only_as_it_was_compared() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, bob) = (stage.person("alice").await?, stage.person("bob").await?);
    let other = sealed::fingerprint(&name("bob"), &KeyPair::random().public());
    let own = bob.account.own_fingerprint();
    for (wrong, is_one) in [
        (other.as_str(), true),
        ("", false),
        (&own[..4], false),
        (&own[..38], false),
        (&format!("{own} 0000"), false),
        (&own.replace(' ', ""), false),
        (&format!("g{}", &own[1..]), false),
    ] {
        let trusted = alice.account.trust(&mut alice.client, &name("bob"), wrong).await;
        let refused = match is_one {
            true => matches!(trusted, Err(AccountError::NotCompared { .. })),
            false => matches!(trusted, Err(AccountError::NotAFingerprint(_))),
        };
        assert!(refused, "{wrong}: {trusted:?}");
    }
    // Other people write capitals.
    let compared = own.to_uppercase();
    alice.account.trust(&mut alice.client, &name("bob"), &compared).await?;
    Ok(())
}

#[tokio::test]
async fn a_flood_that_is_told_busy_uses_up_no_attempts() -> TestResult {
    let attempts = AttemptLimits { address: 100_000, ..AttemptLimits::default() };
    let setting = StageOptions { passwords: limits(1, 0), attempts, ..StageOptions::default() };
    let stage = Stage::new(setting).await?;
    let mut alice = stage.person("alice").await?;
    let mut flood = tokio::task::JoinSet::new();
    for from in 0..16 {
        let mut client = Client::new(stage.endpoint()?);
        flood.spawn(async move {
            for number in 0.. {
                let name = name(&format!("n{from}-{number}"));
                let password = Secret::new("a guess");
                let _ = client.call(&Request::LogIn { name, password }).await;
            }
        });
    }
    let mut client = Client::new(stage.endpoint()?);
    for _ in 0..40 {
        let (name, password) = (name("alice"), alice.account.password());
        let _ = client.call(&Request::LogIn { name, password }).await;
    }
    flood.shutdown().await;
    // Until the last hash is done, the line is full.
    let mut tries = 0;
    while let Err(error) = alice.read().await {
        let AccountError::Client(ClientError::Refused { because, .. }) = error else {
            return Err(error.into());
        };
        assert_eq!(because, Refusal::Busy);
        tries += 1;
        assert!(tries < 100);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_over_is_forgotten_without_a_write() -> TestResult {
    let folder = tempfile::tempdir()?;
    let clock = Clock::settable(NOW);
    let limits = StoreLimits::default();
    let store = Store::open(&folder.path().join("db"), limits, clock.clone())?;
    let account = stored("", vec![0; 32]);
    store.register(name("bob"), account).await?;
    store.put(message("bob", 1, vec![1])).await?;
    clock.advance(Duration::from_secs(limits.keep));
    store.forget_expired().await?;
    assert!(store.messages(name("bob"), 0).await?.0.is_empty());
    Ok(())
}

/// A letter to Bob with a number of Alice's choice, which her program would not give it.
async fn letter_by_hand(alice: &mut Person, number: u64) -> TestResult {
    let his = alice_key(alice, "bob").await?;
    let file = std::fs::read(alice.folder.join("account.json"))?;
    let file: serde_json::Value = serde_json::from_slice(&file)?;
    let Bytes(key) = serde_json::from_value(file["key"].clone())?;
    let hers = KeyPair::from_bytes(&key)?;
    let id = MessageId::random().ok_or("random")?;
    let letter = Letter { number, text: "x".to_owned() };
    let (from, to) = (name("alice"), name("bob"));
    let sealed = Bytes(sealed::seal((&from, &hers), (&to, &his), id, &letter)?);
    let send = |token| Request::Send { token, to: to.clone(), id, sealed: sealed.clone() };
    alice.client.call_with_token(send).await?;
    Ok(())
}
