//! What the take-home crates promise, with real connections.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::routing::{get, post};
use axum::{Extension, Router};
use careful_certificates::leaf::Leaf;
use careful_issuer::issuer::{Entitlement, IssueError, Issuer, State};
use careful_issuer::request::{ProvedKey, new_request};
use careful_services::caller::{Caller, Connected, Unknown};
use careful_services::credentials::{Credentials, StoredError, server_config};
use careful_services::forwarded::{CLIENT_CERT, TrustedProxy, accept};
use careful_services::identity::{NotAService, ServiceId};
use careful_services::revoked::{NotTaken, Revoked};
use careful_services::serve::{Deadlines, Limits, PROTOCOLS, Service};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use rcgen::{CertificateParams, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::PrivateKeyDer;
use services::lab::client::{Connection, ask, with};
use services::lab::pki::{credentials, issuer, list, names, now, trust, trust_with_lists};
use services::lab::service::{Ledger, config, router};
use services::lab::{CHECKOUT, LEDGER, LEDGER_NAME, PHOTOS};
use shared::LabCa;
use tokio::net::TcpListener;
use x509_parser::extensions::ParsedExtension;

type TestResult = Result<(), Box<dyn Error>>;

fn ledgers(ca: &LabCa) -> Result<Credentials, Box<dyn Error>> {
    Ok(credentials(&ca.leaf(LEDGER).also_for(LEDGER_NAME).issue()?))
}

fn certificate(names: Vec<SanType>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    Ok(params.self_signed(&KeyPair::generate()?)?.der().to_vec())
}

fn uri(text: &str) -> Result<SanType, Box<dyn Error>> {
    Ok(SanType::URI(text.try_into()?))
}

fn dns(text: &str) -> Result<SanType, Box<dyn Error>> {
    Ok(SanType::DnsName(text.try_into()?))
}

#[test]
fn what_is_stored_comes_back_and_nothing_else_is_believed() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("own.pem");
    assert!(Credentials::stored(&file)?.is_none(), "there is none yet");
    let mut own = ledgers(&ca)?;
    own.store(&file)?;
    let read = |own: Option<Credentials>| own.map(|own| (own.chain, own.key.secret_der().to_vec()));
    let expected = |own: &Credentials| Some((own.chain.clone(), own.key.secret_der().to_vec()));
    assert_eq!(read(Credentials::stored(&file)?), expected(&own));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))?;
        let error = Credentials::stored(&file).err().ok_or("a key that everybody can read")?;
        assert!(matches!(error, StoredError::File(_)), "{error:?}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    }
    // Keys of every form, each replacing what was there.
    let keys = [
        PrivateKeyDer::Sec1(vec![1, 2, 3].into()),
        PrivateKeyDer::Pkcs1(vec![4, 5, 6].into()),
        PrivateKeyDer::Pkcs8(vec![7, 8, 9].into()),
    ];
    for key in keys {
        own.key = key.clone_key();
        own.store(&file)?;
        let stored = Credentials::stored(&file)?.ok_or("a file")?;
        assert_eq!(stored.key, key);
        assert_eq!(stored.chain, own.chain);
    }
    let whole = std::fs::read_to_string(&file)?;
    assert!(!whole.contains('\r'));
    // Cut anywhere, it is no key, or no certificate to go with it.
    for end in (0..whole.len() - 1).step_by(7) {
        std::fs::write(&file, &whole[..end])?;
        let error = Credentials::stored(&file).err().ok_or(format!("{end}"))?;
        assert!(matches!(error, StoredError::Pem(_)), "{error:?}");
    }
    Ok(())
}

