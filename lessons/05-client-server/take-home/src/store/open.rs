//! Opening a database file: what it is, before anything is written to it.
//!
//! The mistakes this prevents: an empty or alien file that becomes a new, empty mailbox; a file of a later
//! version that an earlier one writes to; a damaged file that ends the server with a panic of its library.

use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, TableHandle, WriteTransaction};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use twox_hash::XxHash3_128;

use super::error::{OpenStoreError, StoreError};
use super::limits::StoreLimits;
use super::records::{Account, Generation, MailboxCounts, StoredId, StoredMessage};
use super::tables::{ACCOUNTS, CLOCK, COUNTS, EXPIRY, FORMAT, IDS, MESSAGES, META, Tables};
use crate::protocol::{Bytes, MessageId, Name};

/// The format of the values. The first one had none, and wrote JSON.
const CURRENT: u64 = 2;
/// What the database may keep in memory of its file, in bytes.
const CACHE: usize = 16 * 1024 * 1024;
/// Files that redb cannot use make it panic; those panics are caught on a thread of this name, so
/// that a panic hook can leave them out.
pub const OPENING: &str = "store-opening";

/// Opens the file, or makes it.
pub(super) fn open(path: &Path, limits: StoreLimits) -> Result<(Database, u64), OpenStoreError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path)?,
        Err(error) => return Err(OpenStoreError::File(error)),
        // A new, empty database in place of a link would be the loss of all letters.
        Ok(there) if there.is_symlink() && !path.try_exists().map_err(OpenStoreError::File)? => {
            let text = "it is a link to a file that is not there: is its disk mounted?";
            return Err(OpenStoreError::File(io::Error::new(io::ErrorKind::NotFound, text)));
        }
        Ok(_) => {}
    }
    let database = open_file(path)?;
    let clock = caught(|| use_or_upgrade(&database, limits))?;
    Ok((database, clock))
}

/// Makes a whole database under another name first: a file that is there is always one, and an empty file
/// is somebody's accident.
fn make(path: &Path) -> Result<(), OpenStoreError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let file = match careful_files::create_private(&temporary) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Of a start that was ended in the middle: nobody has used it.
            std::fs::remove_file(&temporary)
                .and_then(|()| careful_files::create_private(&temporary))
        }
        made => made,
    };
    drop(file.map_err(OpenStoreError::File)?);
    let file = File::options().read(true).write(true).open(&temporary);
    let database = database(file.map_err(OpenStoreError::File)?)?;
    let made = (|| {
        let transaction = begin(&database)?;
        Tables::open(&transaction)?.meta.insert(FORMAT, CURRENT)?;
        Ok::<_, redb::Error>(transaction.commit()?)
    })();
    drop(database);
    let renamed = made
        .map_err(OpenStoreError::Database)
        .and_then(|()| std::fs::rename(&temporary, path).map_err(OpenStoreError::File));
    if renamed.is_err() {
        // It is said already why there is none.
        let _ = std::fs::remove_file(&temporary);
    }
    renamed
}

/// Opens a file that is there.
pub(super) fn open_file(path: &Path) -> Result<Database, OpenStoreError> {
    let mut file = careful_files::open_or_create_private(path).map_err(OpenStoreError::File)?;
    check_header(&mut file)?;
    caught(|| database(file))
}

/// The magic number of redb's files, and the sizes in each that it makes: bytes in a page, pages in the header of a
/// region, pages in a region (redb 4.1.0, `header.rs`).
const MAGIC: &[u8; 9] = b"redb\x1a\x0a\xa9\x0d\x0a";
const SIZES: [u32; 3] = [4096, 0, 1 << 20];
/// With both commit slots, of 128 bytes each, from byte 64 on. The last 16 of a slot are a checksum of the rest.
const HEADER: u64 = 320;
const SLOT: usize = 128;
const CHECKSUM: usize = 16;

