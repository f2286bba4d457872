//! The parts of this lesson, in the order of its chapter, and the stage that they share.

pub mod impersonate;
pub mod listen;
pub mod map;
pub mod replay;
pub mod tamper;

use std::net::SocketAddr;
use std::time::Duration;

use open_wire::lab::client::BankClient;
use open_wire::lab::ledger::Ledger;
use shared::Transcript;
use tokio::net::TcpStream;

/// Alice's password, which she keeps to herself.
pub const PASSWORD: &str = "correct-horse-battery";

/// How long a replay waits for the bank to answer and close.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Alice has 100 coins; Bob and Mallory have none.
pub fn accounts() -> Ledger {
    Ledger::default().open("alice", PASSWORD, 100).open("bob", "bobs-secret", 0).open(
        "mallory",
        "mallorys-secret",
        0,
    )
}

// ANCHOR: alice
/// Alice logs in and pays Bob 25 coins, over plain TCP.
pub async fn alice_pays_bob(t: &mut Transcript, bank: SocketAddr) -> anyhow::Result<()> {
    let mut alice = BankClient::new(TcpStream::connect(bank).await?);
    let greeting = t.works("Alice logs in", alice.log_in("alice", PASSWORD).await)?;
    t.shows("alice reads", greeting);
    let receipt = t.works("Alice pays 25 coins to bob", alice.pay(25, "bob").await)?;
    t.shows("alice reads", receipt);
    alice.close().await?;
    Ok(())
}
// ANCHOR_END: alice