/// RFC 5280 section 4.1.2.5: the last second belongs to it.
#[tokio::test]
async fn a_certificate_counts_through_its_last_second() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let client = ca.leaf(CHECKOUT).for_clients().issue()?;
    let end = Leaf::from_der(&client.leaf_der())?.not_after;
    let counts = get(async move |Extension(connected): Extension<Connected>| {
        format!("{:?} {:?}", connected.counts(end), connected.counts(end + 1))
    });
    let config = config(&ledgers(&ca)?, &trust(&ca))?;
    let ledger = Ledger::start_with(config, Router::new().route("/counts", counts)).await?;
    let client = with(&credentials(&client), &trust(&ca))?;
    let answer = ask(&client, ledger.address(), "/counts").await?;
    let expected = (Ok::<(), Unknown>(()), Err::<(), _>(Unknown::Expired(end)));
    assert_eq!(answer, format!("{:?} {:?}", expected.0, expected.1));
    Ok(())
}

#[test]
fn a_certificate_has_one_identity_or_none() -> TestResult {
    let of = |names| {
        anyhow::Ok(ServiceId::of_certificate(
            &certificate(names).map_err(|e| anyhow::anyhow!("{e}"))?,
        ))
    };
    let id = |names| of(names).map(|id| id.map(|id| id.to_string()));
    assert_eq!(id(vec![uri(CHECKOUT)?])?, Ok(CHECKOUT.to_owned()));
    // Its DNS names are for those who connect to it.
    let both = vec![uri(CHECKOUT)?, dns("a.bank.test")?, dns("b.bank.test")?];
    assert_eq!(id(both)?, Ok(CHECKOUT.to_owned()));
    assert_eq!(id(vec![dns("checkout.bank.test")?])?, Ok("checkout.bank.test".to_owned()));
    assert_eq!(id(vec![])?, Err(NotAService::NoName));
    assert_eq!(id(vec![uri(CHECKOUT)?, uri(PHOTOS)?])?, Err(NotAService::SeveralNames(2)));
    assert_eq!(id(vec![uri(CHECKOUT)?, uri(CHECKOUT)?])?, Err(NotAService::SeveralNames(2)));
    let two = vec![dns("a.bank.test")?, dns("b.bank.test")?];
    assert_eq!(id(two)?, Err(NotAService::SeveralNames(2)));
    for hostile in [
        vec![uri("https://bank.test/checkout")?],
        vec![uri("spiffe://bank.test/check%6fut")?],
        vec![uri("spiffe://bank.test/checkout\0")?],
        vec![uri("urn:x")?, dns("checkout.bank.test")?],
        vec![dns("checkout.bank.test.")?],
        vec![dns("*.bank.test")?],
        vec![dns("Checkout.bank.test")?],
        vec![dns("checkout.bank.test\0.evil.test")?],
    ] {
        let shown = format!("{hostile:?}");
        assert!(matches!(id(hostile)?, Err(NotAService::Name(_))), "{shown}");
    }
    assert_eq!(ServiceId::of_certificate(b"garbage"), Err(NotAService::Unreadable));
    let longer = [certificate(vec![uri(CHECKOUT)?])?, vec![0]].concat();
    assert_eq!(ServiceId::of_certificate(&longer), Err(NotAService::Unreadable));
    let ca = LabCa::new("Course Lab")?;
    assert_eq!(ServiceId::of_certificate(&ca.root_der()), Err(NotAService::Ca));
    for usage in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![uri(CHECKOUT)?];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, usage];
        let signs = params.self_signed(&KeyPair::generate()?)?;
        assert_eq!(ServiceId::of_certificate(signs.der()), Err(NotAService::Ca), "{usage:?}");
    }
    Ok(())
}

/// The router alone, as a test or a program without TLS would serve it.
#[tokio::test]
async fn without_tls_nobody_is_anybody() -> TestResult {
    use hyper::service::Service as _;
    let service = hyper_util::service::TowerToHyperService::new(router()?);
    for path in ["/whoami", "/charge"] {
        let answer = service.call(Request::get(path).body(Body::empty())?).await?;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
        assert!(answer.into_body().collect().await?.to_bytes().is_empty());
    }
    Ok(())
}