/// redb believes what these numbers say, and where the slot that is in use says that the data begins: with others
/// it takes memory for terabytes, which ends the process, or panics for a file that is shorter.
fn check_header(file: &mut File) -> Result<(), OpenStoreError> {
    let length = file.metadata().map_err(OpenStoreError::File)?.len();
    if length == 0 {
        return Err(OpenStoreError::Empty);
    }
    let mut header = Vec::new();
    (&mut *file).take(HEADER).read_to_end(&mut header).map_err(OpenStoreError::File)?;
    let Some(rest) = header.strip_prefix(MAGIC) else {
        let cut = MAGIC.starts_with(&header);
        return Err(if cut { OpenStoreError::Damaged(None) } else { OpenStoreError::Alien });
    };
    // One byte of flags and two that are empty come before the numbers, in little-endian.
    let numbers = rest.get(3..23).unwrap_or_default().chunks_exact(4);
    let numbers = numbers.filter_map(|four| Some(u32::from_le_bytes(four.try_into().ok()?)));
    let numbers: Vec<u32> = numbers.collect();
    let [page, in_header, in_region, regions, more] = numbers[..] else {
        return Err(OpenStoreError::Damaged(None));
    };
    let pages = u64::from(regions) * u64::from(in_region) + u64::from(more) + 1;
    let fits = [page, in_header, in_region] == SIZES
        && length.is_multiple_of(u64::from(page))
        && length >= pages * u64::from(page);
    match fits && slot_is_whole(&header) {
        true => Ok(()),
        false => Err(OpenStoreError::Damaged(None)),
    }
}

/// Whether the commit slot in use is as it was written. After a crash without two-phase commits, which the first
/// version of this program had, it may not be, and redb takes the other one.
fn slot_is_whole(header: &[u8]) -> bool {
    const FLAGS: usize = MAGIC.len();
    const SECOND_IN_USE: u8 = 1;
    const RECOVERY_REQUIRED: u8 = 2;
    const TWO_PHASES: u8 = 4;
    let flags = header.get(FLAGS).copied().unwrap_or(0);
    let at = 64 + if flags & SECOND_IN_USE != 0 { SLOT } else { 0 };
    let slot = header.get(at..at + SLOT).and_then(|slot| slot.split_last_chunk::<CHECKSUM>());
    let Some((slot, checksum)) = slot else { return false };
    let may_be_broken = flags & (RECOVERY_REQUIRED | TWO_PHASES) == RECOVERY_REQUIRED;
    may_be_broken || XxHash3_128::oneshot(slot) == u128::from_le_bytes(*checksum)
}

fn database(file: File) -> Result<Database, OpenStoreError> {
    // Takes the file for itself: a second server on it is refused.
    let backend = FileBackend::new(file).map_err(|error| opened(error.into()))?;
    let database = Database::builder().set_cache_size(CACHE).create_with_backend(backend);
    database.map_err(|error| opened(error.into()))
}

/// What an error of redb means for the one who starts the server.
fn opened(error: redb::Error) -> OpenStoreError {
    use redb::Error as E;
    match error {
        E::DatabaseAlreadyOpen => OpenStoreError::InUse,
        // The magic number at its begin (redb 4.1.0, `header.rs`).
        E::Io(error) if error.kind() == io::ErrorKind::InvalidData => OpenStoreError::Alien,
        error @ E::Io(_) if is_cut_off(&error) => OpenStoreError::Damaged(Some(error)),
        E::Corrupted(text) if text.contains("file format version") => OpenStoreError::Newer,
        E::UpgradeRequired(_) => OpenStoreError::Alien,
        error @ E::Corrupted(_) => OpenStoreError::Damaged(Some(error)),
        error => OpenStoreError::Database(error),
    }
}

fn is_cut_off(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof)
}

/// A panic of redb is an error: for some damaged files it has asserts (4.1.0, for example for one that is
/// shorter than its header says).
fn caught<T: Send>(
    work: impl FnOnce() -> Result<T, OpenStoreError> + Send,
) -> Result<T, OpenStoreError> {
    std::thread::scope(|scope| {
        let guarded = || catch_unwind(AssertUnwindSafe(work));
        let thread = std::thread::Builder::new().name(OPENING.to_owned());
        let thread = thread.spawn_scoped(scope, guarded).map_err(OpenStoreError::Thread)?;
        match thread.join() {
            Ok(Ok(done)) => done,
            Ok(Err(_panic)) | Err(_panic) => Err(OpenStoreError::Damaged(None)),
        }
    })
}

/// A transaction of which the disk has everything when it is committed, and after whose crash the file is
/// opened at once.
///
/// By default redb writes one checksummed page less, and after a crash it walks over the whole file to find out
/// what was committed: seconds for 300 MB. Quick repair stores what it would look for with each commit, and
/// commits in two phases: the data first, and then, after an fsync, the bit that says so. That second thing is
/// why it is on even where a slow start would do. Without it a commit counts when its checksum fits, which isn't
/// a cryptographic one, and clients choose the bytes that this server writes.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Looks at what the file holds, and brings it to the current format; what time it is on its clock.
fn use_or_upgrade(database: &Database, limits: StoreLimits) -> Result<u64, OpenStoreError> {
    let failed = OpenStoreError::Database;
    if let Some(other) = other_table(database).map_err(failed)? {
        return Err(OpenStoreError::OtherTable(other));
    }
    let format = meta(database, FORMAT).map_err(failed)?;
    match format {
        Some(CURRENT) => {}
        None => upgrade(database, limits).map_err(|error| match error {
            StoreError::Database(error) => match std::sync::Arc::try_unwrap(error) {
                Ok(error) => failed(error),
                Err(_shared) => OpenStoreError::Damaged(None),
            },
            _ => OpenStoreError::Damaged(None),
        })?,
        Some(_) => return Err(OpenStoreError::Newer),
    }
    Ok(meta(database, CLOCK).map_err(failed)?.unwrap_or(0))
}

