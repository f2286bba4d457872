//! Letters that wait or lie unread while the accounts of their senders and readers change.

use careful_mailbox::account::{AccountError, Fate, Found, Order};
use careful_mailbox::protocol::{Refusal, Request, Secret};
use mailbox::lab::stage::{Person, Stage, endpoint};

use crate::common::{TestResult, name, quick, silent_about};

fn letter(from: &str, number: u64, text: &str, order: Order) -> Found {
    Found::Letter { from: name(from), number, text: text.to_owned(), order }
}

/// The same person while the server is down.
fn offline(stage: &Stage, person: Person) -> anyhow::Result<Person> {
    // Nobody listens there: it is the port of discard (RFC 863).
    person.at(endpoint(&stage.ca, "127.0.0.1:9".parse()?)?)
}

#[tokio::test]
async fn each_letter_that_will_never_be_accepted_is_named_and_the_others_are_sent() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    let (mut dave, mut erin) = (stage.person("dave").await?, stage.person("erin").await?);
    for to in ["bob", "dave", "erin"] {
        alice.send(to, "hello").await?;
    }
    let mut alice = offline(&stage, alice)?;
    for to in ["dave", "erin", "bob", "dave"] {
        let kept = alice.send(to, "while the server is down").await.err().ok_or("sent")?;
        assert_eq!(kept.fate, Fate::Kept, "{kept:?}");
    }
    assert_eq!(alice.account.waiting_for()[&name("dave")], 2);
    dave.account.delete(&mut dave.client).await?;
    erin.account.delete(&mut erin.client).await?;

    let mut alice = alice.at(stage.endpoint()?)?;
    let own = alice.send("erin", "one more").await.err().ok_or("erin is gone")?;
    assert_eq!(own.fate, Fate::NotKept);
    let refused = alice.account.take_refused();
    let to: Vec<_> = refused.iter().map(|letter| letter.to.as_str()).collect();
    assert_eq!(to, ["dave", "erin", "dave"], "its own is said by its error");
    let no_account = |error: &AccountError| matches!(error, AccountError::Client(error) if error.is(Refusal::NoAccount));
    assert!(refused.iter().all(|letter| no_account(&letter.error)));
    assert!(alice.account.take_refused().is_empty(), "once");
    assert_eq!(alice.account.waiting(), 0);
    assert_eq!(bob.read().await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn one_sender_with_another_key_keeps_nobody_elses_letters() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    let mut carol = stage.person("carol").await?;
    alice.send("bob", "one").await?;
    bob.read().await?;
    alice.account.change_key(&mut alice.client).await?;
    alice.send("bob", "two").await?;
    carol.send("bob", "hello").await?;
    alice.send("bob", "three").await?;

    let mut reading = bob.account.read(&mut bob.client).await?;
    assert_eq!(reading.found, [letter("carol", 1, "hello", Order::Next)]);
    assert_eq!(reading.looked_at(), 3);
    let left = std::mem::take(&mut reading.left);
    assert_eq!(left.len(), 1, "alice, once");
    assert!(matches!(left[&name("alice")], AccountError::KeyChanged { .. }), "{left:?}");
    bob.account.finish(&mut bob.client, reading).await?;

    let print = alice.account.own_fingerprint();
    bob.account.trust(&mut bob.client, &name("alice"), &print).await?;
    let (two, three) =
        (letter("alice", 2, "two", Order::Next), letter("alice", 3, "three", Order::Next));
    let missing = Found::Missing { from: name("alice"), count: 1 };
    assert_eq!(bob.read().await?, [missing, two, three], "they were left where they were");
    assert!(bob.at(stage.endpoint()?)?.read().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_letter_sealed_before_its_sender_changed_the_key_is_shown_with_a_warning() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    bob.send("alice", "who are you?").await?;
    alice.send("bob", "one").await?;
    alice.account.change_key(&mut alice.client).await?;
    let print = alice.account.own_fingerprint();
    bob.account.trust(&mut bob.client, &name("alice"), &print).await?;
    alice.send("bob", "two").await?;
    let earlier = Found::EarlierKey { from: name("alice") };
    let found = bob.read().await?;
    let one = letter("alice", 1, "one", Order::Next);
    assert_eq!(found[..2], [earlier, one]);
    assert_eq!(found.last(), Some(&letter("alice", 2, "two", Order::Next)));
    Ok(())
}

#[tokio::test]
async fn the_old_key_stays_while_letters_sealed_with_it_wait() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    alice.send("bob", "one").await?;
    let mut alice = offline(&stage, alice)?;
    assert!(alice.send("bob", "two").await.is_err());
    let mut alice = alice.at(stage.endpoint()?)?;
    let print = alice.account.own_fingerprint();
    let refused = alice.account.change_key(&mut alice.client).await;
    assert!(matches!(refused, Err(AccountError::LettersWait(1))), "{refused:?}");
    assert_eq!(alice.account.own_fingerprint(), print);
    let served = bob.account.fingerprint_of(&mut bob.client, &name("alice")).await?.0;
    assert_eq!(served, print, "the server was not asked");
    alice.account.send_waiting(&mut alice.client).await?;
    alice.account.change_key(&mut alice.client).await?;

    let mut alice = offline(&stage, alice)?;
    assert!(alice.send("bob", "lost on purpose").await.is_err());
    assert_eq!(alice.account.drop_waiting()?, 1);
    let mut alice = alice.at(stage.endpoint()?)?;
    assert_eq!(alice.account.waiting(), 0, "on the disk, too");
    alice.account.change_key(&mut alice.client).await?;
    Ok(())
}