/// No header, however written, makes somebody of a caller whom TLS doesn't know, or of another one.
#[tokio::test]
async fn the_proxys_header_is_gone_for_everybody_else() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let shows =
        get(async |headers: http::HeaderMap| format!("{}", headers.contains_key(CLIENT_CERT)));
    let proxy = TrustedProxy::new("spiffe://bank.test/gateway".parse()?, Revoked::new());
    let router = Router::new()
        .route("/header", shows)
        .layer(axum::middleware::from_fn_with_state(proxy, accept));
    let ledger = Ledger::start_with(config(&ledgers(&ca)?, &trust(&ca))?, router).await?;
    let photos = with(&credentials(&ca.leaf(PHOTOS).for_clients().issue()?), &trust(&ca))?;
    for name in ["client-cert", "Client-Cert", "CLIENT-CERT"] {
        let mut connection = Connection::open(photos.clone(), ledger.address()).await?;
        assert_eq!(
            connection.get_with("/header", &[(name, ":MAMBAgM=:")]).await?,
            "false",
            "{name}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_expires_ends_its_open_connection() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let mut issuer = issuer(&ca, "Course Lab", Duration::from_secs(2))?;
    let (key, request) = new_request()?;
    let entitled = Entitlement { id: CHECKOUT.to_owned(), dns_names: Vec::new(), calls: true };
    let issued = issuer.issue(&ProvedKey::of_request(&request)?, &entitled, now())?;
    let client = with(&Credentials { chain: issued.chain, key }, &trust(&ca))?;
    let ledger = Ledger::start(config(&ledgers(&ca)?, &trust(&ca))?).await?;
    let mut open = Connection::open(client, ledger.address()).await?;
    assert!(open.get("/whoami").await?.contains(CHECKOUT));
    let end = now() + 3;
    while now() <= end {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let refused = open.get("/whoami").await.expect_err("it has expired");
    assert!(refused.to_string().contains("403"), "{refused}");
    Ok(())
}

#[test]
fn a_list_that_cannot_be_read_changes_nothing() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let stolen = ca.leaf(CHECKOUT).for_clients().issue()?;
    let revoked = Revoked::new();
    let good = list(&ca, &[&stolen])?;
    revoked.replace([&good])?;
    let leaf = stolen.leaf_der();
    let (_, parsed) = x509_parser::parse_x509_certificate(&leaf)?;
    let is_revoked = || revoked.contains(parsed.issuer().as_raw(), parsed.raw_serial());
    assert!(is_revoked());
    let garbage = b"garbage".to_vec().into();
    assert_eq!(revoked.replace([&good, &garbage]), Err(NotTaken::Unreadable));
    assert!(is_revoked(), "the list before is kept");
    // The same serial number of another issuer is another certificate.
    assert!(!revoked.contains(b"another issuer", parsed.raw_serial()));
    revoked.replace([&list(&ca, &[])?])?;
    assert!(!is_revoked(), "the newest list counts");
    Ok(())
}

#[test]
fn a_certificate_has_the_purposes_that_its_service_needs() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let mut issuer = issuer(&ca, "Course Lab", Duration::from_secs(3600))?;
    let key = ProvedKey::of_request(&new_request()?.1)?;
    for (served, calls, server, client) in
        [(true, false, true, false), (false, true, false, true), (true, true, true, true)]
    {
        let dns_names = served.then(|| LEDGER_NAME.to_owned()).into_iter().collect();
        let entitled = Entitlement { id: LEDGER.to_owned(), dns_names, calls };
        let issued = issuer.issue(&key, &entitled, now())?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&issued.chain[0])?;
        let usage = parsed.extended_key_usage()?.expect("one").value;
        assert_eq!((usage.server_auth, usage.client_auth), (server, client));
    }
    // The lab's intermediate is good for twenty days.
    let entitled = Entitlement { id: LEDGER.to_owned(), dns_names: Vec::new(), calls: true };
    let days = |days: u64| now() + days * 24 * 3600;
    let last = issuer.issue(&key, &entitled, days(20) - 60)?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&last.chain[0])?;
    let (_, above) = x509_parser::parse_x509_certificate(&last.chain[1])?;
    assert_eq!(parsed.validity().not_after, above.validity().not_after);
    assert!(matches!(issuer.issue(&key, &entitled, days(21)), Err(IssueError::Ended)));
    let none = Entitlement { id: LEDGER.to_owned(), dns_names: Vec::new(), calls: false };
    assert!(matches!(issuer.issue(&key, &none, now()), Err(IssueError::NoPurpose)));
    Ok(())
}

