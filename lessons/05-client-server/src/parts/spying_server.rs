//! The server is the attacker.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::ensure;
use careful_encryption::public_key::KeyPair;
use careful_mailbox::account::Found;
use careful_mailbox::protocol::{Bytes, Delivery, MessageId, Name, Request, Response};
use careful_mailbox::sealed::{fingerprint, open};
use mailbox::lab::spy::{Spy, Tamper};
use mailbox::lab::stage::{Person, Stage, StageOptions, endpoint};
use shared::Transcript;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let stage = Stage::new(StageOptions::default()).await?;
    let bob = stage.person("bob").await?;
    let (alice_name, bob_name) = (Name::new("alice")?, Name::new("bob")?);

    // ANCHOR: first_use
    t.step(
        "Alice has never written to Bob. The server gives her a key of its own instead of Bob's.",
    );
    let servers = Arc::new(KeyPair::random());
    let swapped = servers.public().to_bytes();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let (put, keep) = (swapped.clone(), kept.clone());
    let spy = spy(&stage, move |request, answer| match (request, answer) {
        (Request::Key { name, .. }, Response::Key { name: answered, .. })
            if name.as_str() == "bob" =>
        {
            Response::Key { name: answered, key: Bytes(put.clone()) }
        }
        (Request::Send { id, sealed, .. }, answer) => {
            lock(&keep).push((*id, sealed.0.clone()));
            answer
        }
        (_, answer) => answer,
    })
    .await?;
    let folder = stage.folder.path().join("alice");
    let at_spy = endpoint(&stage.ca, spy.address())?;
    let mut alice = Person::register(folder, "alice", at_spy.clone()).await?;
    alice.send("bob", "meet me at nine").await?;
    let (id, sealed) = lock(&kept).remove(0);
    let alices = public_of(&mut alice, &alice_name).await?;
    let read = open((&bob_name, &servers), (&alice_name, &alices), id, &sealed);
    t.attack_works(
        "the server reads her letter",
        read.is_ok_and(|letter| letter.text == "meet me at nine"),
    )?;
    t.shows("pinned", fingerprint(&bob_name, &servers.public()));
    t.shows("Bob's own", bob.account.own_fingerprint());
    t.note(
        "Only comparing fingerprints reveals this, by telephone or on paper, but not through this \
         mailbox.",
    );
    // ANCHOR_END: first_use

    // ANCHOR: changed
    t.step("Carol has written to Bob before. The server tries the same with her.");
    let mut carol = stage.person("carol").await?;
    carol.send("bob", "hello").await?;
    let mut carol = carol.at(at_spy)?;
    t.refused("to send", carol.send("bob", "again").await, "HAS CHANGED")?;
    // ANCHOR_END: changed

    t.step("Alice has compared, and now trusts Bob's own key. She writes four letters to Bob.");
    let mut alice = alice.at(stage.endpoint()?)?;
    let compared = bob.account.own_fingerprint();
    alice.account.trust(&mut alice.client, &bob_name, &compared).await?;
    // Letter 1 was sealed for the server's key.
    let mut bob = bob;
    let found = bob.read().await?;
    expect(t, &found, &["claims to be from alice but isn't", "1 from carol: hello"])?;
    for text in ["monday", "tuesday", "wednesday", "thursday"] {
        alice.send("bob", text).await?;
    }

    t.step("The server swaps the first two letters.");
    let swap = |messages: &mut Vec<Delivery>| messages.swap(0, 1);
    let expected = [
        "2 letters from alice are missing",
        "3 from alice: tuesday",
        "2 from alice, late",
        "wednesday",
        "thursday",
    ];
    let bob = show(t, &stage, bob, swap, &expected).await?;

    t.step(
        "Alice writes friday and saturday. The server drops friday, and delivers thursday again.",
    );
    alice.send("bob", "friday").await?;
    alice.send("bob", "saturday").await?;
    let old = lock(&SEEN).clone();
    let repeat = move |messages: &mut Vec<Delivery>| {
        if let (Some(first), Some(last)) = (messages.first_mut(), old.last()) {
            (first.id, first.sealed) = (last.id, last.sealed.clone());
        }
    };
    let expected = ["letter 5 from alice came again", "missing", "7 from alice: saturday"];
    let bob = show(t, &stage, bob, repeat, &expected).await?;

    t.step(
        "Alice writes sunday. The server says that Mallory did, and gives Alice's key as \
         Mallory's.",
    );
    alice.send("bob", "sunday").await?;
    let mallory = Name::new("mallory")?;
    let rename = move |messages: &mut Vec<Delivery>| {
        messages.iter_mut().for_each(|message| message.from = mallory.clone());
    };
    let expected = ["claims to be from mallory but isn't"];
    let alices = alices.to_bytes();
    let bob = show_with_key(t, &stage, bob, Some(alices), rename, &expected).await?;

    t.step("Alice writes easter. The server gives the letter another letter's id.");
    alice.send("bob", "easter").await?;
    let relabel = |messages: &mut Vec<Delivery>| {
        messages.iter_mut().for_each(|message| message.id = MessageId([7; 16]));
    };
    let expected = ["claims to be from alice but isn't"];
    let bob = show(t, &stage, bob, relabel, &expected).await?;

    t.step("Alice writes january. The server tells Bob that there are no letters.");
    alice.send("bob", "january").await?;
    let bob = show(t, &stage, bob, Vec::clear, &[]).await?;

    t.step("Alice writes february, and the server delivers it.");
    alice.send("bob", "february").await?;
    let drop_first = |messages: &mut Vec<Delivery>| drop(messages.drain(..1));
    let expected = ["3 letters from alice are missing", "letter 11 from alice: february"];
    show(t, &stage, bob, drop_first, &expected).await?;
    t.note("Nobody notices a letter that never arrives, until a later letter does.");
    Ok(())
}

