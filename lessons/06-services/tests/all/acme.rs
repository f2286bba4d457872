//! The renewer with another source: an ACME server (RFC 8555), for which Debian's `pebble` is the foreign peer.

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use careful_services::credentials::{Credentials, Trust};
use careful_services::reload::Reloading;
use careful_services::renew::{Facts, Failure, Obtain, Renewal, SystemClock, Unfit, keep_valid};
use careful_tls::provider::crypto_provider;
use hyper_util::rt::TokioIo;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, ChallengeType, Identifier, NewAccount, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use peers::{ForeignServer, Peer};
use rcgen::{CertificateParams, CertificateSigningRequest, DistinguishedName, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use services::lab::client::{Connection, with};
use services::lab::pki::{credentials, now, trust};
use services::lab::service::{Ledger, config};
use services::lab::{CHECKOUT, LEDGER, LEDGER_NAME};
use shared::LabCa;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

type TestResult = Result<(), Box<dyn Error>>;

/// Once a second for less than half of the renewer's minute.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_secs(1))
    .backoff(1.0)
    .timeout(Duration::from_secs(25));

// ANCHOR: obtain
/// Certificates for one DNS name from an ACME server (RFC 8555).
struct Acme {
    /// The account as JSON, in instant-acme's form. A secret.
    account: String,
    /// The CA of the ACME server itself. (For a public one: `Account::builder`.)
    root: PathBuf,
    name: String,
    answers: Answers,
    /// What an earlier try has not finished: another order would count against the CA's limits.
    begun: tokio::sync::Mutex<Option<Begun>>,
}

struct Begun {
    order: String,
    key: KeyPair,
    tokens: Tokens,
    /// An order that nothing comes of is given up.
    tries_left: u8,
}

impl Obtain for Acme {
    type Error = anyhow::Error;

    async fn obtain(&self) -> anyhow::Result<Credentials> {
        let builder = Account::builder_with_root(&self.root)?;
        let account = builder.from_credentials(serde_json::from_str(&self.account)?).await?;
        let mut begun = self.begun.lock().await;
        if begun.is_none() {
            let names = [Identifier::Dns(self.name.clone())];
            let order = account.new_order(&NewOrder::new(&names)).await?.url().to_owned();
            let tokens = Tokens(self.answers.clone(), Vec::new());
            *begun = Some(Begun { order, key: KeyPair::generate()?, tokens, tries_left: 5 });
        }
        let order = begun.as_mut().context("it was begun")?;
        order.tries_left = order.tries_left.saturating_sub(1);
        let done = self.finish(&account, order).await;
        if order.tries_left == 0 || done.as_ref().map_or_else(is_final, |_done| true) {
            *begun = None;
        }
        done
    }

    /// Let's Encrypt lets a name fail five times in an hour.
    fn first_pause(&self) -> Duration {
        Duration::from_secs(20 * 60)
    }
}
// ANCHOR_END: obtain

// ANCHOR: finish
impl Acme {
    async fn finish(&self, account: &Account, begun: &mut Begun) -> anyhow::Result<Credentials> {
        let mut order = account.order(begun.order.clone()).await?;
        let done = self.go_on(&mut order, begun).await;
        if order.state().status == OrderStatus::Invalid {
            bail!(Refused(why(&mut order).await));
        }
        done
    }

    async fn go_on(&self, order: &mut Order, begun: &mut Begun) -> anyhow::Result<Credentials> {
        if order.state().status == OrderStatus::Pending {
            prove(order, &mut begun.tokens).await?;
        }
        if order.state().status == OrderStatus::Ready {
            order.finalize_csr(request(&self.name, &begun.key)?.der()).await?;
        }
        let chain = order.poll_certificate(&PATIENCE).await?;
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>()?;
        Ok(Credentials { chain, key: PrivatePkcs8KeyDer::from(begun.key.serialize_der()).into() })
    }
}

/// Answers every challenge, and waits for the verdict.
async fn prove(order: &mut Order, tokens: &mut Tokens) -> anyhow::Result<()> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        // The server may remember an earlier answer.
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let challenge = authorization.challenge(ChallengeType::Http01);
        let mut challenge = challenge.context("the server doesn't offer http-01")?;
        tokens.add(&challenge.token, challenge.key_authorization().as_str());
        if challenge.status == ChallengeStatus::Pending {
            challenge.set_ready().await?;
        }
    }
    order.poll_ready(&PATIENCE).await?;
    Ok(())
}

