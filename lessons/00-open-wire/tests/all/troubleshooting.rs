//! "When it does not work": every error of the chapter's list, made by a run.

use std::error::Error;

use open_wire::lab::bank::Bank;
use open_wire::lab::client::BankClient;
use open_wire::lab::ledger::Ledger;
use open_wire::lab::tls;
use shared::wiretap::{Action, Framing};
use shared::{ClosedPort, LabCa, Wiretap};
use snapshots::Page;
use snapshots::settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn accounts() -> Ledger {
    Ledger::default().open("alice", "correct-horse", 100)
}

#[tokio::test]
async fn every_error_of_the_list_is_made_by_a_run() -> Result<(), Box<dyn Error>> {
    let (page, mut t) = Page::with_transcript();
    let mut bank = Bank::open(accounts(), None).await?;

    t.step("Nothing listens there.");
    let closed = ClosedPort::new()?;
    t.refused("at the client", TcpStream::connect(closed.address()?).await, "efused")?;
    t.shows("fix", "Start the server, and check that both ends use the same port.");

    t.step("A wrong name or password.");
    let mut client = BankClient::new(TcpStream::connect(bank.address()).await?);
    t.refused(
        "at the client",
        client.log_in("alice", "wrong").await,
        "unknown name or wrong password",
    )?;
    t.shows("fix", "Check both, because the bank doesn't say which of the two is wrong.");
    client.close().await?;
    bank.outcome().await?;

    t.step("A line that is too long.");
    let mut stranger = TcpStream::connect(bank.address()).await?;
    stranger.write_all(&[b'A'; 300]).await?;
    t.refused("at the bank", bank.outcome().await, "at most 256 bytes")?;
    t.shows(
        "fix",
        "Send shorter lines. If your protocol needs longer ones, raise the server's limit.",
    );

    t.step("A client that goes away in the middle of a line.");
    let mut stranger = TcpStream::connect(bank.address()).await?;
    stranger.write_all(b"LOGIN ali").await?;
    stranger.shutdown().await?;
    t.refused("at the bank", bank.outcome().await, "in the middle of a line")?;
    t.shows("fix", "Nothing to do on the server. The client should send whole lines, then close.");
    stranger.read_to_end(&mut Vec::new()).await?;

    t.step("A connection that ends without an answer.");
    let cut = Wiretap::attacking(bank.address(), Framing::Lines, |_line| Action::Cut).await?;
    let mut client = BankClient::new(TcpStream::connect(cut.address()).await?);
    t.refused("at the client", client.log_in("alice", "correct-horse").await, "without an answer")?;
    t.shows(
        "fix",
        "Look in the server's log. If it didn't end the connection, somebody on the wire did.",
    );
    let _ended = bank.outcome().await;

    t.step("A client that does not speak TLS, and a server that does.");
    let ca = LabCa::new("Course Lab")?;
    let config = tls::server(&ca.leaf(tls::BANK).issue()?)?;
    let mut secure = Bank::open(accounts(), Some(config)).await?;
    let mut client = BankClient::new(TcpStream::connect(secure.address()).await?);
    // What the client sees depends on which comes first, the alert or the end: it is no
    // line of text.
    assert!(client.log_in("alice", "correct-horse").await.is_err());
    t.refused("at the bank", secure.outcome().await, "InvalidContentType")?;
    t.shows("fix", "Wrap the client's stream in TLS.");

    settings(env!("CARGO_MANIFEST_DIR"), &[])
        .bind(|| insta::assert_snapshot!("troubleshooting", page.text()));
    Ok(())
}
