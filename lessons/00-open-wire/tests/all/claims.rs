//! The claims of lesson 0: each attack works on the open wire, and fails over TLS.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use open_wire::lab::bank::{Bank, FalseBank};
use open_wire::lab::client::{BankClient, ClientError};
use open_wire::lab::ledger::Ledger;
use open_wire::lab::tls;
use shared::wiretap::{Action, Framing, replace_bytes, replay};
use shared::{LabCa, Wiretap};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type TestResult = Result<(), Box<dyn Error>>;

const PATIENCE: Duration = Duration::from_secs(5);

fn accounts() -> Ledger {
    Ledger::default().open("alice", "a-password", 100).open("bob", "b-password", 0)
}

/// Logs in and pays Bob 25 coins: over TLS, if a CA is given to trust.
async fn pay(address: std::net::SocketAddr, ca: Option<&LabCa>) -> anyhow::Result<()> {
    let tcp = TcpStream::connect(address).await?;
    match ca {
        None => pay_on(tcp).await,
        Some(ca) => pay_on(tls::connect(ca.roots(), tcp).await?).await,
    }
}

async fn pay_on(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
) -> anyhow::Result<()> {
    let mut client = BankClient::new(stream);
    client.log_in("alice", "a-password").await?;
    client.pay(25, "bob").await?;
    Ok(client.close().await?)
}

async fn bank_over_tls(ca: &LabCa) -> Result<Bank, Box<dyn Error>> {
    Ok(Bank::open(accounts(), Some(tls::server(&ca.leaf(tls::BANK).issue()?)?)).await?)
}

#[tokio::test]
async fn the_password_crosses_the_open_wire() -> TestResult {
    let bank = Bank::open(accounts(), None).await?;
    let tap = Wiretap::listening_to(bank.address()).await?;
    pay(tap.address(), None).await?;
    assert!(tap.recording().find(b"a-password").is_some());
    Ok(())
}

#[tokio::test]
async fn the_password_never_crosses_the_wire_over_tls() -> TestResult {
    let ca = LabCa::new("Lab")?;
    let bank = bank_over_tls(&ca).await?;
    let tap = Wiretap::listening_to(bank.address()).await?;
    pay(tap.address(), Some(&ca)).await?;
    let wire = tap.recording();
    assert!(wire.len() > 1000, "something was recorded");
    assert_eq!(wire.find(b"a-password"), None);
    assert_eq!(bank.balance("bob"), 25);
    Ok(())
}

#[tokio::test]
async fn a_relay_changes_the_amount_on_the_open_wire() -> TestResult {
    let bank = Bank::open(accounts(), None).await?;
    let relay = Wiretap::attacking(bank.address(), Framing::Lines, |line| {
        replace_bytes(line.bytes, b"PAY 25 ", b"PAY 99 ").map_or(Action::Pass, Action::Replace)
    })
    .await?;
    pay(relay.address(), None).await?;
    assert_eq!(bank.balance("bob"), 99);
    Ok(())
}

#[tokio::test]
async fn a_flipped_bit_in_a_record_of_the_client_is_refused_over_tls() -> TestResult {
    let ca = LabCa::new("Lab")?;
    // Each record of the client in turn, but for ChangeCipherSpec (1), which TLS 1.3
    // ignores.
    for target in [0, 2, 3, 4] {
        let bank = bank_over_tls(&ca).await?;
        let relay = Wiretap::attacking(bank.address(), Framing::TlsRecords, move |record| {
            let mut bytes = record.bytes.to_vec();
            if record.direction == shared::Direction::ToServer
                && record.index == target
                && let Some(last) = bytes.last_mut()
            {
                *last ^= 1;
            }
            Action::Replace(bytes)
        })
        .await?;
        assert!(pay(relay.address(), Some(&ca)).await.is_err(), "record {target}");
        assert_eq!(bank.balance("bob"), 0, "record {target}");
    }
    Ok(())
}