/// A letter that is sealed by the old key after the server has taken the new one could not be opened.
#[tokio::test]
async fn nothing_is_sealed_while_it_is_not_known_which_key_the_server_has() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    bob.send("alice", "hello").await?;
    alice.send("bob", "one").await?;
    let change = |request: &Request| matches!(request, Request::ChangeKey { .. });
    let (_spy, mut alice) = silent_about(&stage, alice, change).await?;
    let unknown = alice.account.change_key(&mut alice.client).await.err().ok_or("lost")?;
    assert!(unknown.may_have_been_done(), "{unknown:?}");

    let mut alice = offline(&stage, alice)?;
    let failed = alice.send("bob", "two").await.err().ok_or("sent")?;
    assert_eq!(failed.fate, Fate::NotKept);
    assert!(matches!(failed.error, AccountError::Unsettled(_)), "{failed:?}");
    let mut alice = alice.at(stage.endpoint()?)?;
    alice.send("bob", "two").await?;
    let print = alice.account.own_fingerprint();
    bob.account.trust(&mut bob.client, &name("alice"), &print).await?;
    let found = bob.read().await?;
    assert_eq!(found.last(), Some(&letter("alice", 2, "two", Order::Next)));
    let warned = found.iter().filter(|found| matches!(found, Found::EarlierKey { .. })).count();
    assert_eq!(warned, 1, "of the first letter only: {found:?}");
    Ok(())
}

/// A password that isn't settled seals nothing, so the letter waits as any other.
#[tokio::test]
async fn a_letter_is_kept_while_the_password_is_not_settled() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, _bob) = (stage.person("alice").await?, stage.person("bob").await?);
    alice.send("bob", "one").await?;
    let change = |request: &Request| matches!(request, Request::ChangePassword { .. });
    let (_spy, mut alice) = silent_about(&stage, alice, change).await?;
    let new = Secret::new("another password of alice");
    assert!(alice.account.change_password(&mut alice.client, new).await.is_err());
    let mut alice = offline(&stage, alice)?;
    let kept = alice.send("bob", "two").await.err().ok_or("sent")?;
    assert_eq!(kept.fate, Fate::Kept);
    let mut alice = alice.at(stage.endpoint()?)?;
    assert_eq!(alice.send("bob", "three").await?.letters, 2, "with the password that was settled");
    Ok(())
}

#[tokio::test]
async fn a_letter_of_a_deleted_account_is_opened_by_its_pinned_key() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    let mut carol = stage.person("carol").await?;
    alice.send("bob", "one").await?;
    bob.read().await?;
    alice.send("bob", "goodbye").await?;
    alice.send("carol", "goodbye").await?;
    alice.account.delete(&mut alice.client).await?;
    assert_eq!(bob.read().await?, [letter("alice", 2, "goodbye", Order::Next)]);
    assert_eq!(carol.read().await?, [Found::NoSender { from: name("alice") }]);
    Ok(())
}

#[tokio::test]
async fn a_mailbox_of_several_pages_is_read_to_its_end() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let (mut alice, mut bob) = (stage.person("alice").await?, stage.person("bob").await?);
    // A frame has room for some 13 of these.
    let text = "x".repeat(7_000);
    for _ in 0..20 {
        alice.send("bob", &text).await?;
    }
    let (mut pages, mut letters) = (0, 0);
    loop {
        let reading = bob.account.read(&mut bob.client).await?;
        let more = reading.more;
        letters += reading.found.len();
        pages += 1;
        bob.account.finish(&mut bob.client, reading).await?;
        if !more {
            break;
        }
    }
    assert_eq!(letters, 20);
    assert!(pages > 1, "{pages}");
    Ok(())
}

#[tokio::test]
async fn a_request_that_was_refused_is_not_sent_again() -> TestResult {
    let stage = Stage::new(quick()).await?;
    let mut alice = stage.person("alice").await?;
    let requests =
        || stage.server.service().counters().requests.load(std::sync::atomic::Ordering::SeqCst);
    let before = requests();
    let wrong =
        Request::LogIn { name: name("alice"), password: Secret::new("not the password of alice") };
    let refused = alice.client.call_repeatedly(&wrong).await;
    assert_eq!(crate::common::refusal(refused), Some(Refusal::Unauthorized));
    assert_eq!(requests(), before + 1, "one guess is counted, not three");
    Ok(())
}