fn other_table(database: &Database) -> Result<Option<String>, redb::Error> {
    let transaction = database.begin_read()?;
    let mut tables = transaction.list_tables()?;
    let ours =
        [ACCOUNTS.name(), COUNTS.name(), MESSAGES.name(), IDS.name(), EXPIRY.name(), META.name()];
    let other = tables.find(|table| !ours.contains(&table.name()));
    Ok(other.map(|table| table.name().to_owned()))
}

fn meta(database: &Database, key: &str) -> Result<Option<u64>, redb::Error> {
    let table = match database.begin_read()?.open_table(META) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table?,
    };
    Ok(table.get(key)?.map(|value| value.value()))
}

#[derive(Deserialize)]
struct JsonAccount {
    password: String,
    key: Bytes,
}

#[derive(Deserialize)]
struct JsonMessage {
    from: Name,
    id: MessageId,
    sealed: Bytes,
}

#[derive(Deserialize)]
struct JsonId {
    to: Name,
    number: u64,
    hash: Bytes,
}

#[derive(Deserialize)]
struct JsonCounts {
    last: u64,
    messages: u64,
    bytes: u64,
    sent: u64,
}

/// From the first format: in one transaction, so that after a crash it is as it was.
fn upgrade(database: &Database, limits: StoreLimits) -> Result<(), StoreError> {
    let transaction = begin(database)?;
    {
        let mut tables = Tables::open(&transaction)?;
        for name in keys(&tables.accounts, |name| name.to_owned())? {
            let JsonAccount { password, key } = json(tables.accounts.get(name.as_str())?)?;
            let generation = Generation::random().ok_or(StoreError::Broken)?;
            let account = Account { password, key, generation }.to_bytes()?;
            tables.accounts.insert(name.as_str(), account.as_slice())?;
        }
        for name in keys(&tables.counts, |name| name.to_owned())? {
            let JsonCounts { last, messages, bytes, sent } =
                json(tables.counts.get(name.as_str())?)?;
            let counts = MailboxCounts { last, messages, bytes, sent }.to_bytes();
            tables.counts.insert(name.as_str(), counts.as_slice())?;
        }
        for (name, number) in keys(&tables.messages, |(name, number)| (name.to_owned(), number))? {
            let key = (name.as_str(), number);
            let JsonMessage { from, id, sealed } = json(tables.messages.get(key)?)?;
            let message = StoredMessage { from, id, sealed: sealed.0 }.to_bytes();
            tables.messages.insert(key, message.as_slice())?;
        }
        for (name, id) in keys(&tables.ids, |(name, id)| (name.to_owned(), id))? {
            let JsonId { to, number, hash } = json(tables.ids.get((name.as_str(), id))?)?;
            let hash = hash.0.try_into().map_err(|_| StoreError::Broken)?;
            let stored = StoredId { to, number, hash }.to_bytes();
            tables.ids.insert((name.as_str(), id), stored.as_slice())?;
        }
        // It had dates. By the store's clock, the oldest message is as old as if it came now.
        let oldest = tables.expiry.first()?.map(|(key, _)| key.value().0);
        let clock = oldest.unwrap_or(0).saturating_sub(limits.keep);
        tables.meta.insert(CLOCK, clock)?;
        tables.meta.insert(FORMAT, CURRENT)?;
    }
    Ok(transaction.commit()?)
}

fn keys<K: redb::Key + 'static, V: redb::Value + 'static, T>(
    table: &redb::Table<'_, K, V>,
    owned: impl Fn(K::SelfType<'_>) -> T,
) -> Result<Vec<T>, StoreError> {
    let mut keys = Vec::new();
    for entry in table.iter()? {
        keys.push(owned(entry?.0.value()));
    }
    Ok(keys)
}

fn json<T: DeserializeOwned>(
    value: Option<redb::AccessGuard<'_, &'static [u8]>>,
) -> Result<T, StoreError> {
    let value = value.ok_or(StoreError::Broken)?;
    serde_json::from_slice(value.value()).map_err(|_| StoreError::Broken)
}
