//! A letter from Alice to Bob, and who saw what of it.

use anyhow::{Context, ensure};
use careful_mailbox::protocol::Name;
use mailbox::lab::log::Log;
use mailbox::lab::stage::{Person, Stage, StageOptions, endpoint};
use shared::tls_records::group_name;
use shared::wiretap::find_bytes;
use shared::{Transcript, Wiretap};

const TEXT: &str = "the key is under the third flowerpot";

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let log = Log::of_this_process();
    let before = log.text().len();
    let stage = Stage::new(StageOptions::default()).await?;
    let tap = Wiretap::listening_to(stage.address()).await?;
    let tapped = || endpoint(&stage.ca, tap.address());
    let folder = |name: &str| stage.folder.path().join(name);

    // ANCHOR: deliver
    t.step(
        "Alice and Bob register, each with a password for the server and a public key for the \
         other.",
    );
    let alice = Person::register(folder("alice"), "alice", tapped()?).await;
    let mut alice = t.works("alice", alice)?;
    let bob = Person::register(folder("bob"), "bob", tapped()?).await;
    let mut bob = t.works("bob", bob)?;

    t.step("Before Alice writes, she asks Bob on the telephone for his fingerprint.");
    let (offered, known) =
        alice.account.fingerprint_of(&mut alice.client, &Name::new("bob")?).await?;
    ensure!(!known, "the first use");
    t.shows("server says", &offered);
    t.must_show("Bob says", &bob.account.own_fingerprint(), &offered)?;
    t.note("The two are equal, so the server gave her Bob's key. Her program pins it from now on.");

    t.step("Alice seals a letter for Bob, and leaves it on the server.");
    t.works("to store the letter", alice.send("bob", TEXT).await)?;
    let database = std::fs::read(stage.database())?;

    t.step("Bob reads the letter, and the server deletes it.");
    for found in t.works("to read it", bob.read().await)? {
        t.must_show("Bob's program", &found.to_string(), TEXT)?;
    }
    ensure!(bob.read().await?.is_empty(), "it is not there any more");
    // ANCHOR_END: deliver

    t.step("Look for each of these in what the tap recorded.");
    let wire = tap.recording();
    let tls = wire.tls(0);
    let hello = tls.client_hello().context("a ClientHello")?;
    t.wire_shows(&wire, "server name", hello.server_name.as_deref().context("SNI")?)?;
    t.wire_shows(&wire, "protocol", hello.alpn.first().context("ALPN")?)?;
    let group = hello.key_shares.first().context("a key share")?.0;
    t.must_show("first choice", &group_name(group), "X25519MLKEM768")?;
    let token = alice.client.token().context("a token")?;
    for (what, bytes) in [
        ("the letter", TEXT),
        ("the password", "the password of alice"),
        ("the token", token.expose()),
        ("the sender's name", "\"name\":\"alice\""),
    ] {
        t.wire_hides(&wire, what, bytes)?;
    }

    t.step("What the server's log says at its most verbose level.");
    let lines = log.text()[before..].to_owned();
    t.shows("requests", log.requests().join(", "));
    for (what, secret) in
        [("the letter", TEXT), ("a password", "the password of"), ("a token", token.expose())]
    {
        let found = if lines.contains(secret) { "in it" } else { "not in it" };
        t.must_show(what, found, "not in it")?;
    }

    t.step("What the database file holds after the letter was stored.");
    t.shows("size", format!("{} KiB", database.len() / 1024));
    for (what, bytes, expected) in [
        ("the letter", TEXT.as_bytes(), "not in it"),
        ("a password", b"the password of", "not in it"),
        ("alice", b"alice", "in it"),
        ("bob", b"bob", "in it"),
    ] {
        let found = if find_bytes(&database, bytes).is_some() { "in it" } else { "not in it" };
        ensure!(found == expected, "{what}: {found}");
        t.must_show(what, found, expected)?;
    }
    t.note(
        "The server knows who writes to whom, when, how often and how much. It doesn't know what \
         they write.",
    );
    Ok(())
}