/// A request for this name and nothing else. A CA refuses the subject that rcgen puts in by itself
/// (RFC 8555 section 7.4).
fn request(name: &str, key: &KeyPair) -> anyhow::Result<CertificateSigningRequest> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?)
}
// ANCHOR_END: finish

/// The order is lost.
#[derive(Debug)]
struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused: {}", self.0)
    }
}

impl Error for Refused {}

/// Whether the order is lost, or the server would refuse the same again.
fn is_final(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        // 429: too many requests, for now.
        Some(instant_acme::Error::Api(problem)) => {
            matches!(problem.status, Some(400..=428 | 430..=499))
        }
        _ => error.is::<Refused>(),
    }
}

/// What the server says of the challenge that it didn't accept.
async fn why(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        if let Some(error) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref())
        {
            return error.to_string();
        }
    }
    "the server gives no reason".to_owned()
}

// ANCHOR: answers
/// What to answer to GET `/.well-known/acme-challenge/TOKEN` on port 80, by token. Names that share a web
/// server share this.
type Answers = Arc<Mutex<HashMap<String, String>>>;

/// The tokens of one order, whose answers are gone when it is done.
struct Tokens(Answers, Vec<String>);

impl Tokens {
    fn add(&mut self, token: &str, answer: &str) {
        locked(&self.0).insert(token.to_owned(), answer.to_owned());
        self.1.push(token.to_owned());
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        let mut answers = locked(&self.0);
        for token in &self.1 {
            answers.remove(token);
        }
    }
}

/// The page that the ACME server reads.
async fn answer(
    State(answers): State<Answers>,
    Path(token): Path<String>,
) -> Result<String, StatusCode> {
    locked(&answers).get(&token).cloned().ok_or(StatusCode::NOT_FOUND)
}
// ANCHOR_END: answers

fn locked(answers: &Answers) -> MutexGuard<'_, HashMap<String, String>> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

// ANCHOR: first
/// What a service shows at its start: what it has stored, if that is still valid, or else a first
/// certificate.
async fn first(source: &Acme, file: &FilePath) -> anyhow::Result<Credentials> {
    match Credentials::stored(file)? {
        Some(stored) if Facts::of(&stored)?.not_after > now() => Ok(stored),
        _ => {
            let first = source.obtain().await?;
            first.store(file)?;
            Ok(first)
        }
    }
}
// ANCHOR_END: first

/// A pebble that looks up every name at 127.0.0.1, and asks there.
struct Pebble {
    _dns: ForeignServer,
    _acme: ForeignServer,
    folder: tempfile::TempDir,
    directory: String,
    /// Those who believe its root.
    trust: Trust,
    /// Where it asks, in place of port 80.
    port: u16,
}

