//! Foreign peers: our server with openssl s_client, Python's ssl, Node's tls and gnutls-cli; our
//! client with openssl s_server and a Python server. Each is trusted, and refused for the right
//! reason.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use careful_errors::ErrorChain;
use careful_lines::{LINE_DEADLINE, LONGEST_LINE, read_line};
use careful_tls::config::{client_config, server_config};
use careful_tls::identity::ServerIdentity;
use careful_tls::server::{Deadlines, Event, Limits, TlsServer};
use careful_tls::stream::{close, connect};
use peers::{Finished, Peer};
use rustls::pki_types::ServerName;
use shared::LabCa;
use tempfile::TempDir;
use tls_sockets::lab::echo::{EchoDeadlines, PROTOCOL, echo};
use tls_sockets::lab::{BOTH, SERVER, server};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

type TestResult = Result<(), Box<dyn Error>>;
const PATIENCE: Duration = Duration::from_secs(10);
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/secure_socket.py");

/// Our echo server, and the files that a foreign client needs.
struct Stage {
    server: TlsServer,
    events: mpsc::UnboundedReceiver<Event>,
    folder: TempDir,
}

impl Stage {
    /// The take-home configuration: TLS 1.3.
    async fn take_home() -> Result<Self, Box<dyn Error>> {
        Self::start(|ca| {
            let leaf = ca.leaf(SERVER).issue()?;
            Ok(server_config(ServerIdentity { chain: leaf.chain(), key: leaf.key() }, PROTOCOL)?)
        })
        .await
    }

    /// TLS 1.2 as well, for peers that are told to use it.
    async fn with_both_versions() -> Result<Self, Box<dyn Error>> {
        Self::start(|ca| {
            let mut config = server(&ca.leaf(SERVER).issue()?, BOTH)?;
            config.alpn_protocols = vec![PROTOCOL.to_vec()];
            Ok(Arc::new(config))
        })
        .await
    }

    async fn start(
        configure: impl Fn(&LabCa) -> Result<Arc<rustls::ServerConfig>, Box<dyn Error>>,
    ) -> Result<Self, Box<dyn Error>> {
        let ca = LabCa::new("Course Lab")?;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("ca.pem"), ca.root_pem())?;
        std::fs::write(folder.path().join("stranger.pem"), LabCa::new("Stranger")?.root_pem())?;
        let (report, events) = mpsc::unbounded_channel();
        // A foreign client that keeps the connection open is left after half a second.
        let line = Duration::from_millis(500);
        let server = TlsServer::start(
            TcpListener::bind(("127.0.0.1", 0)).await?,
            configure(&ca)?,
            Limits::default(),
            Deadlines::default(),
            move |event| drop(report.send(event)),
            move |connection| echo(connection, EchoDeadlines { line, ..EchoDeadlines::default() }),
        )?;
        Ok(Self { server, events, folder })
    }

    fn port(&self) -> String {
        self.server.address().port().to_string()
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// What the server saw of the next client that it refused, or that refused it.
    async fn refusal(&mut self) -> Result<String, Box<dyn Error>> {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await?;
        match event.ok_or("the server is gone")? {
            Event::Refused(_, why) => Ok(ErrorChain(&why).to_string()),
            Event::AcceptFailed(error) => Err(error.into()),
        }
    }
}

