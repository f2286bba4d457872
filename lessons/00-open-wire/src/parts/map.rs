//! The four attacks again, against the same bank over TLS 1.3; then what each lesson
//! gives.

use anyhow::{Context, ensure};
use open_wire::lab::bank::{Bank, FalseBank};
use open_wire::lab::client::BankClient;
use open_wire::lab::tls;
use shared::wiretap::{Action, Framing, replay};
use shared::{Direction, LabCa, Transcript, Wiretap};
use std::net::SocketAddr;
use tokio::net::TcpStream;

use super::{PASSWORD, PATIENCE, accounts};

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let ca = LabCa::new("Course Lab")?;
    let config = tls::server(&ca.leaf(tls::BANK).issue()?)?;

    t.step("Listen. Alice pays Bob over TLS 1.3, and a tap records.");
    let mut bank = Bank::open(accounts(), Some(config.clone())).await?;
    let tap = Wiretap::listening_to(bank.address()).await?;
    t.works("Alice logs in and pays 25 coins to bob", alice_pays_bob(&ca, tap.address()).await)?;
    bank.outcome().await?;
    let wire = tap.recording();
    t.wire_hides(&wire, "the password", PASSWORD)?;
    t.wire_hides(&wire, "the payment", "PAY 25 bob")?;
    t.wire_shows(&wire, "the name that Alice asked for", tls::BANK)?;

    t.step("Tamper. A relay flips one bit of the record that holds the payment.");
    let mut tampered = Bank::open(accounts(), Some(config)).await?;
    let relay = Wiretap::attacking(tampered.address(), Framing::TlsRecords, |record| {
        // Alice's records: ClientHello, ChangeCipherSpec, Finished, LOGIN, PAY.
        match (record.direction, record.index, record.bytes) {
            (Direction::ToServer, 4, [start @ .., last]) => {
                Action::Replace([start, &[last ^ 1]].concat())
            }
            _ => Action::Pass,
        }
    })
    .await?;
    t.refused("by Alice's client", alice_pays_bob(&ca, relay.address()).await, "BadRecordMac")?;
    t.refused("by the bank", tampered.outcome().await, "cannot decrypt peer's message")?;
    ensure!(tampered.balance("alice") == 100, "Alice paid nothing");
    t.shows("alice has", format!("{} coins", tampered.balance("alice")));

    t.step("Replay. Bob sends the recorded bytes to the bank again.");
    let recorded = &wire.connections.first().context("nothing recorded")?.to_server;
    replay(bank.address(), recorded, PATIENCE).await?;
    t.refused("by the bank", bank.outcome().await, "cannot decrypt peer's message")?;
    ensure!(bank.balance("alice") == 75, "Alice paid once");
    t.shows("alice has", format!("{} coins", bank.balance("alice")));

    t.step(
        "Impersonate. The false bank shows a certificate for bank.test, which Mallory's own CA \
         signed.",
    );
    let forged = LabCa::new("Mallory")?.leaf(tls::BANK).issue()?;
    let false_bank = FalseBank::open(Some(tls::server(&forged)?)).await?;
    t.refused(
        "by Alice's client",
        alice_pays_bob(&ca, false_bank.address()).await,
        "UnknownIssuer",
    )?;
    let diary = format!("{} lines", false_bank.diary().len());
    t.must_show("written down", &diary, "0 lines")?;

    t.step("The map: the guarantee that each attack breaks, and the lessons that restore it.");
    t.table(&[
        ["attack", "guarantee", "on the wire", "beyond the wire"],
        ["listen", "confidentiality", "lessons 1, 2", "lesson 3: encrypted data"],
        ["tamper", "integrity", "lessons 1, 2", "lesson 3: authenticated data"],
        ["replay", "freshness", "lessons 1, 2", "lessons 4, 5: tokens, messages"],
        ["impersonate", "authenticity", "lessons 1, 2", "lesson 4: who the client is"],
    ]);

    t.step("What no lesson can give you.");
    t.shows(
        "endpoints",
        "TLS protects only the wire. Somebody who steals the laptop reads everything.",
    );
    t.shows(
        "metadata",
        format!("The tap saw who talks, when and how much: {} recorded bytes.", wire.len()),
    );
    t.shows("availability", "Mallory can still cut the wire. TLS makes the cut visible.");
    t.shows("authorization", "Whether Alice may pay Bob is the bank's decision, not the wire's.");
    Ok(())
}

/// Alice logs in and pays Bob 25 coins, over TLS with the bank whose CA she trusts.
async fn alice_pays_bob(ca: &LabCa, address: SocketAddr) -> anyhow::Result<()> {
    let tcp = TcpStream::connect(address).await?;
    let mut alice = BankClient::new(tls::connect(ca.roots(), tcp).await?);
    alice.log_in("alice", PASSWORD).await?;
    alice.pay(25, "bob").await?;
    alice.close().await?;
    Ok(())
}