impl Pebble {
    /// None, if this machine has none. It waits up to so many seconds before it asks.
    async fn start(ca: &LabCa, waits: u32) -> Result<Option<Self>, Box<dyn Error>> {
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
        match waits {
            0 => command.env("PEBBLE_VA_NOSLEEP", "1"),
            waits => command.env("PEBBLE_VA_SLEEPTIME", waits.to_string()),
        };
        // Otherwise it refuses one good request in 20, and believes every second earlier answer.
        command.env("PEBBLE_WFE_NONCEREJECT", "0").env("PEBBLE_AUTHZREUSE", "0");
        command.current_dir(folder.path());
        let acme = pebble.serve_at(command, acme);

        let root_path = folder.path().join("ca.pem").display().to_string();
        let root_url = format!("https://localhost:{management}/roots/0");
        let common = ["--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "5"];
        let pem = curl.run([&common[..], &["--cacert", &root_path, &root_url]].concat()).said;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes())?)?;
        let trust = Trust { roots: Arc::new(roots), lists: Vec::new() };
        let directory = format!("https://localhost:{}/dir", acme.port);
        Ok(Some(Self { _dns: dns, _acme: acme, folder, directory, trust, port }))
    }

    /// A pebble, the answers that the web server of every name gives, and a source of the ledger's name with a new
    /// account.
    async fn with_source(
        ca: &LabCa,
        waits: u32,
    ) -> Result<Option<(Self, Answers, Acme)>, Box<dyn Error>> {
        let Some(pebble) = Self::start(ca, waits).await? else { return Ok(None) };
        let answers = Answers::default();
        pebble.serve(answers.clone()).await?;
        let source = pebble.source(LEDGER_NAME, answers.clone()).await?;
        Ok(Some((pebble, answers, source)))
    }

    /// A source with a new account.
    async fn source(&self, name: &str, answers: Answers) -> Result<Acme, Box<dyn Error>> {
        let wanted =
            NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
        let root = self.folder.path().join("ca.pem");
        let builder = Account::builder_with_root(&root)?;
        let (_, account) = builder.create(&wanted, self.directory.clone(), None).await?;
        let account = serde_json::to_string(&account)?;
        Ok(Acme { account, root, name: name.to_owned(), answers, begun: None.into() })
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

/// A ledger whose certificate is due, its client, and what its renewer tells.
struct Stage {
    ledger: Arc<Ledger>,
    client: Credentials,
    news: mpsc::UnboundedReceiver<Renewal<anyhow::Error>>,
}

impl Stage {
    async fn set(
        ca: &LabCa,
        first: Credentials,
        source: Acme,
        file: Option<PathBuf>,
    ) -> Result<Self, Box<dyn Error>> {
        let client = credentials(&ca.leaf(CHECKOUT).for_clients().issue()?);
        let mut facts = Facts::of(&first)?;
        // As if it had been issued for five hours, of which one is left.
        (facts.not_before, facts.not_after) = (now() - 4 * 3600, now() + 3600);
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
            let install = |new: Credentials| {
                reloading.show(new.clone())?;
                let stored = file.as_ref().map_or(Ok(()), |file| new.store(file));
                stored.map_err(|error| error.to_string())
            };
            keep_valid(&facts, &source, &SystemClock, install, tell).await;
        });
        Ok(Self { ledger, client, news })
    }

    /// The certificate that a client gets who believes these; none, if it doesn't believe it.
    async fn serves(&self, servers: &Trust) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
        let config = with(&self.client, servers)?;
        match Connection::open(config, self.ledger.address()).await {
            Ok(mut connection) => {
                assert_eq!(connection.get("/whoami").await?, format!("you are {CHECKOUT}"));
                Ok(Some(connection.served))
            }
            Err(error) => {
                assert!(format!("{error:#}").contains("UnknownIssuer"), "{error:#}");
                Ok(None)
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_renewer_gets_its_certificate_by_acme() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let Some((pebble, answers, source)) = Pebble::with_source(&ca, 0).await? else {
        return Ok(());
    };
    // That of another name, on the same web server.
    locked(&answers).insert("theirs".to_owned(), "answer".to_owned());
    let file = pebble.folder.path().join("own.pem");
    let own = first(&source, &file).await?;
    let theirs = HashMap::from([("theirs".to_owned(), "answer".to_owned())]);
    assert_eq!(*locked(&answers), theirs, "each order takes its own answers away");
    assert_eq!(first(&source, &file).await?.chain, own.chain, "it was stored");

    let shown = own.chain[0].to_vec();
    let mut stage = Stage::set(&ca, own, source, Some(file.clone())).await?;
    assert_eq!(stage.serves(&pebble.trust).await?, Some(shown.clone()));
    let told = stage.news.recv().await;
    assert!(matches!(told, Some(Renewal::Installed(_))), "{told:?}");
    let served = stage.serves(&pebble.trust).await?.ok_or("a certificate")?;
    assert_ne!(served, shown);
    let stored = Credentials::stored(&file)?.ok_or("a file")?;
    assert_eq!(stored.chain[0].to_vec(), served);
    Ok(())
}

/// Mallory has an account as well. But she can't answer for the ledger's name.
#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_answer_at_the_name_gets_no_certificate_for_it() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let Some(pebble) = Pebble::start(&ca, 0).await? else { return Ok(()) };
    pebble.serve(Answers::default()).await?;
    let source = pebble.source(LEDGER_NAME, Answers::default()).await?;
    let first = credentials(&ca.leaf(LEDGER_NAME).issue()?);
    let mut stage = Stage::set(&ca, first, source, None).await?;
    let told = stage.news.recv().await;
    let Some(Renewal::Failed(why, _, wait)) = told else { return Err(format!("{told:?}").into()) };
    assert!(why.to_string().contains("returned 404"), "{why:#}");
    assert!(wait >= 20 * 60, "{wait}");
    assert!(stage.serves(&trust(&ca)).await?.is_some(), "the first certificate stays");
    assert!(stage.serves(&pebble.trust).await?.is_none());
    Ok(())
}