fn s_client(openssl: &Peer, stage: &Stage, ca: &str, name: &str, more: &[&str]) -> Finished {
    let address = format!("127.0.0.1:{}", stage.port());
    let ca = stage.file(ca);
    let fixed = [
        "s_client",
        "-connect",
        &address,
        "-servername",
        name,
        "-verify_hostname",
        name,
        "-verify_return_error",
        "-CAfile",
        &ca,
        "-alpn",
        "course-echo/1",
        "-ign_eof",
    ];
    openssl.run_with_input([&fixed[..], more].concat(), "hello\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_is_served_in_both_versions_and_refuses_for_each_reason() -> TestResult {
    let Some(openssl) = Peer::openssl() else { return Ok(()) };
    let mut stage = Stage::with_both_versions().await?;
    for (version, suite) in
        [("-tls1_3", "TLS_AES_256_GCM_SHA384"), ("-tls1_2", "ECDHE-ECDSA-AES256-GCM-SHA384")]
    {
        let good = s_client(&openssl, &stage, "ca.pem", SERVER, &[version]);
        for expected in ["Verification: OK", "ALPN protocol: course-echo/1", suite, "\nhello\n"] {
            assert!(good.said.contains(expected), "expected {expected}: {}", good.said);
        }
    }
    let strange = s_client(&openssl, &stage, "stranger.pem", SERVER, &[]);
    assert!(strange.said.contains("unable to get local issuer certificate"), "{}", strange.said);
    assert!(stage.refusal().await?.contains("UnknownCA"));
    let wrong_name = s_client(&openssl, &stage, "ca.pem", "shop.test", &[]);
    assert!(wrong_name.said.contains("hostname mismatch"), "{}", wrong_name.said);
    assert!(stage.refusal().await?.contains("BadCertificate"));
    let old = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
    let ancient = s_client(&openssl, &stage, "ca.pem", SERVER, &old);
    assert!(ancient.code != Some(0) && !ancient.said.contains("\nhello\n"), "{}", ancient.said);
    assert!(stage.refusal().await?.contains("peer is incompatible"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_take_home_server_refuses_openssl_in_tls_1_2() -> TestResult {
    let Some(openssl) = Peer::openssl() else { return Ok(()) };
    let mut stage = Stage::take_home().await?;
    let refused = s_client(&openssl, &stage, "ca.pem", SERVER, &["-tls1_2"]);
    assert!(refused.said.contains("alert protocol version"), "{}", refused.said);
    assert!(stage.refusal().await?.contains("peer is incompatible"));
    Ok(())
}

#[test]
fn openssl_accepts_both_kinds_of_chain_in_its_strict_mode() -> TestResult {
    let Some(openssl) = Peer::openssl() else { return Ok(()) };
    for ca in [LabCa::new("Course Lab")?, LabCa::with_ed25519("Course Lab")?] {
        let folder = tempfile::tempdir()?;
        let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        ca.leaf(SERVER).issue()?.write_to(folder.path())?;
        std::fs::write(file("ca.pem"), ca.root_pem())?;
        std::fs::write(file("intermediate.pem"), ca.intermediate_pem())?;
        let verified = openssl.run([
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-verify_hostname",
            SERVER,
            "-CAfile",
            &file("ca.pem"),
            "-untrusted",
            &file("intermediate.pem"),
            &file("chain.pem"),
        ]);
        assert_eq!(verified.code, Some(0), "{}", verified.said);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn python_is_served_in_both_versions_and_refuses_for_each_reason() -> TestResult {
    let Some(python) = Peer::python("ssl") else { return Ok(()) };
    let mut stage = Stage::with_both_versions().await?;
    let ask = |ca: &str, name: &str, version: &str| {
        let (port, ca) = (stage.port(), stage.file(ca));
        python.run([
            PYTHON,
            "connect",
            &port,
            "--name",
            name,
            "--ca",
            &ca,
            "--max-version",
            version,
        ])
    };
    let good = ask("ca.pem", SERVER, "1.3");
    assert_eq!((good.code, good.said.trim()), (Some(0), "TLSv1.3 hello"));
    let old = ask("ca.pem", SERVER, "1.2");
    assert_eq!((old.code, old.said.trim()), (Some(0), "TLSv1.2 hello"));
    let strange = ask("stranger.pem", SERVER, "1.3");
    assert!(strange.code == Some(1) && strange.said.contains("local issuer"), "{}", strange.said);
    let wrong_name = ask("ca.pem", "shop.test", "1.3");
    assert!(
        wrong_name.code == Some(1) && wrong_name.said.contains("mismatch"),
        "{}",
        wrong_name.said
    );
    assert!(stage.refusal().await?.contains("UnknownCA"));
    assert!(stage.refusal().await?.contains("BadCertificate"));
    Ok(())
}

const NODE: &str = r"
const [port, ca, name, version] = process.argv.slice(1);
const socket = require('tls').connect({ host: '127.0.0.1', port, servername: name, minVersion: version,
    maxVersion: version, ca: require('fs').readFileSync(ca), ALPNProtocols: ['course-echo/1'] }, () => {
    process.stdout.write(socket.getProtocol() + ' ' + socket.alpnProtocol + ' ');
    socket.write('hello\n');
});
socket.setEncoding('utf8').once('data', (text) => { process.stdout.write(text); socket.end(); });
socket.on('error', (error) => { console.error(error.code); process.exitCode = 1; });
socket.setTimeout(10000, () => socket.destroy(new Error('timeout')));
";

#[tokio::test(flavor = "multi_thread")]
async fn node_is_served_in_both_versions_and_refuses_for_each_reason() -> TestResult {
    let Some(node) = Peer::node() else { return Ok(()) };
    let stage = Stage::with_both_versions().await?;
    let ask = |ca: &str, name: &str, version: &str| {
        node.run(["-e", NODE, "--", &stage.port(), &stage.file(ca), name, version])
    };
    for version in ["TLSv1.3", "TLSv1.2"] {
        let good = ask("ca.pem", SERVER, version);
        assert_eq!(good.said, format!("{version} course-echo/1 hello\n"));
    }
    let strange = ask("stranger.pem", SERVER, "TLSv1.3");
    let expected = ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"];
    assert!(expected.contains(&strange.said.trim()), "{}", strange.said);
    let wrong_name = ask("ca.pem", "shop.test", "TLSv1.3");
    assert_eq!(wrong_name.said.trim(), "ERR_TLS_CERT_ALTNAME_INVALID");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn gnutls_is_served_in_both_versions_and_refuses_for_each_reason() -> TestResult {
    let Some(gnutls) = Peer::gnutls() else { return Ok(()) };
    let stage = Stage::with_both_versions().await?;
    let ask = |ca: &str, name: &str, version: &str| {
        let (port, ca) = (stage.port(), format!("--x509cafile={}", stage.file(ca)));
        let sni = [format!("--sni-hostname={name}"), format!("--verify-hostname={name}")];
        let priority = format!("--priority=NORMAL:-VERS-ALL:+VERS-{version}");
        let alpn = "--alpn=course-echo/1";
        gnutls.run_with_input(
            [&ca, &sni[0], &sni[1], &priority, alpn, "-p", &port, "127.0.0.1"],
            "hello\n",
        )
    };
    for version in ["TLS1.3", "TLS1.2"] {
        let good = ask("ca.pem", SERVER, version);
        for expected in ["The certificate is trusted", version, "hello"] {
            assert!(good.said.contains(expected), "expected {expected}: {}", good.said);
        }
    }
    let strange = ask("stranger.pem", SERVER, "TLS1.3");
    assert!(
        strange.code != Some(0) && strange.said.contains("issuer is unknown"),
        "{}",
        strange.said
    );
    let wrong_name = ask("ca.pem", "shop.test", "TLS1.3");
    assert!(wrong_name.code != Some(0) && wrong_name.said.contains("name"), "{}", wrong_name.said);
    Ok(())
}

/// Our client says hello; returns the answer.
async fn hello(ca: &LabCa, name: &str, port: u16) -> Result<String, Box<dyn Error>> {
    let config = client_config(ca.roots(), PROTOCOL)?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let name = ServerName::try_from(name.to_owned())?;
    let mut stream = BufReader::new(connect(config, address, name, PATIENCE).await?);
    stream.write_all(b"hello\n").await?;
    stream.flush().await?;
    let answer = read_line(&mut stream, LONGEST_LINE, LINE_DEADLINE).await?.ok_or("no answer")?;
    close(&mut stream, PATIENCE).await?;
    Ok(answer)
}

async fn refused(ca: &LabCa, name: &str, port: u16) -> String {
    let error = hello(ca, name, port).await.expect_err("the client must refuse");
    ErrorChain(error.as_ref()).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_is_served_by_openssl_and_refuses_it_for_each_reason() -> TestResult {
    let Some(openssl) = Peer::openssl() else { return Ok(()) };
    let ca = LabCa::new("Course Lab")?;
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    ca.leaf(SERVER).issue()?.write_to(folder.path())?;
    std::fs::write(file("intermediate.pem"), ca.intermediate_pem())?;
    let serve = |more: &[&str]| {
        let (chain, key, above) = (file("chain.pem"), file("key.pem"), file("intermediate.pem"));
        // -rev answers each line reversed.
        let fixed = [
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-rev",
            "-cert",
            &chain,
            "-key",
            &key,
            "-cert_chain",
            &above,
        ];
        openssl.serve([&fixed[..], more].concat())
    };
    let server = serve(&["-alpn", "course-echo/1"]);
    assert_eq!(hello(&ca, SERVER, server.port).await?, "olleh");
    assert!(refused(&LabCa::new("Stranger")?, SERVER, server.port).await.contains("UnknownIssuer"));
    assert!(refused(&ca, "shop.test", server.port).await.contains("not valid for name"));
    let without_alpn = serve(&[]);
    assert!(refused(&ca, SERVER, without_alpn.port).await.contains("agreed on none"));
    let old = serve(&["-alpn", "course-echo/1", "-tls1_2"]);
    assert!(refused(&ca, SERVER, old.port).await.contains("ProtocolVersion"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_is_served_by_python_and_refuses_it_for_each_reason() -> TestResult {
    let Some(python) = Peer::python("ssl") else { return Ok(()) };
    let ca = LabCa::new("Course Lab")?;
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    ca.leaf(SERVER).issue()?.write_to(folder.path())?;
    let (chain, key) = (file("chain.pem"), file("key.pem"));
    let server = python.serve([PYTHON, "serve", "--chain", &chain, "--key", &key]);
    assert_eq!(hello(&ca, SERVER, server.port).await?, "hello");
    assert!(refused(&LabCa::new("Stranger")?, SERVER, server.port).await.contains("UnknownIssuer"));
    assert!(refused(&ca, "shop.test", server.port).await.contains("not valid for name"));
    let old =
        python.serve([PYTHON, "serve", "--chain", &chain, "--key", &key, "--max-version", "1.2"]);
    assert!(refused(&ca, SERVER, old.port).await.contains("ProtocolVersion"));
    Ok(())
}

#[cfg(unix)]
#[test]
fn the_lines_that_serve_prints_work_in_a_shell() {
    let (Some(python), Some(_openssl)) = (Peer::python("ssl"), Peer::openssl()) else { return };
    let served = peers::Served::start(env!("CARGO_BIN_EXE_lesson-2"), &[]);
    for (program, says) in [("openssl", "Verify return code: 0 (ok)"), ("python3", "TLSv1.3")] {
        let ran = served.run(served.line_of(program), &python, "");
        assert!(ran.code == Some(0) && ran.said.contains(says), "{program}: {}", ran.said);
    }
}
