//! What a client says of a letter, at every point at which the wire, the server or its own disk can fail.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::common::{TestResult, name, quick};
use careful_files::{FileError, ReplaceError};
use careful_mailbox::account::{
    Account, AccountError, Disk, Fate, Found, Order, SendError, Storage,
};
use careful_mailbox::client::{Client, ClientError, Endpoint};
use careful_mailbox::protocol::{Refusal, Request, Response};
use mailbox::lab::spy::{Spy, Tamper};
use mailbox::lab::stage::{Person, Stage, endpoint};
use shared::wiretap::{Action, Framing};
use shared::{ClosedPort, Wiretap};

/// What a write of a file comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Write {
    Done,
    /// The disk is full. The old file is there.
    Full,
    /// It is there, but its folder could not be synced.
    NotSynced,
}

/// A disk with one bad moment.
struct BadDisk {
    writes: Mutex<VecDeque<Write>>,
}

impl Storage for BadDisk {
    fn read(&self, path: &Path, limit: u64) -> Result<zeroize::Zeroizing<Vec<u8>>, FileError> {
        Disk.read(path, limit)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), ReplaceError> {
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        match writes.pop_front().unwrap_or(Write::Done) {
            Write::Done => Disk.replace(path, bytes),
            Write::Full => Err(ReplaceError::Write(io::ErrorKind::StorageFull.into())),
            Write::NotSynced => {
                Disk.replace(path, bytes)?;
                Err(ReplaceError::NotSynced(io::ErrorKind::InvalidInput.into()))
            }
        }
    }
}

/// The `at`-th write of the program is this one, all others are done.
fn bad_disk(write: Write, at: usize) -> Box<BadDisk> {
    let mut writes = vec![Write::Done; at];
    writes.push(write);
    Box::new(BadDisk { writes: Mutex::new(writes.into()) })
}

/// What the wire does.
#[derive(Clone, Copy, Debug)]
enum Wire {
    Fine,
    /// Nobody listens.
    Down,
    /// All connections end before this record, counted over both directions and all connections.
    CutBefore(usize),
    /// From this record on, nothing arrives, and nothing is closed.
    SilentFrom(usize),
}

async fn wire(stage: &Stage, wire: Wire) -> anyhow::Result<Wiretap> {
    let records = AtomicUsize::new(0);
    let tap = Wiretap::attacking(stage.address(), Framing::TlsRecords, move |_unit| {
        let number = records.fetch_add(1, Ordering::SeqCst);
        match wire {
            Wire::CutBefore(at) if number >= at => Action::Cut,
            Wire::SilentFrom(at) if number >= at => Action::Replace(Vec::new()),
            _ => Action::Pass,
        }
    });
    Ok(tap.await?)
}

/// With deadlines for a test.
fn impatient(mut endpoint: Endpoint) -> Endpoint {
    endpoint.connect = Duration::from_millis(700);
    endpoint.frames.idle = Duration::from_millis(300);
    endpoint.pause = Duration::from_millis(1);
    endpoint
}

struct Setting {
    stage: Stage,
    recipients: AtomicUsize,
}

impl Setting {
    async fn new() -> anyhow::Result<Self> {
        let mut options = quick();
        options.attempts.address = 100_000;
        options.attempts.logins_of_account = 100_000;
        options.attempts.logins_from_address = 100_000;
        Ok(Self { stage: Stage::new(options).await?, recipients: AtomicUsize::new(0) })
    }

    /// Sends one letter to somebody new while something fails, then lets everything work again, and
    /// compares what was said with what arrived. Returns the fate.
    async fn try_once(
        &self,
        pinned: bool,
        wired: Wire,
        disk: Box<BadDisk>,
    ) -> anyhow::Result<Option<Fate>> {
        let number = self.recipients.fetch_add(1, Ordering::SeqCst);
        let stage = &self.stage;
        let to = format!("to-{number}");
        let mut alice = stage.person(&format!("alice-{number}")).await?;
        let mut recipient = stage.person(&to).await?;
        if pinned {
            alice.account.fingerprint_of(&mut alice.client, &name(&to)).await?;
        }
        let folder = alice.folder.clone();
        let mut account = Account::load_from(&folder, disk)?;
        let tap = wire(stage, wired).await?;
        let mut at = tap.address();
        let nobody = ClosedPort::new()?;
        if let Wire::Down = wired {
            at = nobody.address()?;
        }
        let at = impatient(endpoint(&stage.ca, at)?);
        let mut client = Client::with_login(at, account.name().clone(), account.password());
        let sent = account.send(&mut client, &name(&to), "the letter").await;
        drop((client, account));

        // The program starts again, and everything works.
        let mut alice = Person::load(folder, stage.endpoint()?)?;
        let waiting = alice.account.waiting();
        let fate = sent.err().map(|error| error.fate);
        match fate {
            Some(Fate::Kept) => anyhow::ensure!(waiting == 1, "kept, but {waiting} wait"),
            Some(Fate::NotKept) => anyhow::ensure!(waiting == 0, "not kept, but {waiting} wait"),
            _ => {}
        }
        alice.account.send_waiting(&mut alice.client).await?;
        let found = recipient.read().await?;
        match fate {
            Some(Fate::NotKept) => anyhow::ensure!(found.is_empty(), "not kept, but {found:?}"),
            _ => {
                let once = matches!(&found[..], [Found::Letter { order: Order::Next, .. }]);
                anyhow::ensure!(once, "{fate:?}, but {found:?}");
            }
        }
        // The next letter has the next number, without a gap.
        alice.send(&to, "the next one").await?;
        let found = recipient.read().await?;
        let next = matches!(&found[..], [Found::Letter { order: Order::Next, .. }]);
        anyhow::ensure!(next, "after {fate:?}: {found:?}");
        Ok(fate)
    }
}

