//! Foreign peers: our server with curl, Python's requests and Node; our client with a
//! Python server and openssl s_server. Each is trusted, and refused for the right reason.

use std::error::Error;
use std::path::{Path, PathBuf};

use careful_errors::ErrorChain;
use careful_https::body::{read_body, read_json};
use careful_https::client::secure_client;
use https::lab::Host;
use https::lab::bank::{Balance, TOKEN};
use https::lab::server::{HandshakeError, Negotiated};
use https::lab::stage::{BANK, Stage, bank_at, trust};
use peers::Peer;
use reqwest::tls::Version;
use rustls::ProtocolVersion;
use shared::{Identity, LabCa};
use tempfile::TempDir;

type TestResult = Result<(), Box<dyn Error>>;

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/");

/// Files that a foreign program reads: the trusted CA, a strange CA, a chain and its key.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new(ca: &LabCa, identity: &Identity) -> Result<Self, Box<dyn Error>> {
        // A folder that only its owner can enter, so the key inside is as safe as in a
        // file of mode 600.
        let files = Self { folder: tempfile::Builder::new().prefix("peers").tempdir()? };
        std::fs::write(files.path("ca.pem"), ca.root_pem())?;
        std::fs::write(files.path("stranger.pem"), LabCa::new("Stranger")?.root_pem())?;
        std::fs::write(files.path("intermediate.pem"), ca.intermediate_pem())?;
        std::fs::write(files.path("chain.pem"), identity.chain_pem())?;
        std::fs::write(files.path("key.pem"), identity.key_pem())?;
        Ok(files)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }
}

/// What the server saw of a client that left the handshake.
fn why(seen: Result<Negotiated, HandshakeError>) -> String {
    match seen {
        Ok(agreed) => format!("{:?}", agreed.version),
        Err(error) => ErrorChain(&error).to_string(),
    }
}

