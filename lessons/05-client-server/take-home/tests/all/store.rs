//! The store's file: damaged, foreign, old and new ones; its clock; accounts that change and go.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use careful_mailbox::protocol::{Bytes, MessageId, Name};
use careful_mailbox::store::{
    Account, AccountChange, Generation, NewMessage, OpenStoreError, Store, StoreError, StoreLimits,
    check,
};
use careful_tokens::clock::Clock;

type TestResult = Result<(), Box<dyn Error>>;

/// When it is: in November 2026.
const NOW: u64 = 1_795_600_000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn name(name: &str) -> Name {
    Name::new(name).expect("a name")
}

fn account(generation: u8) -> Account {
    Account {
        password: "hash".to_owned(),
        key: Bytes(vec![generation; 32]),
        generation: Generation([generation; 8]),
    }
}

fn message(from: &str, to: &str, id: u8) -> NewMessage {
    NewMessage { from: name(from), to: name(to), id: MessageId([id; 16]), sealed: vec![id; 100] }
}

fn open(path: &Path, clock: &Clock) -> Result<Store, OpenStoreError> {
    Store::open(path, StoreLimits::default(), clock.clone())
}

async fn close(store: Store) -> TestResult {
    Ok(tokio::task::spawn_blocking(move || store.close()).await?)
}

/// A file with Alice, Bob and one letter.
async fn file(path: &Path) -> TestResult {
    let store = open(path, &Clock::settable(NOW))?;
    store.register(name("alice"), account(1)).await?;
    store.register(name("bob"), account(2)).await?;
    store.put(message("alice", "bob", 7)).await?;
    close(store).await
}

async fn numbers(store: &Store, of: &str) -> Result<Vec<u64>, StoreError> {
    let (messages, _more) = store.messages(name(of), 0).await?;
    Ok(messages.iter().map(|delivery| delivery.number).collect())
}

/// What opening says of these bytes; they must be left as they are.
fn said(path: &Path, bytes: &[u8]) -> Result<String, Box<dyn Error>> {
    careful_files::replace(path, bytes)?;
    let refused = open(path, &Clock::settable(NOW)).err().ok_or("it was opened")?;
    assert!(std::fs::read(path)? == bytes, "the file was changed: {refused}");
    Ok(refused.to_string())
}

#[tokio::test]
async fn a_file_that_is_no_whole_database_of_this_version_is_named_and_left() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("db");
    file(&path).await?;
    let whole = std::fs::read(&path)?;
    for length in [1, 8, 9, 300, 320, 4096, 8192, whole.len() / 2, whole.len() - 1] {
        let text = said(&path, &whole[..length])?;
        let fits = text.contains("is damaged") || text.contains("not a mailbox's database");
        assert!(fits, "{length} bytes: {text}");
    }
    assert!(said(&path, b"")?.contains("an empty file"));
    assert!(said(&path, b"SQLite format 3\0")?.contains("not a mailbox's database"));
    assert!(said(&path, &[b'x'; 100_000])?.contains("not a mailbox's database"));
    let mut longer = whole.clone();
    longer.extend([0; 5000]);
    assert!(said(&path, &longer)?.contains("is damaged"));
    // The version of redb's own format: the first byte of each commit slot, whose last 16 bytes are a checksum.
    let mut newer = whole.clone();
    for slot in newer[64..320].chunks_exact_mut(128) {
        slot[0] = 99;
        let checksum = twox_hash::XxHash3_128::oneshot(&slot[..112]);
        slot[112..].copy_from_slice(&checksum.to_le_bytes());
    }
    assert!(said(&path, &newer)?.contains("a later version"));
    careful_files::replace(&path, &whole)?;
    assert_eq!(numbers(&open(&path, &Clock::settable(NOW))?, "bob").await?, [1]);
    Ok(())
}

#[tokio::test]
async fn a_file_of_a_later_format_of_ours_is_refused() -> TestResult {
    const META: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("meta");
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("db");
    file(&path).await?;
    let database = redb::Database::open(&path)?;
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("format", 3)?;
    transaction.commit()?;
    drop(database);
    let refused = open(&path, &Clock::settable(NOW)).err().ok_or("it was opened")?;
    assert!(matches!(refused, OpenStoreError::Newer), "{refused}");
    Ok(())
}