#[test]
fn the_issuer_lists_what_it_revoked_until_it_would_have_ended() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let mut issuer = issuer(&ca, "Course Lab", Duration::from_secs(3600))?;
    let (_key, request) = new_request()?;
    let entitled = Entitlement { id: CHECKOUT.to_owned(), dns_names: Vec::new(), calls: true };
    let start = now();
    let issued = issuer.issue(&ProvedKey::of_request(&request)?, &entitled, start)?;
    let listed = |der: &[u8]| {
        let (_, list) = x509_parser::parse_x509_crl(der).expect("a list");
        let number = list.crl_number().expect("a number").to_string();
        (list.iter_revoked_certificates().count(), number)
    };
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(listed(&issuer.list(start, day)?), (0, "1".to_owned()));
    issuer.revoke(&issued.serial, start)?;
    issuer.revoke(&issued.serial, start + 1)?;
    assert!(matches!(issuer.revoke(b"another", start), Err(IssueError::Unknown)));
    assert_eq!(listed(&issuer.list(start + 3600, day)?), (1, "2".to_owned()));
    // RFC 5280 section 3.3: on one list after its end.
    assert_eq!(listed(&issuer.list(start + 3601, day)?), (1, "3".to_owned()));
    assert_eq!(listed(&issuer.list(start + 3602, day)?), (0, "4".to_owned()));
    Ok(())
}

/// What the request asks for, and what the certificate says.
#[test]
fn nothing_but_the_key_comes_from_the_request() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let mut issuer = issuer(&ca, "Course Lab", Duration::from_secs(3600))?;
    let mut wishes = CertificateParams::new(["admin.bank.test".to_owned()])?;
    wishes.subject_alt_names.push(uri(LEDGER)?);
    wishes.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    wishes.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    wishes.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let request = wishes.serialize_request(&KeyPair::generate()?)?;
    let proved = ProvedKey::of_request(request.der())?;
    let entitled = Entitlement { id: PHOTOS.to_owned(), dns_names: Vec::new(), calls: true };
    let issued = issuer.issue(&proved, &entitled, now())?;
    let leaf = &issued.chain[0];
    assert_eq!(names(leaf), [PHOTOS]);
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf)?;
    assert!(!parsed.is_ca());
    let usage = parsed.extended_key_usage()?.expect("one").value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    let usage = parsed.key_usage()?.expect("one").value;
    assert!(usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign());
    assert!(parsed.validity().not_after.timestamp() <= i64::try_from(now() + 3601)?);
    Ok(())
}

async fn started(
    router: Router,
    limits: Limits,
    deadlines: Deadlines,
) -> anyhow::Result<(Service, LabCa)> {
    let ca = LabCa::new("Course Lab")?;
    let own = credentials(&ca.leaf(LEDGER).also_for(LEDGER_NAME).issue()?);
    let config = server_config(&own, &trust(&ca), &PROTOCOLS)?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let observe = |_event| {};
    let service =
        Service::start(listener, config, router, Revoked::new(), (limits, deadlines), observe)?;
    Ok((service, ca))
}

async fn checkout(ca: &LabCa, address: SocketAddr) -> anyhow::Result<Connection> {
    let client = with(&credentials(&ca.leaf(CHECKOUT).for_clients().issue()?), &trust(ca))?;
    Connection::open(client, address).await
}

#[tokio::test]
async fn a_handler_has_a_deadline_and_a_connection_an_age() -> TestResult {
    let router = Router::new()
        .route("/slow", get(async || tokio::time::sleep(Duration::from_secs(60)).await))
        .route("/quick", get(async || "quick"));
    let short = Duration::from_millis(300);
    let deadlines = Deadlines { request: short, age: 4 * short, ..Deadlines::default() };
    let (service, ca) = started(router, Limits::default(), deadlines).await?;
    let mut connection = checkout(&ca, service.address()).await?;
    let late = connection.get("/slow").await.expect_err("it is too slow");
    assert!(late.to_string().contains("503"), "{late}");
    assert_eq!(connection.get("/quick").await?, "quick", "the connection goes on");
    tokio::time::sleep(5 * short).await;
    assert!(connection.get("/quick").await.is_err(), "and is too old now");
    service.shut_down().await?;
    Ok(())
}