#[test]
fn openssl_accepts_our_chain_in_its_strict_mode() -> TestResult {
    let Some(openssl) = Peer::openssl() else { return Ok(()) };
    let ca = LabCa::new("Course Lab")?;
    let files = Files::new(&ca, &ca.leaf(BANK).issue()?)?;
    let (root, intermediate) = (files.text("ca.pem"), files.text("intermediate.pem"));
    let verify = ["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", BANK];
    let good = openssl.run(
        [&verify[..], &["-CAfile", &root, "-untrusted", &intermediate, &files.text("chain.pem")]]
            .concat(),
    );
    assert_eq!(good.code, Some(0), "{}", good.said);
    let strange = files.text("stranger.pem");
    let bad = openssl.run(
        [
            &verify[..],
            &["-CAfile", &strange, "-untrusted", &intermediate, &files.text("chain.pem")],
        ]
        .concat(),
    );
    assert!(bad.code != Some(0) && bad.said.contains("unable to get"), "{}", bad.said);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_is_served_and_refuses_a_strange_ca_and_a_wrong_name() -> TestResult {
    let Some(curl) = Peer::curl() else { return Ok(()) };
    let mut stage = Stage::new().await?;
    let files = Files::new(&stage.ca, &stage.ca.leaf(BANK).issue()?)?;
    let ask = |ca: &str, name: &str, version: &[&str]| {
        let port = stage.server.address().port();
        let resolve = format!("{name}:{port}:127.0.0.1");
        let (url, token) =
            (format!("https://{name}:{port}/balance"), format!("Authorization: Bearer {TOKEN}"));
        let fixed = [
            "--silent",
            "--show-error",
            "--max-time",
            "10",
            "--cacert",
            ca,
            "--resolve",
            &resolve,
            "-H",
            &token,
        ];
        // Windows' own curl would ask the network whether a certificate was revoked.
        let version = [version, if cfg!(windows) { &["--ssl-no-revoke"] } else { &[] }].concat();
        curl.run([&fixed[..], &version, &[&url]].concat())
    };
    let good = ask(&files.text("ca.pem"), BANK, &["--tlsv1.3"]);
    assert_eq!((good.code, good.said.as_str()), (Some(0), r#"{"owner":"alice","coins":100}"#));
    let old = ask(&files.text("ca.pem"), BANK, &["--tls-max", "1.2"]);
    assert_eq!(old.code, Some(0), "{}", old.said);
    // 60: the peer's certificate cannot be authenticated.
    let strange = ask(&files.text("stranger.pem"), BANK, &[]);
    assert_eq!(strange.code, Some(60), "{}", strange.said);
    let wrong_name = ask(&files.text("ca.pem"), "shop.test", &[]);
    assert_eq!(wrong_name.code, Some(60), "{}", wrong_name.said);
    // 35: the handshake failed.
    let ancient = ask(&files.text("ca.pem"), BANK, &["--tls-max", "1.1"]);
    assert!(matches!(ancient.code, Some(35 | 4)), "{ancient:?}");

    assert_eq!(stage.server.handshake().await?.version, Some(ProtocolVersion::TLSv1_3));
    assert_eq!(stage.server.handshake().await?.version, Some(ProtocolVersion::TLSv1_2));
    let seen = why(stage.server.handshake().await);
    assert!(
        seen.contains("UnknownCA") || seen.contains("UnknownCa") || seen.contains("eof"),
        "{seen}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn python_requests_is_served_and_refuses_a_strange_ca_and_a_wrong_name() -> TestResult {
    let Some(python) = Peer::python("requests") else { return Ok(()) };
    let stage = Stage::new().await?;
    let files = Files::new(&stage.ca, &stage.ca.leaf(BANK).issue()?)?;
    let url = format!("https://127.0.0.1:{}/balance", stage.address().port());
    let script = format!("{PYTHON}https_get.py");
    let ask = |ca: &str, name: &[&str]| {
        python.run([&[script.as_str(), &url, "--ca", ca, "--token", TOKEN], name].concat())
    };
    let good = ask(&files.text("ca.pem"), &["--resolve", BANK]);
    assert_eq!((good.code, good.said.trim()), (Some(0), r#"{"owner":"alice","coins":100}"#));
    let by_address = ask(&files.text("ca.pem"), &[]);
    assert_eq!(by_address.code, Some(0), "{}", by_address.said);
    let strange = ask(&files.text("stranger.pem"), &["--resolve", BANK]);
    assert!(
        strange.code == Some(1) && strange.said.contains("unable to get local issuer"),
        "{}",
        strange.said
    );
    let wrong_name = ask(&files.text("ca.pem"), &["--resolve", "shop.test"]);
    assert!(
        wrong_name.code == Some(1) && wrong_name.said.contains("doesn't match"),
        "{}",
        wrong_name.said
    );
    let no_ca = ask("no-such-ca.pem", &[]);
    assert!(no_ca.code == Some(2) && no_ca.said.contains("no-such-ca.pem"), "{}", no_ca.said);
    Ok(())
}

const NODE: &str = r#"
const [port, ca, name, token] = process.argv.slice(1);
const options = { host: '127.0.0.1', port, path: '/balance', servername: name,
    ca: require('fs').readFileSync(ca), headers: { authorization: 'Bearer ' + token }, timeout: 10000 };
const request = require('https').get(options, (answer) => {
    process.stdout.write(answer.socket.getProtocol() + ' ');
    answer.setEncoding('utf8').on('data', (text) => process.stdout.write(text));
});
request.on('timeout', () => request.destroy(new Error('timeout')));
request.on('error', (error) => { console.error(error.code); process.exitCode = 1; });
"#;

#[tokio::test(flavor = "multi_thread")]
async fn node_is_served_and_refuses_a_strange_ca_and_a_wrong_name() -> TestResult {
    let Some(node) = Peer::node() else { return Ok(()) };
    let stage = Stage::new().await?;
    let files = Files::new(&stage.ca, &stage.ca.leaf(BANK).issue()?)?;
    let port = stage.address().port().to_string();
    let ask = |ca: &str, name: &str| node.run(["-e", NODE, "--", &port, ca, name, TOKEN]);
    let good = ask(&files.text("ca.pem"), BANK);
    assert_eq!(
        (good.code, good.said.as_str()),
        (Some(0), r#"TLSv1.3 {"owner":"alice","coins":100}"#)
    );
    let strange = ask(&files.text("stranger.pem"), BANK);
    let expected = ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"];
    assert!(expected.contains(&strange.said.trim()), "{}", strange.said);
    let wrong_name = ask(&files.text("ca.pem"), "shop.test");
    assert_eq!(wrong_name.said.trim(), "ERR_TLS_CERT_ALTNAME_INVALID");
    Ok(())
}

/// Our client asks a foreign server for a balance.
async fn balance(ca: &LabCa, host: &Host) -> Result<Balance, Box<dyn Error>> {
    let client = secure_client(&trust(ca)?)?.resolve(host.name, host.address).build()?;
    Ok(read_json(client.get(host.url("/balance")).send().await?.error_for_status()?, 4096).await?)
}

fn at(port: u16) -> Host {
    bank_at(([127, 0, 0, 1], port).into())
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_is_served_by_a_python_server_and_refuses_it_for_each_reason() -> TestResult {
    let Some(python) = Peer::python("ssl") else { return Ok(()) };
    let ca = LabCa::new("Course Lab")?;
    let files = Files::new(&ca, &ca.leaf(BANK).issue()?)?;
    let script = format!("{PYTHON}https_server.py");
    let (chain, key) = (files.text("chain.pem"), files.text("key.pem"));
    let server = python.serve([script.as_str(), "--chain", &chain, "--key", &key]);
    assert_eq!(
        balance(&ca, &at(server.port)).await?,
        Balance { owner: "alice".to_owned(), coins: 100 }
    );

    let stranger =
        balance(&LabCa::new("Stranger")?, &at(server.port)).await.expect_err("not our CA");
    assert!(ErrorChain(stranger.as_ref()).to_string().contains("UnknownIssuer"));
    let shop = Host { name: "shop.test", ..at(server.port) };
    let wrong_name = balance(&ca, &shop).await.expect_err("not its name");
    assert!(ErrorChain(wrong_name.as_ref()).to_string().contains("not valid for name"));

    let old =
        python.serve([script.as_str(), "--chain", &chain, "--key", &key, "--max-version", "1.2"]);
    let refused = balance(&ca, &at(old.port)).await.expect_err("TLS 1.2");
    assert!(ErrorChain(refused.as_ref()).to_string().contains("ProtocolVersion"));
    let bank = at(old.port);
    let client =
        secure_client(&trust(&ca)?)?.tls_version_min(Version::TLS_1_2).resolve(BANK, bank.address);
    assert_eq!(client.build()?.get(bank.url("/")).send().await?.status(), 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_is_served_by_openssl_and_refuses_it_for_each_reason() -> TestResult {
    let Some(openssl) = Peer::openssl() else { return Ok(()) };
    let ca = LabCa::new("Course Lab")?;
    let identity = ca.leaf(BANK).issue()?;
    let files = Files::new(&ca, &identity)?;
    let serve = |chain: &Path| {
        let arguments =
            ["s_server", "-accept", "127.0.0.1:0", "-www", "-cert", &chain.to_string_lossy()]
                .map(str::to_owned);
        let rest = ["-cert_chain", &files.text("intermediate.pem"), "-key", &files.text("key.pem")]
            .map(str::to_owned);
        openssl.serve([&arguments[..], &rest].concat())
    };
    let server = serve(&files.path("chain.pem"));
    let bank = at(server.port);
    let ask = async |ca: &LabCa| -> Result<Vec<u8>, Box<dyn Error>> {
        let client = secure_client(&trust(ca)?)?.resolve(BANK, bank.address).build()?;
        // s_server serves one connection after the other, so each must end: the body is
        // read and dropped.
        Ok(read_body(client.get(bank.url("/")).send().await?.error_for_status()?, 64 * 1024)
            .await?)
    };
    let page = String::from_utf8(ask(&ca).await?)?;
    assert!(page.contains("TLSv1.3"), "{page}");
    let error = ask(&LabCa::new("Stranger")?).await.expect_err("not our CA");
    assert!(ErrorChain(error.as_ref()).to_string().contains("UnknownIssuer"), "{error}");
    Ok(())
}

#[cfg(unix)]
#[test]
fn the_lines_that_serve_prints_work_in_a_shell() {
    let peers = (Peer::python("requests"), Peer::curl(), Peer::openssl());
    let (Some(python), Some(_curl), Some(_openssl)) = peers else { return };
    let served = peers::Served::start(env!("CARGO_BIN_EXE_lesson-1"), &[]);
    for (program, says) in [
        ("curl", r#"{"owner":"alice","coins":100}"#),
        ("openssl", "Verify return code: 0 (ok)"),
        ("python3", r#"{"owner":"alice","coins":100}"#),
    ] {
        let ran = served.run(served.line_of(program), &python, "");
        assert!(ran.code == Some(0) && ran.said.contains(says), "{program}: {}", ran.said);
    }
}