#[tokio::test]
async fn a_replay_pays_again_on_the_open_wire_and_not_over_tls() -> TestResult {
    let ca = LabCa::new("Lab")?;
    for (trusted, left) in [(None, 50), (Some(&ca), 75)] {
        let mut bank = match trusted {
            None => Bank::open(accounts(), None).await?,
            Some(ca) => bank_over_tls(ca).await?,
        };
        let tap = Wiretap::listening_to(bank.address()).await?;
        pay(tap.address(), trusted).await?;
        bank.outcome().await?;
        let recorded = tap.recording().connections[0].to_server.clone();
        replay(bank.address(), &recorded, PATIENCE).await?;
        assert_eq!(bank.outcome().await.is_ok(), trusted.is_none());
        assert_eq!(bank.balance("alice"), left);
    }
    Ok(())
}

#[tokio::test]
async fn a_false_bank_gets_the_password_on_the_open_wire_and_not_over_tls() -> TestResult {
    let open = FalseBank::open(None).await?;
    pay(open.address(), None).await?;
    assert_eq!(open.diary(), ["LOGIN alice a-password", "PAY 25 bob"]);

    let ca = LabCa::new("Lab")?;
    // A CA of the same name, a certificate for the same name: only the key is another.
    let forged = LabCa::new("Lab")?.leaf(tls::BANK).issue()?;
    let mut false_bank = FalseBank::open(Some(tls::server(&forged)?)).await?;
    assert!(pay(false_bank.address(), Some(&ca)).await.is_err());
    assert!(false_bank.outcome().await.is_err());
    assert!(false_bank.diary().is_empty());
    Ok(())
}

/// The lesson's server is a server: what strangers send ends their own connection only.
#[tokio::test]
async fn hostile_lines_are_refused_and_an_honest_client_is_served() -> TestResult {
    let mut bank = Bank::open(accounts(), None).await?;
    for hostile in
        [&b"\xff\xfe\n"[..], &[b'A'; 4096], b"LOGIN alice", b"\x16\x03\x01\x02\x00\x01\n"]
    {
        let mut stream = TcpStream::connect(bank.address()).await?;
        stream.write_all(hostile).await?;
        stream.shutdown().await?;
        let _reset_or_answer = stream.read_to_end(&mut Vec::new()).await;
        let outcome = bank.outcome().await;
        assert!(outcome.is_err() || hostile[0] == 0x16, "{hostile:?}: {outcome:?}");
    }
    pay(bank.address(), None).await?;
    assert_eq!(bank.balance("bob"), 25);
    Ok(())
}

#[tokio::test]
async fn the_bank_refuses_what_it_must() -> TestResult {
    let bank = Bank::open(accounts(), None).await?;
    let mut client = BankClient::new(TcpStream::connect(bank.address()).await?);
    let refused = |answer: Result<String, ClientError>| match answer {
        Err(ClientError::Refused(why)) => why,
        other => panic!("expected a refusal, got {other:?}"),
    };
    assert_eq!(refused(client.pay(1, "bob").await), "expected LOGIN before PAY");
    assert_eq!(refused(client.log_in("alice", "wrong").await), "unknown name or wrong password");
    assert_eq!(refused(client.log_in("nobody", "wrong").await), "unknown name or wrong password");
    client.log_in("alice", "a-password").await?;
    assert_eq!(refused(client.pay(101, "bob").await), "not enough coins");
    assert_eq!(refused(client.pay(1, "nobody").await), "no account of that name to pay to");
    client.pay(7, "alice").await?;
    assert_eq!(bank.balance("alice"), 100);
    Ok(())
}

#[test]
fn a_tls_key_of_another_certificate_is_refused_at_the_start() -> TestResult {
    let ca = LabCa::new("Lab")?;
    let (one, other) = (ca.leaf(tls::BANK).issue()?, ca.leaf(tls::BANK).issue()?);
    let mixed = rustls::ServerConfig::builder_with_provider(shared::crypto_provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(one.chain(), other.key());
    assert!(mixed.map(Arc::new).is_err());
    Ok(())
}