/// An ACME server knows DNS names. So it is no source for the certificate by which others know a service.
#[tokio::test(flavor = "multi_thread")]
async fn what_acme_gives_does_not_replace_an_identity() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let Some((_pebble, _answers, source)) = Pebble::with_source(&ca, 0).await? else {
        return Ok(());
    };
    let first = credentials(&ca.leaf(LEDGER).also_for(LEDGER_NAME).issue()?);
    let mut stage = Stage::set(&ca, first, source, None).await?;
    let told = stage.news.recv().await;
    let lacks = Unfit::Lacks(LEDGER.to_owned());
    assert!(
        matches!(&told, Some(Renewal::Failed(Failure::Unfit(why), ..)) if *why == lacks),
        "{told:?}"
    );
    assert!(stage.serves(&trust(&ca)).await?.is_some(), "the first certificate stays");
    Ok(())
}

/// The server takes its time, and the renewer gives up a try after a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_is_cut_off_goes_on_with_its_order() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let Some((_pebble, answers, source)) = Pebble::with_source(&ca, 4).await? else {
        return Ok(());
    };
    let mut orders = Vec::new();
    for _try in 0..100 {
        let begun = tokio::time::timeout(Duration::from_millis(300), source.obtain()).await;
        assert!(begun.is_err(), "it waits a second before it looks");
        orders.extend(source.begun.lock().await.as_ref().map(|begun| begun.order.clone()));
        if orders.len() == 3 {
            break;
        }
    }
    assert!(orders.len() == 3 && orders.iter().all(|order| *order == orders[0]), "{orders:?}");
    let own = source.obtain().await?;
    assert!(Facts::of(&own)?.not_after > now());
    assert!(locked(&answers).is_empty());
    Ok(())
}