/// What passed the spy: to be delivered again.
static SEEN: Mutex<Vec<Delivery>> = Mutex::new(Vec::new());

/// Bob reads through a server that changes what it delivers.
async fn show(
    t: &mut Transcript,
    stage: &Stage,
    bob: Person,
    change: impl Fn(&mut Vec<Delivery>) + Send + Sync + 'static,
    expected: &[&str],
) -> anyhow::Result<Person> {
    show_with_key(t, stage, bob, None, change, expected).await
}

/// The same, and it gives `key` as everybody's.
async fn show_with_key(
    t: &mut Transcript,
    stage: &Stage,
    bob: Person,
    key: Option<Vec<u8>>,
    change: impl Fn(&mut Vec<Delivery>) + Send + Sync + 'static,
    expected: &[&str],
) -> anyhow::Result<Person> {
    let spy = spy(stage, move |request, answer| match answer {
        Response::Messages { mut messages, more } if !messages.is_empty() => {
            *lock(&SEEN) = messages.clone();
            let numbers: Vec<u64> = messages.iter().map(|message| message.number).collect();
            change(&mut messages);
            // The numbers of the mailbox are the server's own: they are in order.
            for (message, number) in messages.iter_mut().zip(numbers) {
                message.number = number;
            }
            Response::Messages { messages, more }
        }
        answer => match (request, &key) {
            (Request::Key { name, .. }, Some(key)) => {
                Response::Key { name: name.clone(), key: Bytes(key.clone()) }
            }
            _ => answer,
        },
    })
    .await?;
    let mut bob = bob.at(endpoint(&stage.ca, spy.address())?)?;
    let found = bob.read().await?;
    expect(t, &found, expected)?;
    Ok(bob)
}

/// What Bob's program says, line by line.
fn expect(t: &mut Transcript, found: &[Found], expected: &[&str]) -> anyhow::Result<()> {
    ensure!(found.len() == expected.len(), "expected {expected:?}, got {found:?}");
    if found.is_empty() {
        t.shows("Bob's program", "nothing new");
    }
    for (found, expected) in found.iter().zip(expected) {
        t.must_show("Bob's program", &found.to_string(), expected)?;
    }
    Ok(())
}

async fn spy(
    stage: &Stage,
    tamper: impl Fn(&Request, Response) -> Response + Send + Sync + 'static,
) -> anyhow::Result<Spy> {
    let tamper: Tamper = Arc::new(tamper);
    Spy::before(stage, tamper).await
}

async fn public_of(
    person: &mut Person,
    name: &Name,
) -> anyhow::Result<careful_encryption::public_key::PublicKey> {
    let request = |token| Request::Key { token, name: name.clone() };
    let answer = person.client.call_with_token(request).await?;
    let Response::Key { key, .. } = answer else { anyhow::bail!("expected a key") };
    ensure!(key.0.len() == 32, "a key of X25519");
    Ok(careful_encryption::public_key::PublicKey::from_bytes(&key.0)?)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
