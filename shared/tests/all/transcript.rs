//! The narrator's verbs hold their claims: what did not happen is not printed as if it
//! had.

use std::error::Error;
use std::io::{self, Write};

use shared::{Transcript, Wiretap};
use snapshots::Page;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

fn page() -> (Page, Transcript) {
    Page::with_transcript()
}

fn refusal(text: &str) -> Result<(), io::Error> {
    Err(io::Error::other(text.to_owned()))
}

#[test]
fn an_error_where_success_was_claimed_ends_the_lesson() {
    let (page, mut t) = page();
    let error = t.works("Alice logs in", refusal("wrong password")).expect_err("must fail");
    assert_eq!(
        format!("{error:#}"),
        "expected to work, but did not: Alice logs in: wrong password"
    );
    assert_eq!(page.text(), "");
}

#[test]
fn an_acceptance_where_a_refusal_was_claimed_ends_the_lesson() {
    let (page, mut t) = page();
    let error =
        t.refused("the forged message", Ok::<(), io::Error>(()), "forged").expect_err("must fail");
    assert_eq!(error.to_string(), "expected to be refused, but was accepted: the forged message");
    assert_eq!(page.text(), "");
}

#[test]
fn a_refusal_for_another_reason_ends_the_lesson() {
    let (page, mut t) = page();
    let error = t
        .refused("the forged message", refusal("connection refused"), "forged")
        .expect_err("must fail");
    assert!(format!("{error:#}").contains("not for the expected reason \"forged\""), "{error:#}");
    assert_eq!(page.text(), "");
}

#[test]
fn a_refusal_is_printed_with_its_causes() {
    let (page, mut t) = page();
    t.refused("the forged message", refusal("the tag is forged"), "forged").expect("refused");
    let expected = "   refused        the forged message\n   error          the tag is forged\n";
    assert_eq!(page.text(), expected);
}

#[test]
fn an_attack_that_failed_ends_the_lesson() {
    let (page, mut t) = page();
    assert!(t.attack_works("mallory is paid", false).is_err());
    assert_eq!(page.text(), "");
    t.attack_works("mallory is paid", true).expect("it worked");
    assert_eq!(page.text(), "   attack works   mallory is paid\n");
}

#[test]
fn a_long_error_keeps_to_eighty_columns_and_its_words() {
    let (page, mut t) = page();
    let long = "certificate not valid for name \"a.b.example.test\"; ".repeat(4);
    t.refused("it", refusal(&long), "a.b.example.test").expect("refused");
    assert!(page.text().lines().all(|line| line.len() <= 80), "{}", page.text());
    assert_eq!(page.text().matches("a.b.example.test").count(), 4);
}

/// A tap that has seen `text`, and `answer` in the other direction.
async fn tapped(text: &[u8], answer: &[u8]) -> Result<Wiretap, Box<dyn Error>> {
    let server = TcpListener::bind(("127.0.0.1", 0)).await?;
    let tap = Wiretap::listening_to(server.local_addr()?).await?;
    let mut client = TcpStream::connect(tap.address()).await?;
    client.write_all(text).await?;
    client.shutdown().await?;
    let (mut received, _) = server.accept().await?;
    tokio::io::copy(&mut received, &mut tokio::io::sink()).await?;
    received.write_all(answer).await?;
    received.shutdown().await?;
    tokio::io::copy(&mut client, &mut tokio::io::sink()).await?;
    Ok(tap)
}

#[tokio::test]
async fn what_the_wire_shows_and_hides_is_looked_up() -> Result<(), Box<dyn Error>> {
    let wire = tapped(b"LOGIN alice correct-horse", b"OK hello").await?.recording();
    let (page, mut t) = page();
    t.wire_shows(&wire, "the password", "correct-horse")?;
    t.wire_hides(&wire, "the balance", "1000 coins")?;
    assert!(t.wire_shows(&wire, "the balance", "1000 coins").is_err());
    assert!(t.wire_hides(&wire, "the password", "correct-horse").is_err());
    let expected = "   wire shows     the password: \"correct-horse\", client to server\n   wire hides     the balance\n";
    assert_eq!(page.text(), expected);
    Ok(())
}

#[tokio::test]
async fn an_empty_recording_hides_nothing() -> Result<(), Box<dyn Error>> {
    let (_page, mut t) = page();
    for recorded in [tapped(b"", b"").await?, tapped(b"LOGIN alice", b"").await?] {
        let hidden = t.wire_hides(&recorded.recording(), "the password", "correct-horse");
        let error = hidden.expect_err("one direction was not recorded");
        assert!(error.to_string().contains("proves nothing"), "{error}");
    }
    Ok(())
}

/// A disk that is full.
struct Full;

impl Write for Full {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_ends_the_lesson_with_an_error() {
    let mut t = Transcript::to(Full);
    t.step("Nobody can read this.");
    let error = t.attack_works("it", true).expect_err("the step was not written");
    assert!(
        format!("{error:#}").starts_with("cannot write the transcript to standard output: "),
        "{error:#}"
    );
}

#[tokio::test]
async fn a_needle_of_a_few_bytes_hides_by_chance() -> Result<(), Box<dyn Error>> {
    let wire = tapped(b"LOGIN alice", b"OK hello").await?.recording();
    let (_page, mut t) = page();
    assert!(t.wire_hides(&wire, "nothing", "").is_err());
    assert!(t.wire_hides(&wire, "a name", "bob").is_err());
    Ok(())
}

#[test]
fn a_refusal_for_no_reason_at_all_is_no_claim() {
    let (_page, mut t) = page();
    assert!(t.refused("it", refusal("no"), "").is_err());
}
