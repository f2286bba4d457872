//! A foreign peer: a Python client on the same open wire.

use std::error::Error;

use open_wire::lab::bank::Bank;
use open_wire::lab::ledger::Ledger;
use peers::Peer;
use shared::Wiretap;

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_reads_the_password_of_a_python_client_too() -> Result<(), Box<dyn Error>> {
    let Some(python) = Peer::python("socket") else { return Ok(()) };
    let accounts = Ledger::default().open("alice", "correct-horse", 100).open("bob", "", 0);
    let bank = Bank::open(accounts, None).await?;
    let tap = Wiretap::listening_to(bank.address()).await?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/plain_client.py");
    let port = tap.address().port().to_string();
    let paid = python.run([script, &port, "alice", "correct-horse", "25", "bob"]);
    let said: Vec<&str> = paid.said.lines().collect();
    assert_eq!((paid.code, said), (Some(0), vec!["OK hello alice", "OK paid 25 to bob"]));
    assert!(tap.recording().find(b"LOGIN alice correct-horse").is_some());
    assert_eq!(bank.balance("bob"), 25);
    Ok(())
}

#[cfg(unix)]
#[test]
fn the_line_that_serve_prints_works_in_a_shell() {
    let Some(python) = Peer::python("socket") else { return };
    let served = peers::Served::start(env!("CARGO_BIN_EXE_lesson-0"), &[]);
    let paid = served.run(served.line_of("python3"), &python, "");
    assert_eq!(paid.said, "OK hello alice\nOK paid 25 to bob\n");
}