#[tokio::test]
async fn a_shutdown_answers_the_request_that_is_there() -> TestResult {
    let router = Router::new().route(
        "/slow",
        get(async || {
            tokio::time::sleep(Duration::from_millis(300)).await;
            "done"
        }),
    );
    let (service, ca) = started(router, Limits::default(), Deadlines::default()).await?;
    let mut connection = checkout(&ca, service.address()).await?;
    let asking = tokio::spawn(async move { connection.get("/slow").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let drained = service.shut_down().await?;
    assert_eq!(drained.cut, 0);
    assert_eq!(asking.await??, "done");
    Ok(())
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() -> TestResult {
    let router = Router::new().route("/", post(async |body: String| body.len().to_string()));
    let limits = Limits { body: 10, ..Limits::default() };
    let (service, ca) = started(router, limits, Deadlines::default()).await?;
    let client = with(&credentials(&ca.leaf(CHECKOUT).for_clients().issue()?), &trust(&ca))?;
    let name = rustls::pki_types::ServerName::try_from(LEDGER_NAME)?;
    for (bytes, expected) in [(10, StatusCode::OK), (11, StatusCode::PAYLOAD_TOO_LARGE)] {
        let patience = Duration::from_secs(3);
        let stream =
            careful_tls::stream::connect(client.clone(), service.address(), name.clone(), patience)
                .await?;
        let (mut sender, conversation) =
            hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
        tokio::spawn(conversation);
        let request = Request::post("/").header("host", LEDGER_NAME);
        let answer = sender.send_request(request.body(Body::from("x".repeat(bytes)))?).await?;
        assert_eq!(answer.status(), expected, "{bytes} bytes");
    }
    Ok(())
}

/// Both forget nothing: the sessions of the configuration before can't be resumed.
#[tokio::test]
async fn another_configuration_resumes_no_session_of_the_one_before() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let own = ledgers(&ca)?;
    let ledger = Ledger::start(config(&own, &trust(&ca))?).await?;
    let stolen = ca.leaf(CHECKOUT).for_clients().issue()?;
    let client = with(&credentials(&stolen), &trust(&ca))?;
    ask(&client, ledger.address(), "/whoami").await?;
    let mut again = Connection::open(client.clone(), ledger.address()).await?;
    assert!(again.resumed, "sessions are resumed at all");
    again.get("/whoami").await?;
    ledger.replace_config(config(&own, &trust_with_lists(&ca, &[&stolen])?)?);
    let refused = ask(&client, ledger.address(), "/whoami").await.expect_err("it is revoked");
    assert!(format!("{refused:#}").contains("CertificateRevoked"), "{refused:#}");
    Ok(())
}

#[tokio::test]
async fn the_extractor_says_why_to_the_log_and_nothing_to_the_caller() -> TestResult {
    let why = get(async |caller: Result<Caller, Unknown>| match caller {
        Ok(Caller(service)) => service.to_string(),
        Err(unknown) => unknown.to_string(),
    });
    let ca = LabCa::new("Course Lab")?;
    let router = Router::new().route("/", why);
    let ledger = Ledger::start_with(config(&ledgers(&ca)?, &trust(&ca))?, router).await?;
    let named = ca.leaf(CHECKOUT).common_name_only().for_clients().issue()?;
    let named = with(&credentials(&named), &trust(&ca))?;
    let said = ask(&named, ledger.address(), "/").await?;
    assert_eq!(said, "the certificate must name exactly one service");
    Ok(())
}

/// A route that asks for no identity, and one that only takes the certificate.
#[tokio::test]
async fn a_revoked_or_expired_caller_reaches_no_route_at_all() -> TestResult {
    use axum::extract::Extension;
    use careful_services::caller::Connected;
    let ca = LabCa::new("Course Lab")?;
    let leaf =
        get(async |Extension(connected): Extension<Connected>| connected.leaf().len().to_string());
    let router = Router::new().route("/up", get(async || "up")).route("/leaf", leaf);
    let ledger = Ledger::start_with(config(&ledgers(&ca)?, &trust(&ca))?, router).await?;
    let stolen = ca.leaf(CHECKOUT).for_clients().issue()?;
    let client = with(&credentials(&stolen), &trust(&ca))?;
    let mut open = Connection::open(client, ledger.address()).await?;
    open.get("/up").await?;
    open.get("/leaf").await?;
    ledger.revoked.replace([&list(&ca, &[&stolen])?])?;
    for path in ["/up", "/leaf", "/nowhere"] {
        let refused = open.get(path).await.expect_err("it is revoked");
        assert!(refused.to_string().contains("403"), "{path}: {refused}");
    }
    Ok(())
}

/// Behind the proxy, whose own certificate is good.
#[tokio::test]
async fn a_forwarded_certificate_that_was_revoked_or_has_expired_does_not_count() -> TestResult {
    use careful_services::forwarded::{ForwardedCaller, header, require_forwarded};
    use careful_services::rules::Rules;
    let ca = LabCa::new("Course Lab")?;
    let revoked = Revoked::new();
    let gateway = "spiffe://bank.test/gateway";
    let trusted = TrustedProxy::new(gateway.parse()?, revoked.clone());
    let rules = Rules::new().allow("charge", [CHECKOUT])?;
    let charge = get(async |ForwardedCaller(service): ForwardedCaller| service.to_string());
    let rule = axum::middleware::from_fn_with_state(rules.to("charge")?, require_forwarded);
    let router = Router::new()
        .route("/charge", charge.route_layer(rule))
        .layer(axum::middleware::from_fn_with_state(trusted, accept));
    let ledger = Ledger::start_with(config(&ledgers(&ca)?, &trust(&ca))?, router).await?;
    let proxy = with(&credentials(&ca.leaf(gateway).for_clients().issue()?), &trust(&ca))?;
    let mut proxy = Connection::open(proxy, ledger.address()).await?;
    let good = ca.leaf(CHECKOUT).for_clients().issue()?;
    let photos = ca.leaf(PHOTOS).for_clients().issue()?;
    let expired = ca.leaf(CHECKOUT).for_clients().expired().issue()?;
    let mut asks = async |identity: &shared::Identity| {
        let value = header(&identity.leaf_der());
        proxy.get_with("/charge", &[(CLIENT_CERT, value.as_str())]).await
    };
    assert_eq!(asks(&good).await?, CHECKOUT);
    assert!(asks(&photos).await.is_err(), "the rule doesn't name it");
    assert!(asks(&expired).await.is_err(), "it has expired");
    revoked.replace([&list(&ca, &[&good])?])?;
    assert!(asks(&good).await.is_err(), "it is revoked");
    // The proxy alone, without a header, is nobody here.
    assert!(proxy.get("/charge").await.is_err());
    Ok(())
}

/// A client that says nothing, and clients that begin to: none of them stays.
#[tokio::test]
async fn a_client_that_never_asks_is_cut() -> TestResult {
    use careful_tls::stream::connect;
    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let deadlines = Deadlines { head: Duration::from_millis(200), ..Deadlines::default() };
    let (service, ca) = started(router()?, Limits::default(), deadlines).await?;
    let client = with(&credentials(&ca.leaf(CHECKOUT).for_clients().issue()?), &trust(&ca))?;
    for said in
        [&b""[..], b"P", b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\n", b"GET /whoami HTTP/1.1\r\n"]
    {
        let name = ServerName::try_from(LEDGER_NAME)?;
        let patience = Duration::from_secs(3);
        let mut stream = connect(client.clone(), service.address(), name, patience).await?;
        stream.write_all(said).await?;
        stream.flush().await?;
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(patience, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "it waits after {:?}", String::from_utf8_lossy(said));
    }
    Ok(())
}

#[test]
fn an_old_list_and_one_past_its_date_change_nothing() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let mut issuer = issuer(&ca, "Course Lab", Duration::from_secs(3600))?;
    let day = Duration::from_secs(24 * 3600);
    let key = ProvedKey::of_request(&new_request()?.1)?;
    let entitled = Entitlement { id: CHECKOUT.to_owned(), dns_names: Vec::new(), calls: true };
    let issued = issuer.issue(&key, &entitled, now())?;
    let before = issuer.list(now(), day)?;
    issuer.revoke(&issued.serial, now())?;
    let after = issuer.list(now(), day)?;
    let revoked = Revoked::new();
    revoked.replace([&after])?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&issued.chain[0])?;
    let is_revoked = || revoked.contains(parsed.issuer().as_raw(), parsed.raw_serial());
    assert!(is_revoked());
    assert_eq!(revoked.replace([&before]), Err(NotTaken::Older));
    assert_eq!(revoked.replace([ca.stale_crl(&[])?.der()]), Err(NotTaken::NotCurrent));
    let future = issuer.list(now() + 3600, day)?;
    assert_eq!(revoked.replace([&future]), Err(NotTaken::NotCurrent));
    assert!(is_revoked(), "what was there is kept");
    Ok(())
}

#[test]
fn an_issuer_that_starts_again_with_its_state_still_revokes() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let root_key = KeyPair::from_pem(&ca.root_key_pem())?;
    let root = rcgen::Issuer::new(CertificateParams::default(), root_key);
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    let key = KeyPair::generate()?;
    let chain = vec![params.signed_by(&key, &root)?.der().clone()];
    let hour = Duration::from_secs(3600);
    let start = |state| -> Result<Issuer, Box<dyn Error>> {
        let key = KeyPair::from_pem(&key.serialize_pem())?;
        Ok(Issuer::new(rcgen::Issuer::new(params.clone(), key), chain.clone(), hour, state)?)
    };
    let mut issuer = start(State::default())?;
    let key_of_service = ProvedKey::of_request(&new_request()?.1)?;
    let of = |id: &str| Entitlement { id: id.to_owned(), dns_names: Vec::new(), calls: true };
    for id in [CHECKOUT, CHECKOUT, PHOTOS] {
        issuer.issue(&key_of_service, &of(id), now())?;
    }
    issuer.list(now(), hour)?;
    let mut again = start(issuer.state().clone())?;
    assert_eq!(again.revoke_all(CHECKOUT, now()), 2, "the thief's renewals among them");
    let list = again.list(now(), hour)?;
    let (_, list) = x509_parser::parse_x509_crl(&list)?;
    assert_eq!(list.iter_revoked_certificates().count(), 2);
    assert_eq!(list.crl_number().map(ToString::to_string), Some("2".to_owned()));
    // OpenSSL finds the issuer of a list by this.
    let (_, certificate) = x509_parser::parse_x509_certificate(&chain[0])?;
    let of_certificate = certificate.iter_extensions().find_map(|e| match e.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    });
    let of_list = list.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => Some(id.key_identifier.as_ref()?.0.to_vec()),
        _ => None,
    });
    assert!(of_list.is_some() && of_list == of_certificate);
    // Another name, another key identifier, another key, and a certificate that isn't a CA's.
    let mut named = params.clone();
    named.distinguished_name.push(rcgen::DnType::CommonName, "Another");
    let mut identified = params.clone();
    identified.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(vec![7; 20]);
    for other in [named, identified] {
        let other = rcgen::Issuer::new(other, KeyPair::from_pem(&key.serialize_pem())?);
        let wrong = Issuer::new(other, chain.clone(), hour, State::default());
        assert!(matches!(wrong.err(), Some(IssueError::Chain)));
    }
    let other = rcgen::Issuer::new(params.clone(), KeyPair::generate()?);
    let wrong = Issuer::new(other, chain.clone(), hour, State::default());
    assert!(matches!(wrong.err(), Some(IssueError::Chain)));
    let leaf = CertificateParams::default();
    let key = KeyPair::generate()?;
    let chain = vec![leaf.self_signed(&key)?.der().clone()];
    let wrong = Issuer::new(rcgen::Issuer::new(leaf, key), chain, hour, State::default());
    assert!(matches!(wrong.err(), Some(IssueError::Chain)));
    Ok(())
}