/// Bytes anywhere: an error or a store that works, and never a panic that ends a thread for good.
#[tokio::test]
async fn damage_anywhere_is_an_error_or_does_no_harm() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("db");
    file(&path).await?;
    let whole = std::fs::read(&path)?;
    let mut at = 1_u64;
    for round in 0..150 {
        // Each place of the header, then places all over the file (a linear congruential generator).
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = if round < 100 { round * 3 } else { (at >> 33) as usize % whole.len() };
        let mut damaged = whole.clone();
        damaged[place] ^= 0xff;
        careful_files::replace(&path, &damaged)?;
        let Ok(store) = open(&path, &Clock::settable(NOW)) else { continue };
        for _ in 0..2 {
            let _ = store.messages(name("bob"), 0).await;
            let put = store.put(message("alice", "bob", 9)).await;
            assert!(!matches!(put, Err(StoreError::Closed)), "byte {place}: the writer has ended");
        }
        close(store).await?;
    }
    // A file that is one page short, which is what a copy leaves that was interrupted.
    let mut short = whole.clone();
    short.truncate(whole.len() - 4096);
    careful_files::replace(&path, &short)?;
    let refused = open(&path, &Clock::settable(NOW)).err().ok_or("it is not whole")?;
    assert!(matches!(refused, OpenStoreError::Damaged(None)), "before redb reads it: {refused:?}");
    Ok(())
}

/// As long as the disk that it's on is not mounted, for example.
#[cfg(unix)]
#[tokio::test]
async fn a_link_to_a_database_that_is_not_there_is_not_replaced_by_an_empty_one() -> TestResult {
    let folder = tempfile::tempdir()?;
    let (link, file) = (folder.path().join("link"), folder.path().join("mounted"));
    std::os::unix::fs::symlink(&file, &link)?;
    let clock = Clock::settable(NOW);
    let refused = open(&link, &clock).err().ok_or("nothing is there")?;
    let said = careful_errors::ErrorChain(&refused).to_string();
    assert!(said.contains("is its disk mounted?"), "{said}");
    assert!(std::fs::symlink_metadata(&link)?.is_symlink() && !file.exists());
    // When it is there, it is used by the link.
    close(open(&file, &clock)?).await?;
    close(open(&link, &clock)?).await?;
    assert!(std::fs::symlink_metadata(&link)?.is_symlink());
    Ok(())
}

#[tokio::test]
async fn a_start_that_was_ended_in_the_middle_leaves_no_half_database() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("db");
    careful_files::create_private(&folder.path().join("db.new"))?;
    file(&path).await?;
    assert!(!folder.path().join("db.new").exists());
    assert_eq!(numbers(&open(&path, &Clock::settable(NOW))?, "bob").await?, [1]);
    Ok(())
}

#[tokio::test]
async fn clock_jumps_do_not_expire_letters_but_uptime_does() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("db");
    file(&path).await?;
    // A machine that starts in another century, twice.
    for now in [0, NOW + 100 * 365 * 86_400, NOW] {
        let clock = Clock::settable(now);
        let store = open(&path, &clock)?;
        clock.set(now + 31 * 86_400);
        store.forget_expired().await?;
        assert_eq!(numbers(&store, "bob").await?, [1], "{now}");
        // Ten days of work.
        clock.advance(9 * DAY);
        store.forget_expired().await?;
        close(store).await?;
    }
    let clock = Clock::settable(NOW);
    let store = open(&path, &clock)?;
    clock.advance(2 * DAY);
    store.forget_expired().await?;
    assert_eq!(numbers(&store, "bob").await?, [1], "29 days");
    clock.advance(DAY);
    store.forget_expired().await?;
    assert!(numbers(&store, "bob").await?.is_empty(), "30 days");
    assert!(!store.put(message("alice", "bob", 7)).await?, "its id is forgotten, too");
    Ok(())
}

