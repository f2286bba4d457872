//! The renewer with another source: an ACME server (RFC 8555), for which Debian's `pebble` is the foreign peer.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, ensure};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use careful_certificates::leaf::Leaf;
use careful_services::credentials::{Credentials, Trust};
use careful_services::reload::Reloading;
use careful_services::renew::{Obtain, Renewal, SystemClock, keep_valid};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, OrderStatus,
    RetryPolicy,
};
use peers::{ForeignServer, Peer};
use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use services::lab::client::{Connection, with};
use services::lab::pki::{credentials, now, trust};
use services::lab::service::{Ledger, config};
use services::lab::{CHECKOUT, LEDGER, LEDGER_NAME};
use shared::LabCa;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

type TestResult = Result<(), Box<dyn Error>>;

// ANCHOR: obtain
/// What to answer to GET `/.well-known/acme-challenge/TOKEN` on port 80, by token.
type Answers = Arc<Mutex<HashMap<String, String>>>;

/// Certificates for one DNS name from an ACME server (RFC 8555), by the challenge http-01.
struct Acme {
    account: Account,
    name: String,
    answers: Answers,
}

impl Obtain for Acme {
    type Error = anyhow::Error;

    async fn obtain(&self) -> anyhow::Result<Credentials> {
        let names = [Identifier::Dns(self.name.clone())];
        let mut order = self.account.new_order(&NewOrder::new(&names)).await?;
        // Those of earlier orders.
        self.answers().clear();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            // From an earlier order.
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let challenge = authorization.challenge(ChallengeType::Http01);
            let mut challenge = challenge.context("the server doesn't offer http-01")?;
            let answer = challenge.key_authorization().as_str().to_owned();
            self.answers().insert(challenge.token.clone(), answer);
            challenge.set_ready().await?;
        }
        let status = order.poll_ready(&RetryPolicy::default()).await?;
        ensure!(status == OrderStatus::Ready, "the order is {status:?}");
        let key = KeyPair::generate()?;
        let request = CertificateParams::new([self.name.clone()])?.serialize_request(&key)?;
        order.finalize_csr(request.der()).await?;
        let chain = order.poll_certificate(&RetryPolicy::default()).await?;
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>()?;
        Ok(Credentials { chain, key: key.into() })
    }
}
// ANCHOR_END: obtain

impl Acme {
    fn answers(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// ANCHOR: answer
/// The page that the ACME server reads.
async fn answer(
    State(answers): State<Answers>,
    Path(token): Path<String>,
) -> Result<String, StatusCode> {
    let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    answers.get(&token).cloned().ok_or(StatusCode::NOT_FOUND)
}
// ANCHOR_END: answer

/// A pebble that looks up every name at 127.0.0.1, and asks there.
struct Pebble {
    _dns: ForeignServer,
    _acme: ForeignServer,
    account: Account,
    /// Those who believe its root.
    trust: Trust,
    /// Where it asks, in place of port 80.
    port: u16,
}

impl Pebble {
    /// None, if this machine has none.
    async fn start(ca: &LabCa) -> Result<Option<Self>, Box<dyn Error>> {
        let (Some(pebble), Some(dns), Some(curl)) =
            (Peer::pebble(), Peer::pebble_dns(), Peer::curl())
        else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("ca.pem"), ca.root_pem())?;
        ca.leaf("localhost").issue()?.write_to(folder.path())?;
        let [dns_port, dns_management, acme, management, port, tls] = peers::free_ports()?;
        let at = |port: u16| format!("127.0.0.1:{port}");
        let config = format!(
            r#"{{"pebble": {{"listenAddress": "{}", "managementListenAddress": "{}",
                "certificate": "chain.pem", "privateKey": "key.pem",
                "httpPort": {port}, "tlsPort": {tls}}}}}"#,
            at(acme),
            at(management),
        );
        std::fs::write(folder.path().join("pebble.json"), config)?;
        // No IPv6, and no other challenges.
        let off = ["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""];
        let mut command = dns.command(off);
        command.args(["-dns01", &at(dns_port), "-management", &at(dns_management)]);
        let dns = dns.serve_at(command, dns_port);
        let mut command = pebble.command(["-config", "pebble.json", "-dnsserver", &at(dns_port)]);
        // Otherwise it waits up to 15 seconds before it asks, and refuses one good request in 20.
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "0");
        command.current_dir(folder.path());
        let acme = pebble.serve_at(command, acme);

        let root = folder.path().join("ca.pem");
        let root_url = format!("https://localhost:{management}/roots/0");
        let common = ["--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "5"];
        let root_path = root.display().to_string();
        let pem = curl.run([&common[..], &["--cacert", &root_path, &root_url]].concat()).said;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes())?)?;

        let wanted =
            NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
        let directory = format!("https://localhost:{}/dir", acme.port);
        // The credentials hold the account's key, which a service keeps in a file.
        let (account, _credentials) =
            Account::builder_with_root(&root)?.create(&wanted, directory, None).await?;
        let trust = Trust { roots: Arc::new(roots), lists: Vec::new() };
        Ok(Some(Self { _dns: dns, _acme: acme, account, trust, port }))
    }

    /// The web server of every name.
    async fn serve(&self, answers: Answers) -> TestResult {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        let router = Router::new()
            .route("/.well-known/acme-challenge/{token}", get(answer))
            .with_state(answers);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(())
    }
}