#[test]
fn a_renewal_keeps_the_new_lists_and_a_new_list_the_renewed_certificate() -> TestResult {
    use careful_services::reload::Reloading;
    let ca = LabCa::new("Course Lab")?;
    let (first, second) = (ledgers(&ca)?, ledgers(&ca)?);
    let used = std::sync::Mutex::new(Vec::new());
    let apply = |own: &Credentials, trust: &careful_services::credentials::Trust| {
        if trust.roots.is_empty() {
            return Err("no CA".to_owned());
        }
        let mut used = used.lock().expect("no panic");
        used.push((own.chain[0].clone(), trust.lists.len()));
        Ok(())
    };
    let reloading = Reloading::new(first.clone(), trust(&ca), apply);
    reloading.trust(trust_with_lists(&ca, &[])?)?;
    reloading.show(second.clone())?;
    let mut nobody = trust(&ca);
    nobody.roots = std::sync::Arc::new(rustls::RootCertStore::empty());
    assert_eq!(reloading.trust(nobody), Err("no CA".to_owned()));
    reloading.show(first.clone())?;
    let used = used.lock().expect("no panic").clone();
    let (one, two) = (&first.chain[0], &second.chain[0]);
    assert_eq!(used, [(one.clone(), 2), (two.clone(), 2), (one.clone(), 2)]);
    Ok(())
}

