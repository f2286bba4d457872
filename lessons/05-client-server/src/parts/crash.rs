//! The server is killed, and nothing is lost.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use careful_certificates::roots::Roots;
use careful_errors::ErrorChain;
use careful_mailbox::account::{Fate, Found, Order, SendError};
use careful_mailbox::client::Endpoint;
use careful_mailbox::protocol::Name;
use mailbox::lab::child::ServerProcess;
use mailbox::lab::stage::Person;
use mailbox::programs::LAB_NAME;
use rustls::pki_types::ServerName;
use shared::wiretap::{Action, Framing};
use shared::{Direction, Transcript, Wiretap};
use tokio::task::JoinSet;

const SENDERS: usize = 4;
const LETTERS: usize = 25;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let start = || ServerProcess::start(&data, &[]);

    t.step("The server is a process of its own. Alice and Carol register.");
    let server = start()?;
    let at = |address| endpoint(&data, address);
    let person = async |name: &str| {
        let endpoint = at(server.address())?;
        Person::register(folder.path().join(name), name, endpoint).await
    };
    let alice = t.works("alice", person("alice").await)?;
    let carol = t.works("carol", person("carol").await)?;

    t.step("Alice sends a letter. The relay holds the answer back, and then the server is killed.");
    let answers = Arc::new(AtomicUsize::new(usize::MAX));
    let held = Arc::new(tokio::sync::Notify::new());
    let (left, seen) = (answers.clone(), held.clone());
    let tap = Wiretap::attacking(server.address(), Framing::TlsRecords, move |unit| {
        if unit.direction == Direction::ToServer {
            return Action::Pass;
        }
        let left =
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_or_else(
            |_none| {
                seen.notify_one();
                Action::Cut
            },
            |_some| Action::Pass,
        )
    })
    .await?;
    let mut alice = alice.at(at(tap.address())?)?;
    // Logged in, and Carol's key is pinned. What comes next is one answer about that key, and then
    // the answer to the letter.
    alice.account.fingerprint_of(&mut alice.client, &Name::new("carol")?).await?;
    answers.store(1, Ordering::SeqCst);
    // ANCHOR: kill
    let sending = alice.send("carol", "a letter, sent in a bad moment");
    let lost = tokio::time::timeout(Duration::from_secs(5), sending).await?;
    held.notified().await;
    server.kill()?;
    let error = lost.err().context("an answer, although the server was killed")?;
    t.must_show("no answer", &ErrorChain(&error).to_string(), "no connection")?;
    t.note(
        "Her program tried three times, and each attempt was cut off. Was the letter stored? She \
         can't know. It waits in her outbox, with its id.",
    );

    t.step(
        "The server starts again on the same files, and Alice's program sends the letter again.",
    );
    let server = start()?;
    let mut alice = alice.at(at(server.address())?)?;
    let mut carol = carol.at(at(server.address())?)?;
    let count = alice.account.send_waiting(&mut alice.client).await;
    let sent = t.works("to send it again", count)?;
    let there = format!("{} of {} letters was there already", sent.again, sent.letters);
    t.must_show("server", &there, "1 of 1")?;
    let found = carol.read().await?;
    t.must_show("Carol reads", &found.len().to_string(), "1")?;
    for found in found {
        t.must_show("", &found.to_string(), "letter 1 from alice")?;
    }
    // ANCHOR_END: kill

    // ANCHOR: storm
    t.step(
        "Four people send 25 letters each, all at once. Meanwhile, the server is killed three \
         times.",
    );
    let mut people = Vec::new();
    for number in 0..SENDERS {
        let name = format!("sender-{number}");
        let endpoint = at(server.address())?;
        let path = folder.path().join(&name);
        people.push(Sender { person: Person::register(path, &name, endpoint).await?, kept: 0 });
    }
    let mut server = Some(server);
    let answered = Arc::new(AtomicUsize::new(0));
    for kill in 0..4 {
        let killed = Arc::new(AtomicBool::new(false));
        let mut running = JoinSet::new();
        let address = server.as_ref().context("a server")?.address();
        for Sender { person, kept } in people.drain(..) {
            let sender = Sender { person: person.at(at(address)?)?, kept };
            running.spawn(sender.send_until(killed.clone(), answered.clone()));
        }
        if kill < 3 {
            // When 20, 40, 60 letters are answered: others are under way then.
            while answered.load(Ordering::SeqCst) < 20 * (kill + 1) && !running.is_empty() {
                tokio::select! {
                    Some(ended) = running.join_next() => people.push(ended??),
                    () = tokio::time::sleep(Duration::from_millis(1)) => {}
                }
            }
            server.take().context("a server")?.kill()?;
            killed.store(true, Ordering::SeqCst);
        }
        while let Some(ended) = running.join_next().await {
            people.push(ended??);
        }
        if kill < 3 {
            server = Some(start()?);
        }
    }
    let all =
        people.iter().all(|sender| sender.kept == LETTERS && sender.person.account.waiting() == 0);
    ensure!(all, "in the last round all of them are sent");
    let address = server.as_ref().context("a server")?.address();
    let found = carol.at(at(address)?)?.read().await?;
    // ANCHOR_END: storm
    let letters = |order: Order| {
        let is = |found: &&Found| matches!(found, Found::Letter { order: o, .. } if *o == order);
        found.iter().filter(is).count()
    };
    t.must_show("in order", &letters(Order::Next).to_string(), "100")?;
    t.must_show("late", &letters(Order::Late).to_string(), "0")?;
    let others = found.len() - letters(Order::Next) - letters(Order::Late);
    t.must_show("anything else", &others.to_string(), "0")?;
    t.note(
        "Killing a process isn't a power cut, because the system still writes what it has in memory. \
         The fsync before each answer protects against a power cut, which this lesson doesn't test.",
    );
    Ok(())
}