/// The answer was wrong. What is lost is given up, and the next try begins another order.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_lost_is_given_up() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let Some((_pebble, _answers, source)) = Pebble::with_source(&ca, 0).await? else {
        return Ok(());
    };
    let builder = Account::builder_with_root(&source.root)?;
    let account = builder.from_credentials(serde_json::from_str(&source.account)?).await?;
    let names = [Identifier::Dns(LEDGER_NAME.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    // Where nobody reads them.
    let mut tokens = Tokens(Answers::default(), Vec::new());
    assert!(prove(&mut order, &mut tokens).await.is_err());
    assert_eq!(order.state().status, OrderStatus::Invalid);
    let begun = |order: &str| -> Result<Begun, Box<dyn Error>> {
        let (tokens, key) = (Tokens(source.answers.clone(), Vec::new()), KeyPair::generate()?);
        Ok(Begun { order: order.to_owned(), key, tokens, tries_left: 3 })
    };
    *source.begun.lock().await = Some(begun(order.url())?);
    let refused = source.obtain().await.err().ok_or("a certificate")?.to_string();
    assert!(refused.contains("returned 404"), "{refused}");
    assert!(source.begun.lock().await.is_none());
    // One that the server doesn't know: pebble says so with an empty page.
    *source.begun.lock().await = Some(begun(&format!("{}x", order.url()))?);
    for tries_left in [Some(2), Some(1), None] {
        assert!(source.obtain().await.is_err());
        let left = source.begun.lock().await.as_ref().map(|begun| begun.tries_left);
        assert_eq!(left, tries_left);
    }
    assert!(source.obtain().await.is_ok());
    Ok(())
}

#[test]
fn a_request_has_the_name_and_nothing_else() -> TestResult {
    let request = request(LEDGER_NAME, &KeyPair::generate()?)?;
    let (_, parsed) = X509CertificationRequest::from_der(request.der())?;
    assert_eq!(parsed.certification_request_info.subject.iter_rdn().count(), 0);
    Ok(())
}

/// A server whose answers all name a time after which to ask again: more seconds than any clock has. instant-acme
/// 0.8.5 adds them to the time, and panics.
#[tokio::test(flavor = "multi_thread")]
async fn an_impossible_header_does_not_end_the_renewer() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let own = ca.leaf("localhost").issue()?;
    let config = rustls::ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(own.chain(), own.key())?;
    let (acceptor, listener) =
        (TlsAcceptor::from(Arc::new(config)), TcpListener::bind(("127.0.0.1", 0)).await?);
    let url = format!("https://localhost:{}/", listener.local_addr()?.port());
    // A directory and an order at once.
    let fields = ["newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "finalize"];
    let mut answer: serde_json::Map<String, serde_json::Value> =
        fields.iter().map(|field| ((*field).to_owned(), url.clone().into())).collect();
    answer.extend([
        ("status".to_owned(), "pending".into()),
        ("authorizations".to_owned(), serde_json::json!([])),
    ]);
    let (answer, location) = (serde_json::to_string(&answer)?, url.clone());
    tokio::spawn(async move {
        while let Ok((tcp, _peer)) = listener.accept().await {
            let (acceptor, answer) = (acceptor.clone(), answer.clone());
            let location = location.clone();
            tokio::spawn(async move {
                let tls = acceptor.accept(tcp).await.expect("a handshake");
                let service = hyper::service::service_fn(move |_request| {
                    let answer = http::Response::builder()
                        .header("replay-nonce", "AAAA")
                        .header("location", &location)
                        .header("retry-after", u64::MAX.to_string())
                        .body(answer.clone());
                    async move { answer }
                });
                // The client leaves when it likes.
                let _left = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(tls), service)
                    .await;
            });
        }
    });

    let folder = tempfile::tempdir()?;
    let root = folder.path().join("ca.pem");
    std::fs::write(&root, ca.root_pem())?;
    let key = URL_SAFE_NO_PAD.encode(KeyPair::generate()?.serialize_der());
    let account = serde_json::json!({"id": url, "key_pkcs8": key, "directory": url}).to_string();
    let (name, answers) = (LEDGER_NAME.to_owned(), Answers::default());
    let source = Acme { account, root, name, answers, begun: None.into() };
    let first = credentials(&ca.leaf(LEDGER_NAME).issue()?);
    let mut stage = Stage::set(&ca, first, source, None).await?;
    let told = stage.news.recv().await;
    assert!(matches!(told, Some(Renewal::Failed(Failure::Panicked, ..))), "{told:?}");
    assert!(stage.serves(&trust(&ca)).await?.is_some(), "the first certificate stays");
    Ok(())
}