#[tokio::test]
async fn a_change_is_for_the_account_that_it_was_meant_for() -> TestResult {
    let folder = tempfile::tempdir()?;
    let store = open(&folder.path().join("db"), &Clock::settable(NOW))?;
    store.register(name("alice"), account(1)).await?;
    let change = |from: u8, to: u8| AccountChange {
        from: Generation([from; 8]),
        to: Generation([to; 8]),
        password: Some("another".to_owned()),
        key: None,
    };
    store.change_account(name("alice"), change(1, 2)).await?;
    let changed = store.account(name("alice")).await?.ok_or("an account")?;
    assert_eq!((changed.password.as_str(), changed.key.0[0]), ("another", 1));
    assert_eq!(changed.generation, Generation([2; 8]));
    let late = store.change_account(name("alice"), change(1, 3)).await;
    assert!(matches!(late, Err(StoreError::Changed)), "{late:?}");
    let late = store.remove_account(name("alice"), Generation([1; 8])).await;
    assert!(matches!(late, Err(StoreError::Changed)), "{late:?}");
    let nobody = store.change_account(name("nobody"), change(1, 2)).await;
    assert!(matches!(nobody, Err(StoreError::NoAccount)), "{nobody:?}");
    Ok(())
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing_that_the_next_of_its_name_gets() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("db");
    let clock = Clock::settable(NOW);
    let limits = StoreLimits { sent: 2, ..StoreLimits::default() };
    let store = Store::open(&path, limits, clock.clone())?;
    for (who, generation) in [("alice", 1), ("bob", 2)] {
        store.register(name(who), account(generation)).await?;
    }
    store.put(message("bob", "alice", 1)).await?;
    store.put(message("alice", "bob", 2)).await?;
    store.put(message("alice", "bob", 3)).await?;
    store.remove_account(name("alice"), Generation([1; 8])).await?;
    assert!(store.account(name("alice")).await?.is_none());
    let late = store.put(message("bob", "alice", 4)).await;
    assert!(matches!(late, Err(StoreError::NoAccount)), "{late:?}");
    store.register(name("alice"), account(3)).await?;
    assert!(numbers(&store, "alice").await?.is_empty());
    assert_eq!(numbers(&store, "bob").await?, [1, 2], "what she sent stays");
    let more = store.put(message("alice", "bob", 5)).await;
    assert!(matches!(more, Err(StoreError::Full(_))), "a new name is no new quota: {more:?}");
    // Letter 1 of the new mailbox is not the one that expires under that number.
    store.remove_account(name("bob"), Generation([2; 8])).await?;
    store.register(name("bob"), account(4)).await?;
    clock.advance(29 * DAY);
    store.put(message("bob", "bob", 6)).await?;
    clock.advance(2 * DAY);
    store.forget_expired().await?;
    assert_eq!(numbers(&store, "bob").await?, [1]);
    assert!(!store.put(message("alice", "bob", 5)).await?, "the old ones count no longer");
    close(store).await?;
    assert_eq!(check(&path)?.faults, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_check_counts_what_is_there_and_names_what_is_wrong() -> TestResult {
    const COUNTS: redb::TableDefinition<&str, &[u8]> = redb::TableDefinition::new("boxes");
    const MESSAGES: redb::TableDefinition<(&str, u64), &[u8]> =
        redb::TableDefinition::new("messages");
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("db");
    file(&path).await?;
    let good = check(&path)?;
    assert_eq!((good.accounts, good.messages, good.bytes), (2, 1, 100));
    assert_eq!(good.faults, Vec::<String>::new());
    let database = redb::Database::open(&path)?;
    let transaction = database.begin_write()?;
    transaction.open_table(COUNTS)?.insert("bob", &[0_u8; 32][..])?;
    transaction.open_table(COUNTS)?.insert("alice", &b"short"[..])?;
    let swapped = [&[7; 16][..], b"\x05alice", &[8; 100]].concat();
    transaction.open_table(MESSAGES)?.insert(("bob", 1), &*swapped)?;
    transaction.open_table(MESSAGES)?.insert(("bob", 2), &b"cut"[..])?;
    transaction.commit()?;
    drop(database);
    let faults = check(&path)?.faults.join("\n");
    for says in [
        "letter 2 in the mailbox of \"bob\" is not one",
        "letter 1 in the mailbox of bob is not what \"alice\" sent",
        "the counts of \"alice\" cannot be read",
        "the counts of \"bob\" are not those of its letters",
    ] {
        assert!(faults.contains(says), "{says}: {faults}");
    }
    let store = open(&path, &Clock::settable(NOW))?;
    assert!(matches!(check(&path), Err(OpenStoreError::InUse)));
    drop(store);
    Ok(())
}

#[tokio::test]
async fn a_page_that_is_damaged_is_found_by_the_check() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("db");
    file(&path).await?;
    let mut bytes = std::fs::read(&path)?;
    // In the middle of the box.
    let at = bytes.windows(100).position(|window| window == [7; 100]).ok_or("the box")?;
    bytes[at + 50] ^= 1;
    careful_files::replace(&path, &bytes)?;
    let checked = check(&path);
    let found = match &checked {
        Err(OpenStoreError::Damaged(_)) => true,
        Ok(checked) => !checked.faults.is_empty(),
        _ => false,
    };
    assert!(found, "{checked:?}");
    Ok(())
}
