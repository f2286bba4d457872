//! Foreign peers: curl, OpenSSL and Python's ssl call our ledger, with and without a certificate. OpenSSL
//! and Node demand our certificate, and refuse a revoked one.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use careful_issuer::issuer::Entitlement;
use careful_issuer::request::{LONGEST, ProvedKey, RequestError};
use peers::Peer;
use services::lab::client::{ask, with};
use services::lab::pki::{credentials, issuer, now, trust};
use services::lab::service::{Ledger, config};
use services::lab::{CHECKOUT, LEDGER, LEDGER_NAME, PHOTOS};
use shared::{Identity, LabCa};

type TestResult = Result<(), Box<dyn Error>>;

/// Files that a foreign program needs.
struct Files(tempfile::TempDir);

impl Files {
    fn new(ca: &LabCa) -> Result<Self, Box<dyn Error>> {
        let files = Self(tempfile::tempdir()?);
        std::fs::write(files.path("ca.pem"), ca.root_pem())?;
        Ok(files)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Chain and key, and the names of their files.
    fn add(&self, name: &str, identity: &Identity) -> Result<(String, String), Box<dyn Error>> {
        let folder = self.path(name);
        std::fs::create_dir(&folder)?;
        identity.write_to(&folder)?;
        let file = |file: &str| folder.join(file).display().to_string();
        Ok((file("chain.pem"), file("key.pem")))
    }
}

async fn ledger(ca: &LabCa) -> Result<Ledger, Box<dyn Error>> {
    let own = ca.leaf(LEDGER).also_for(LEDGER_NAME).issue()?;
    Ok(Ledger::start(config(&credentials(&own), &trust(ca))?).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_is_somebody_with_its_certificate_and_nobody_without() -> TestResult {
    let Some(curl) = Peer::curl() else { return Ok(()) };
    let ca = LabCa::new("Course Lab")?;
    let (ledger, files) = (ledger(&ca).await?, Files::new(&ca)?);
    let (chain, key) = files.add("checkout", &ca.leaf(CHECKOUT).for_clients().issue()?)?;
    let port = ledger.address().port();
    let url = format!("https://{LEDGER_NAME}:{port}/charge");
    let resolve = format!("{LEDGER_NAME}:{port}:127.0.0.1");
    let root = files.text("ca.pem");
    let common = [
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--max-time",
        "5",
        "--cacert",
        &root,
        "--resolve",
        &resolve,
        &url,
    ];
    for version in ["--http1.1", "--http2"] {
        let own = [version, "--cert", &chain, "--key", &key];
        let said = curl.run([&common[..], &own].concat());
        assert_eq!(said.said.trim(), format!("charged for {CHECKOUT}"), "{version}");
    }
    let without = curl.run(common);
    assert_ne!(without.code, Some(0), "{}", without.said);
    let (chain, key) = files.add("photos", &ca.leaf(PHOTOS).for_clients().issue()?)?;
    let photos = curl.run(
        [&common[..], &["--cert", &chain, "--key", &key, "--write-out", "%{http_code}"]].concat(),
    );
    assert_eq!(photos.said.trim(), "403");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn python_is_somebody_with_its_certificate_and_nobody_without() -> TestResult {
    let Some(python) = Peer::python("ssl") else { return Ok(()) };
    let ca = LabCa::new("Course Lab")?;
    let (ledger, files) = (ledger(&ca).await?, Files::new(&ca)?);
    let (chain, key) = files.add("checkout", &ca.leaf(CHECKOUT).for_clients().issue()?)?;
    let script = format!("{}/python/mutual.py", env!("CARGO_MANIFEST_DIR"));
    let (port, root) = (ledger.address().port().to_string(), files.text("ca.pem"));
    let said = python.run([script.as_str(), &port, "/charge", &root, &chain, &key]);
    assert_eq!(said.said.trim(), format!("200 charged for {CHECKOUT}"));
    let without = python.run([script.as_str(), &port, "/charge", &root]);
    assert_ne!(without.code, Some(0), "{}", without.said);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_is_refused_without_a_certificate_and_served_with_one() -> TestResult {
    let Some(openssl) = Peer::openssl() else { return Ok(()) };
    let ca = LabCa::new("Course Lab")?;
    let (ledger, files) = (ledger(&ca).await?, Files::new(&ca)?);
    let (chain, key) = files.add("checkout", &ca.leaf(CHECKOUT).for_clients().issue()?)?;
    let (address, root) = (ledger.address().to_string(), files.text("ca.pem"));
    let how = [
        "s_client",
        "-connect",
        &address,
        "-servername",
        LEDGER_NAME,
        "-CAfile",
        &root,
        "-alpn",
        "http/1.1",
        "-verify_return_error",
        "-quiet",
        "-ign_eof",
    ];
    let request =
        format!("GET /charge HTTP/1.1\r\nHost: {LEDGER_NAME}\r\nConnection: close\r\n\r\n");
    let intermediate = files.text("intermediate.pem");
    std::fs::write(&intermediate, ca.intermediate_pem())?;
    let own = ["-cert", &chain, "-key", &key, "-cert_chain", &intermediate];
    let with = openssl.run_with_input([&how[..], &own].concat(), &request);
    assert!(with.said.contains(&format!("charged for {CHECKOUT}")), "{}", with.said);
    let without = openssl.run_with_input(how, &request);
    assert!(!without.said.contains("charged"), "{}", without.said);
    assert!(without.said.contains("certificate required"), "{}", without.said);
    Ok(())
}

#[test]
fn openssl_accepts_the_issuers_chain_and_list_and_makes_requests_for_it() -> TestResult {
    let Some(openssl) = Peer::openssl() else { return Ok(()) };
    let ca = LabCa::new("Course Lab")?;
    let (files, mut issuer) =
        (Files::new(&ca)?, issuer(&ca, "Course Lab", Duration::from_secs(24 * 3600))?);
    // A request of OpenSSL's, which wishes for more.
    let (key, request) = (files.text("openssl.key"), files.text("request.der"));
    let made = openssl.run([
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        &key,
        "-subj",
        "/CN=admin",
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-addext",
        "subjectAltName=DNS:admin.bank.test",
        "-outform",
        "der",
        "-out",
        &request,
    ]);
    assert_eq!(made.code, Some(0), "{}", made.said);
    let der = std::fs::read(&request)?;
    assert!(der.len() < LONGEST);
    let proved = ProvedKey::of_request(&der)?;
    let entitled = Entitlement { id: CHECKOUT.to_owned(), dns_names: Vec::new(), calls: true };
    let issued = issuer.issue(&proved, &entitled, now())?;
    let pem = |der: &[u8], label: &str| {
        format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", base64_lines(der))
    };
    std::fs::write(files.path("leaf.pem"), pem(&issued.chain[0], "CERTIFICATE"))?;
    std::fs::write(files.path("above.pem"), pem(&issued.chain[1], "CERTIFICATE"))?;
    let day = Duration::from_secs(24 * 3600);
    let write_lists = |issuer: &mut careful_issuer::issuer::Issuer| -> TestResult {
        let lists = [ca.root_crl()?.pem()?, pem(&issuer.list(now(), day)?, "X509 CRL")];
        Ok(std::fs::write(files.path("lists.pem"), lists.concat())?)
    };
    let (root, above, leaf, lists) = (
        files.text("ca.pem"),
        files.text("above.pem"),
        files.text("leaf.pem"),
        files.text("lists.pem"),
    );
    let verify = || {
        openssl.run([
            "verify",
            "-x509_strict",
            "-purpose",
            "sslclient",
            "-crl_check_all",
            "-CRLfile",
            &lists,
            "-CAfile",
            &root,
            "-untrusted",
            &above,
            &leaf,
        ])
    };
    write_lists(&mut issuer)?;
    let good = verify();
    assert_eq!(good.code, Some(0), "{}", good.said);
    issuer.revoke(&issued.serial, now())?;
    write_lists(&mut issuer)?;
    let revoked = verify();
    assert!(revoked.code != Some(0) && revoked.said.contains("revoked"), "{}", revoked.said);
    // A weak key, and another curve.
    for how in [&["rsa:1024"][..], &["rsa:2048"], &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]] {
        let arguments = [
            &["req", "-new", "-newkey"][..],
            how,
            &["-nodes", "-keyout", &key, "-subj", "/CN=x", "-outform", "der", "-out", &request],
        ];
        assert_eq!(openssl.run(arguments.concat()).code, Some(0));
        assert_eq!(ProvedKey::of_request(&std::fs::read(&request)?), Err(RequestError::Key));
    }
    Ok(())
}

/// Base64 in lines of 64 characters.
fn base64_lines(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    text.as_bytes().chunks(64).map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect()
}

/// A foreign server that demands a client's certificate, and checks lists.
struct Demanding {
    ca: LabCa,
    files: Files,
    chain: String,
    key: String,
}

impl Demanding {
    fn new(revoked: &[&Identity], ca: LabCa) -> Result<Self, Box<dyn Error>> {
        let files = Files::new(&ca)?;
        let (chain, key) = files.add("ledger", &ca.leaf(LEDGER).also_for(LEDGER_NAME).issue()?)?;
        let lists = [ca.root_crl()?.pem()?, ca.crl(revoked)?.pem()?].concat();
        std::fs::write(files.path("lists.pem"), &lists)?;
        std::fs::write(files.path("trust.pem"), [ca.root_pem(), lists].concat())?;
        std::fs::write(files.path("intermediate.pem"), ca.intermediate_pem())?;
        Ok(Self { ca, files, chain, key })
    }

    async fn answers(&self, port: u16, identity: &Identity) -> anyhow::Result<String> {
        let client = with(&credentials(identity), &trust(&self.ca))?;
        ask(&client, SocketAddr::from(([127, 0, 0, 1], port)), "/").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_demands_our_certificate_and_refuses_a_revoked_one() -> TestResult {
    let Some(openssl) = Peer::openssl() else { return Ok(()) };
    let ca = LabCa::new("Course Lab")?;
    let stolen = ca.leaf(CHECKOUT).for_clients().issue()?;
    let photos = ca.leaf(PHOTOS).for_clients().issue()?;
    let stage = Demanding::new(&[&stolen], ca)?;
    let (trust, above) = (stage.files.text("trust.pem"), stage.files.text("intermediate.pem"));
    let server = openssl.serve([
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-www",
        "-alpn",
        "http/1.1",
        "-cert",
        &stage.chain,
        "-key",
        &stage.key,
        "-cert_chain",
        &above,
        "-CAfile",
        &trust,
        "-Verify",
        "2",
        "-verify_return_error",
        "-crl_check_all",
    ]);
    let answer = stage.answers(server.port, &photos).await?;
    assert!(answer.contains("Client certificate"), "{answer}");
    let refused = stage.answers(server.port, &stolen).await.expect_err("it is revoked");
    assert!(format!("{refused:#}").contains("CertificateRevoked"), "{refused:#}");
    Ok(())
}

/// An HTTPS server of Node's, which answers with its client's names.
const NODE: &str = r#"
const [chain, key, ca, crl] = process.argv.slice(1).map(file => require("fs").readFileSync(file));
const lists = crl.toString().split(/(?<=-----END X509 CRL-----\n)/).filter(list => list.trim());
const options = { cert: chain, key, ca, crl: lists, requestCert: true, rejectUnauthorized: true,
                  minVersion: "TLSv1.3" };
const server = require("https").createServer(options, (request, response) =>
    response.end(request.socket.getPeerCertificate().subjectaltname));
server.listen(0, "127.0.0.1", () => console.log("listening on " + server.address().port));
"#;

#[tokio::test(flavor = "multi_thread")]
async fn node_demands_our_certificate_and_refuses_a_revoked_one() -> TestResult {
    let Some(node) = Peer::node() else { return Ok(()) };
    let ca = LabCa::new("Course Lab")?;
    let stolen = ca.leaf(CHECKOUT).for_clients().issue()?;
    let photos = ca.leaf(PHOTOS).for_clients().issue()?;
    let stage = Demanding::new(&[&stolen], ca)?;
    let (root, lists) = (stage.files.text("ca.pem"), stage.files.text("lists.pem"));
    let server = node.serve(["-e", NODE, "--", &stage.chain, &stage.key, &root, &lists]);
    assert_eq!(stage.answers(server.port, &photos).await?, format!("URI:{PHOTOS}"));
    assert!(stage.answers(server.port, &stolen).await.is_err(), "it is revoked");
    Ok(())
}