/// A ledger with a certificate of the lab that is due, its client, and what its renewer tells.
struct Stage {
    ledger: Arc<Ledger>,
    client: Credentials,
    news: mpsc::UnboundedReceiver<Renewal<anyhow::Error>>,
}

impl Stage {
    async fn set(ca: &LabCa, source: Acme) -> Result<Self, Box<dyn Error>> {
        let first = credentials(&ca.leaf(LEDGER).also_for(LEDGER_NAME).issue()?);
        let client = credentials(&ca.leaf(CHECKOUT).for_clients().issue()?);
        let mut leaf = Leaf::from_der(&first.chain[0])?;
        // As if it had been issued for five hours, of which one is left.
        (leaf.not_before, leaf.not_after) = (now() - 4 * 3600, now() + 3600);
        let ledger = Arc::new(Ledger::start(config(&first, &trust(ca))?).await?);
        let server = ledger.clone();
        let apply = move |own: &Credentials, clients: &Trust| {
            server.replace_config(config(own, clients).map_err(|error| error.to_string())?);
            Ok(())
        };
        let reloading = Reloading::new(first, trust(ca), apply);
        let (told, news) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let tell = |renewal| _ = told.send(renewal);
            keep_valid(&leaf, &source, &SystemClock, |new| reloading.show(new), tell).await;
        });
        Ok(Self { ledger, client, news })
    }

    /// Whether a client that believes these gets an answer.
    async fn serves(&self, servers: &Trust) -> Result<bool, Box<dyn Error>> {
        let config = with(&self.client, servers)?;
        match Connection::open(config, self.ledger.address()).await {
            Ok(mut connection) => {
                assert_eq!(connection.get("/whoami").await?, format!("you are {CHECKOUT}"));
                Ok(true)
            }
            Err(error) => {
                assert!(format!("{error:#}").contains("UnknownIssuer"), "{error:#}");
                Ok(false)
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_renewer_gets_its_certificate_by_acme() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let Some(pebble) = Pebble::start(&ca).await? else { return Ok(()) };
    let answers = Answers::default();
    pebble.serve(answers.clone()).await?;
    let source = Acme { account: pebble.account.clone(), name: LEDGER_NAME.to_owned(), answers };
    let mut stage = Stage::set(&ca, source).await?;
    let told = stage.news.recv().await;
    assert!(matches!(told, Some(Renewal::Installed(_))), "{told:?}");
    assert!(stage.serves(&pebble.trust).await?);
    assert!(!stage.serves(&trust(&ca)).await?, "the first certificate is still in use");
    Ok(())
}

/// Mallory has an account as well. But she can't answer for the ledger's name.
#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_answer_at_the_name_gets_no_certificate_for_it() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let Some(pebble) = Pebble::start(&ca).await? else { return Ok(()) };
    pebble.serve(Answers::default()).await?;
    let (account, answers) = (pebble.account.clone(), Answers::default());
    let source = Acme { account, name: LEDGER_NAME.to_owned(), answers };
    let mut stage = Stage::set(&ca, source).await?;
    let told = stage.news.recv().await;
    let Some(Renewal::Failed(why, ..)) = told else { return Err(format!("{told:?}").into()) };
    assert!(why.to_string().contains("returned 404"), "{why:#}");
    assert!(stage.serves(&trust(&ca)).await?, "the first certificate stays");
    assert!(!stage.serves(&pebble.trust).await?);
    Ok(())
}