/// A case: whether the recipient's key is pinned, the wire, and the one write of the disk that fails.
type Case = (bool, Wire, Write, usize);

/// Eight at a time. What was said of each letter.
async fn try_all(cases: Vec<Case>) -> Result<Vec<Option<Fate>>, Box<dyn std::error::Error>> {
    let setting = Arc::new(Setting::new().await?);
    let places = Arc::new(tokio::sync::Semaphore::new(8));
    let mut tasks = tokio::task::JoinSet::new();
    for (pinned, wired, write, at) in cases {
        let (setting, places) = (setting.clone(), places.clone());
        tasks.spawn(async move {
            let _place = places.acquire().await;
            let tried = setting.try_once(pinned, wired, bad_disk(write, at)).await;
            let case = format!("pinned {pinned}, write {at}: {write:?}, {wired:?}");
            tried.map_err(|error| format!("{case}: {error:#}"))
        });
    }
    Ok(tasks.join_all().await.into_iter().collect::<Result<_, _>>()?)
}

#[tokio::test]
async fn whatever_the_wire_and_the_disk_do_the_client_says_what_became_of_the_letter() -> TestResult
{
    let mut cases = Vec::new();
    for pinned in [false, true] {
        // Every record of the conversation, and those of a second and a third try.
        cases.extend((0..24).map(|at| (pinned, Wire::CutBefore(at), Write::Done, 0)));
        for (write, at) in
            [Write::Full, Write::NotSynced].into_iter().flat_map(|w| [(w, 0), (w, 1), (w, 2)])
        {
            let wires = [Wire::Fine, Wire::Down, Wire::CutBefore(9), Wire::CutBefore(14)];
            cases.extend(wires.map(|wire| (pinned, wire, write, at)));
        }
        cases.extend([Wire::Fine, Wire::Down].map(|wire| (pinned, wire, Write::Done, 0)));
    }
    let fates = try_all(cases).await?;
    // Each of them was reached.
    for fate in [None, Some(Fate::Sent), Some(Fate::Kept), Some(Fate::NotKept)] {
        assert!(fates.contains(&fate), "{fate:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_hangs_keeps_the_letter_in_the_outbox() -> TestResult {
    let silent = [0, 6, 8, 10, 12].map(|at| (true, Wire::SilentFrom(at), Write::Done, 0));
    assert_eq!(try_all(silent.into()).await?, [Some(Fate::Kept); 5]);
    Ok(())
}

/// For every refusal of a letter.
#[tokio::test]
async fn a_server_that_refuses_is_told_of_with_what_became_of_the_letter() -> TestResult {
    use Refusal::*;
    for (because, fate) in [
        (BadRequest, Fate::NotKept),
        (Conflict, Fate::NotKept),
        (Forbidden, Fate::NotKept),
        (NoAccount, Fate::NotKept),
        (Full, Fate::Kept),
        (Busy, Fate::Kept),
        (Unavailable, Fate::Kept),
        (TooManyAttempts, Fate::Kept),
        (Unauthorized, Fate::Kept),
    ] {
        let stage = Stage::new(quick()).await?;
        let (alice, _bob) = (stage.person("alice").await?, stage.person("bob").await?);
        let tamper: Tamper = Arc::new(move |request, answer| match request {
            Request::Send { .. } => Response::Refused { because, request: String::new() },
            _ => answer,
        });
        let spy = Spy::before(&stage, tamper).await?;
        let mut alice = alice.at(endpoint(&stage.ca, spy.address())?)?;
        let failed = alice.send("bob", "hello").await.expect_err("refused");
        assert_eq!(failed.fate, fate, "{because:?}");
        let refused = matches!(
            &failed.error,
            AccountError::Client(ClientError::Refused { because: b, .. }) if *b == because
        );
        assert!(refused, "{because:?}: {:?}", failed.error);
        let waits = usize::from(fate == Fate::Kept);
        assert_eq!(alice.account.waiting(), waits, "{because:?}");
        assert_eq!(Account::load(&alice.folder)?.waiting(), waits, "{because:?}, on the disk");
    }
    Ok(())
}

#[tokio::test]
async fn a_letter_to_somebody_unknown_is_not_kept_while_the_server_is_away() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (alice, _bob) = (stage.person("alice").await?, stage.person("bob").await?);
    let away = ClosedPort::new()?;
    let mut alice = alice.at(impatient(endpoint(&stage.ca, away.address()?)?))?;
    let SendError { fate, .. } = alice.send("bob", "hello").await.expect_err("nobody is there");
    assert_eq!((fate, alice.account.waiting()), (Fate::NotKept, 0));
    Ok(())
}