/// Somebody who sends many letters.
struct Sender {
    person: Person,
    /// Letters that are on the server or wait in the outbox.
    kept: usize,
}

impl Sender {
    /// Until all letters are sent, or the server is killed: an error before that is tried again.
    async fn send_until(
        mut self,
        killed: Arc<AtomicBool>,
        answered: Arc<AtomicUsize>,
    ) -> anyhow::Result<Self> {
        let Self { person, kept } = &mut self;
        let mut failed = 0;
        loop {
            let sent = match (person.account.waiting(), *kept) {
                (0, LETTERS) => return Ok(self),
                // What waited goes first.
                (0, _) => {
                    let text = format!("letter {}", *kept + 1);
                    let sent = person.send("carol", &text).await;
                    *kept +=
                        usize::from(!matches!(sent, Err(SendError { fate: Fate::NotKept, .. })));
                    sent.map_err(|failed| failed.error)
                }
                _ => person.account.send_waiting(&mut person.client).await,
            };
            match sent {
                Ok(_) => {
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                Err(_) if killed.load(Ordering::SeqCst) => return Ok(self),
                Err(error) => {
                    failed += 1;
                    ensure!(
                        failed < 1000,
                        "a thousand errors, the last one: {}",
                        ErrorChain(&error)
                    );
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }
}

/// How a client finds the process: by the CA that it wrote at its start.
fn endpoint(data: &Path, address: std::net::SocketAddr) -> anyhow::Result<Endpoint> {
    let roots = Roots::from_pem_file(data.join("ca.pem"))?;
    let name = ServerName::try_from(LAB_NAME)?;
    let mut endpoint = Endpoint::new(address, name, roots.to_store())?;
    endpoint.pause = Duration::from_millis(20);
    // Not every system tells the peers of a killed process at once. Forty seconds of patience, once
    // after each kill, are more than a part has.
    endpoint.frames.idle = Duration::from_secs(3);
    Ok(endpoint)
}