#[tokio::test]
async fn the_log_says_who_was_refused_and_why() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let ledger = Ledger::start(config(&ledgers(&ca)?, &trust(&ca))?).await?;
    let photos = ca.leaf(PHOTOS).for_clients().issue()?;
    let client = with(&credentials(&photos), &trust(&ca))?;
    let mut open = Connection::open(client, ledger.address()).await?;
    assert!(open.get("/charge").await.is_err());
    assert_eq!(ledger.log(0).await?, format!("not allowed: {PHOTOS}"));
    ledger.revoked.replace([&list(&ca, &[&photos])?])?;
    assert!(open.get("/charge").await.is_err());
    assert_eq!(ledger.log(1).await?, "the certificate was revoked");
    let named = ca.leaf(CHECKOUT).common_name_only().for_clients().issue()?;
    let named = with(&credentials(&named), &trust(&ca))?;
    assert!(ask(&named, ledger.address(), "/charge").await.is_err());
    assert_eq!(ledger.log(2).await?, "the certificate must name exactly one service");
    Ok(())
}

/// rustls accepts it, because it compares no name of a client's.
#[tokio::test]
async fn a_certificate_whose_names_cannot_be_read_gets_no_answer_at_all() -> TestResult {
    use rcgen::CustomExtension;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root = rcgen::CertifiedIssuer::self_signed(params, key)?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.der().clone())?;
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    // A sequence with a URI that is longer than the sequence.
    let garbage = [0x30, 3, 0x86, 5, b'x'].to_vec();
    let garbage = CustomExtension::from_oid_content(&[2, 5, 29, 17], garbage);
    params.custom_extensions = vec![garbage];
    let key = KeyPair::generate()?;
    let leaf = params.signed_by(&key, &root)?.der().clone();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let ca = LabCa::new("Course Lab")?;
    let clients = careful_services::credentials::Trust { roots: roots.into(), lists: Vec::new() };
    let router = Router::new().route("/up", get(async || "up"));
    let ledger = Ledger::start_with(config(&ledgers(&ca)?, &clients)?, router).await?;
    let client = with(&Credentials { chain: vec![leaf], key }, &trust(&ca))?;
    assert!(ask(&client, ledger.address(), "/up").await.is_err());
    assert_eq!(ledger.log(0).await?, "the certificate must name exactly one service");
    Ok(())
}
