//! The claims of lesson 1, and what its take-home code does with bad input.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use anyhow::ensure;
use careful_certificates::pem::PemError;
use careful_certificates::roots::{MAX_FILE, Roots, RootsError};
use careful_errors::ErrorChain;
use careful_https::body::{BodyError, read_body, read_json};
use https::lab::bank::TOKEN;
use https::lab::careless;
use https::lab::interceptor::Interceptor;
use https::lab::server::{MAX_BODY, TLS_1_2_AND_1_3, TLS_1_2_ONLY, server_tls};
use https::lab::stage::{BANK, Stage, bank_at};
use https::lab::stall::Stall;
use reqwest::ClientBuilder;
use shared::{LabCa, Wiretap};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type TestResult = Result<(), Box<dyn Error>>;

fn chain(error: &(dyn Error + 'static)) -> String {
    ErrorChain(error).to_string()
}

#[tokio::test]
async fn the_secure_client_is_served_in_tls_1_3_with_the_post_quantum_group() -> TestResult {
    let mut stage = Stage::new().await?;
    let client = stage.client(&stage.host())?.build()?;
    let answer = client.get(stage.host().url("/balance")).bearer_auth(TOKEN).send().await?;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=63072000");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let agreed = stage.server.handshake().await?;
    assert_eq!(agreed.version, Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(agreed.group, Some(rustls::NamedGroup::X25519MLKEM768));
    assert_eq!(agreed.server_name.as_deref(), Some(BANK));
    Ok(())
}

#[tokio::test]
async fn the_secure_client_refuses_plain_http_redirects_and_tls_1_2() -> TestResult {
    let stage = Stage::with_versions(TLS_1_2_ONLY).await?;
    let client = stage.client(&stage.host())?.build()?;
    let plain = client.get("http://bank.test/").send().await.expect_err("no http");
    assert!(chain(&plain).contains("URL scheme is not allowed"), "{}", chain(&plain));
    let old = client.get(stage.host().url("/")).send().await.expect_err("no TLS 1.2");
    assert!(chain(&old).contains("ProtocolVersion"), "{}", chain(&old));
    Ok(())
}

#[tokio::test]
async fn the_secure_client_takes_no_proxy_from_the_environment() -> TestResult {
    let run = run_with_environment(
        "claims::a_client_in_a_proxy_environment",
        &[("HTTPS_PROXY", "http://127.0.0.1:9")],
    )?;
    assert!(run.contains("secure: served") && run.contains("default: tunnel error"), "{run}");
    Ok(())
}

#[tokio::test]
#[ignore = "a child of the test above, which sets its environment"]
async fn a_client_in_a_proxy_environment() -> TestResult {
    let stage = Stage::new().await?;
    stage.client(&stage.host())?.build()?.get(stage.host().url("/")).send().await?;
    println!("secure: served");
    let root = reqwest::Certificate::from_der(&stage.ca.root_der())?;
    let default = reqwest::Client::builder().tls_certs_only([root]).resolve(BANK, stage.address());
    let error = default
        .build()?
        .get(stage.host().url("/"))
        .send()
        .await
        .expect_err("nothing listens on the proxy's port");
    let tunnel =
        ErrorChain(&error).layers().into_iter().find(|layer| layer.contains("tunnel error"));
    println!(
        "default: {}",
        tunnel.as_deref().unwrap_or("no tunnel").split(':').next().unwrap_or_default()
    );
    Ok(())
}

/// A CA added to the platform's store leaves every CA of the platform trusted. The
/// platform is played by `SSL_CERT_FILE`, which Linux's verifier reads.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn an_added_ca_leaves_the_platforms_cas_trusted_and_an_only_ca_does_not() -> TestResult {
    let public = LabCa::new("Public CA")?;
    let mut store = NamedTempFile::new()?;
    store.write_all(public.root_pem().as_bytes())?;
    let identity = public.leaf(BANK).issue()?;
    let server = Stage::with_identity(LabCa::new("Ours")?, &identity, TLS_1_2_AND_1_3).await?;
    let ours = NamedTempFile::new()?;
    std::fs::write(ours.path(), server.ca.root_pem())?;
    let environment = [
        ("SSL_CERT_FILE", store.path().to_string_lossy().into_owned()),
        ("OUR_CA", ours.path().to_string_lossy().into_owned()),
        ("BANK_ADDRESS", server.address().to_string()),
    ];
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let run = run_with_environment("claims::two_clients_and_a_platform", &environment)?;
    assert!(run.contains("added: accepted") && run.contains("only: UnknownIssuer"), "{run}");
    Ok(())
}

#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "a child of the test above, which sets its environment"]
async fn two_clients_and_a_platform() -> TestResult {
    use careful_https::client::{Trust, secure_client};
    let ours = Roots::from_pem_file(std::env::var("OUR_CA")?)?;
    let address: std::net::SocketAddr = std::env::var("BANK_ADDRESS")?.parse()?;
    for (name, trust) in [("added", Trust::PlatformAnd(ours.clone())), ("only", Trust::Only(ours))]
    {
        let client = secure_client(&trust)?.resolve(BANK, address).build()?;
        match client.get(bank_at(address).url("/")).send().await {
            Ok(_) => println!("{name}: accepted"),
            Err(error) => {
                println!("{name}: {}", chain(&error).rsplit(": ").next().unwrap_or_default())
            }
        }
    }
    Ok(())
}

/// Runs one ignored test of this file in a process of its own: an environment is set
/// before a program starts, never in one that has threads.
fn run_with_environment(
    test: &str,
    environment: &[(&str, &str)],
) -> Result<String, Box<dyn Error>> {
    let mut child = std::process::Command::new(std::env::current_exe()?);
    child.args([test, "--exact", "--ignored", "--nocapture"]).envs(environment.iter().copied());
    let output = child.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(said)
    } else {
        Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

#[tokio::test]
async fn an_interceptor_reads_a_careless_client_and_not_a_verifying_one() -> TestResult {
    let stage = Stage::new().await?;
    // A CA of the same name as the trusted one, or of another.
    for (name, reason) in [("Mallory", "UnknownIssuer"), ("Course Lab", "BadSignature")] {
        let identity = LabCa::new(name)?.leaf(BANK).issue()?;
        let bank = stage.host();
        let attack = Interceptor::start(&bank, stage.ca.roots(), &identity, ("a", "a")).await?;
        let url = bank_at(attack.address()).url("/balance");
        let careless =
            careless::accepts_any_certificate().resolve(BANK, attack.address()).build()?;
        careless.get(&url).bearer_auth(TOKEN).send().await?.error_for_status()?;
        assert!(attack.notes().contains(TOKEN), "the attack works against the careless client");

        let attack = Interceptor::start(&bank, stage.ca.roots(), &identity, ("a", "a")).await?;
        let led_astray = bank_at(attack.address());
        let url = led_astray.url("/balance");
        let careful = stage.client(&led_astray)?.build()?;
        let error = careful.get(&url).bearer_auth(TOKEN).send().await.expect_err("refused");
        assert!(chain(&error).contains(reason), "{}", chain(&error));
        assert_eq!(attack.notes(), "", "nothing was decrypted");
    }
    Ok(())
}

#[tokio::test]
async fn the_token_and_the_path_never_cross_the_wire() -> TestResult {
    let stage = Stage::new().await?;
    let tap = Wiretap::listening_to(stage.address()).await?;
    let bank = bank_at(tap.address());
    let client = stage.client(&bank)?.build()?;
    let url = bank.url("/balance");
    client.get(url).bearer_auth(TOKEN).send().await?.error_for_status()?;
    let wire = tap.recording();
    assert!(wire.find(BANK.as_bytes()).is_some(), "the server name is in the clear");
    for secret in [TOKEN, "balance", "alice"] {
        assert_eq!(wire.find(secret.as_bytes()), None, "{secret}");
    }
    Ok(())
}

// Roots

fn written(text: &[u8]) -> Result<NamedTempFile, Box<dyn Error>> {
    let mut file = NamedTempFile::new()?;
    file.write_all(text)?;
    Ok(file)
}

#[test]
fn a_bundle_of_several_cas_with_comments_is_loaded() -> TestResult {
    let bundle = format!(
        "# Two CAs\n{}\nmore words\n{}",
        LabCa::new("A")?.root_pem(),
        LabCa::new("B")?.root_pem()
    );
    let file = written(bundle.as_bytes())?;
    assert_eq!(Roots::from_pem_file(file.path())?.count(), 2);
    Ok(())
}

#[test]
fn empty_broken_and_wrong_ca_files_are_refused_when_they_are_read() -> TestResult {
    let ca = LabCa::new("A")?;
    let good = ca.root_pem();
    let key = ca.leaf(BANK).issue()?.key_pem();
    let broken_base64 = good.replacen("MII", "M!I", 1);
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    type Expected = fn(&RootsError) -> bool;
    let der = ca.root_der();
    let indented = good.replacen("-----BEGIN", " -----BEGIN", 1) + &good;
    let with_mark = format!("\u{feff}{good}{good}");
    let glued = good.trim_end().to_owned() + &good;
    let trusted = good.replace("CERTIFICATE", "TRUSTED CERTIFICATE") + &good;
    let typo = good.replace("BEGIN", "Begin") + &good;
    let encrypted_key = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let one_line_key = key.trim_end().replace('\n', "\\n");
    let both = good.clone() + &key;
    let encrypted = good.clone() + &encrypted_key;
    let cases: [(&str, &[u8], Expected); 15] = [
        ("empty", b"", |e| matches!(e, RootsError::Pem(PemError::NoCertificate(_)))),
        ("garbage", b"garbage", |e| matches!(e, RootsError::Pem(PemError::NoCertificate(_)))),
        ("DER", &der, |e| matches!(e, RootsError::Pem(PemError::NoCertificate(_)))),
        ("cut off", &good.as_bytes()[..200], |e| {
            matches!(e, RootsError::Pem(PemError::BrokenSection { number: 1 }))
        }),
        ("broken base64", broken_base64.as_bytes(), |e| {
            matches!(e, RootsError::Pem(PemError::BrokenSection { number: 1 }))
        }),
        ("a key", key.as_bytes(), |e| {
            matches!(e, RootsError::Pem(PemError::OtherSection { line: 1, .. }))
        }),
        ("a key after a good one", both.as_bytes(), |e| {
            matches!(e, RootsError::Pem(PemError::OtherSection { .. }))
        }),
        ("an encrypted key after a good one", encrypted.as_bytes(), |e| {
            matches!(e, RootsError::Pem(PemError::OtherSection { .. }))
        }),
        ("a key on one line", one_line_key.as_bytes(), |e| {
            matches!(e, RootsError::Pem(PemError::OtherSection { line: 1, .. }))
        }),
        ("an indented one", indented.as_bytes(), |e| {
            matches!(e, RootsError::Pem(PemError::BrokenLine { line: 1 }))
        }),
        ("a byte order mark", with_mark.as_bytes(), |e| {
            matches!(e, RootsError::Pem(PemError::BrokenLine { line: 1 }))
        }),
        ("two glued together", glued.as_bytes(), |e| {
            matches!(e, RootsError::Pem(PemError::BrokenLine { .. }))
        }),
        ("a TRUSTED CERTIFICATE", trusted.as_bytes(), |e| {
            matches!(e, RootsError::Pem(PemError::OtherSection { line: 1, .. }))
        }),
        ("a typing error", typo.as_bytes(), |e| {
            matches!(e, RootsError::Pem(PemError::BrokenLine { line: 1 }))
        }),
        ("no certificate inside", no_certificate.as_bytes(), |e| {
            matches!(e, RootsError::Certificate { number: 1, .. })
        }),
    ];
    for (name, text, expected) in cases {
        let error = Roots::from_pem(text).expect_err(name);
        assert!(expected(&error), "{name}: {error:?}");
        let file = written(text)?;
        let error = Roots::from_pem_file(file.path()).expect_err(name);
        assert!(
            error.to_string().contains(&file.path().display().to_string()),
            "the error names the file: {error}"
        );
        let printed = format!("{} {error:?}", chain(&error));
        let secret = &key[40..60];
        let as_numbers = format!("{:?}", secret.as_bytes());
        assert!(!printed.contains(secret), "{name}: the error holds the key");
        assert!(!printed.contains(&as_numbers[1..as_numbers.len() - 1]), "{name}: in numbers");
    }
    Ok(())
}

#[test]
fn a_second_certificate_that_is_broken_is_named_by_its_number() -> TestResult {
    let text = format!(
        "{}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        LabCa::new("A")?.root_pem()
    );
    assert!(matches!(
        Roots::from_pem(text.as_bytes()),
        Err(RootsError::Certificate { number: 2, .. })
    ));
    Ok(())
}

/// A root of X.509 version 1, as old bundles have them; made by OpenSSL, its key is gone.
const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBMTCB1wIUR1qWBzFBfqO6sbmc3roHptkQknMwCgYIKoZIzj0EAwIwGzEZMBcG
A1UEAwwQT2xkIFJvb3Qgb2YgMTk5ODAeFw0yNjExMjYwNjI1NDBaFw00NjExMjEw
NjI1NDBaMBsxGTAXBgNVBAMMEE9sZCBSb290IG9mIDE5OTgwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAAT861yZuXFw46DTSBtStQjP0LjIEKvIm150IPk6qQnYyboM
9MJ+wz4AWrcj3iO03hHoSCK0fp9C9ui6uQwU6L8YMAoGCCqGSM49BAMCA0kAMEYC
IQCUctD0gGd+HtrlyPxzSQ6N98j87FlYzQJphZt1yl83jQIhANZK7uZPM9Mtndfx
GTaXWwt0xhuyXzAkavpq4t17i0uw
-----END CERTIFICATE-----
";

/// The key of a server's certificate that is trusted as a CA could vouch for every name.
#[test]
fn a_certificate_that_is_no_ca_is_refused_with_whose_it_is_and_what_to_do() -> TestResult {
    let ca = LabCa::new("A")?;
    let self_signed = ca.leaf(BANK).self_signed().issue()?.chain_pem();
    let leaf = ca.leaf(BANK).without_intermediate().issue()?.chain_pem();
    for (text, subject, says) in [
        (leaf, "CN=bank.test", "\"CN=A Intermediate\" issued it. Trust that CA's certificate"),
        (self_signed, "CN=bank.test", "it signed itself"),
        (VERSION_1.to_owned(), "CN=Old Root of 1998", "version 1, which cannot say so"),
    ] {
        let refused = Roots::from_pem(text.as_bytes()).expect_err(says);
        assert!(matches!(refused, RootsError::NotACa { number: 1, .. }), "{refused:?}");
        let text = refused.to_string();
        assert!(text.contains(subject) && text.contains(says), "{text}");
    }
    assert_eq!(Roots::from_pem(ca.intermediate_pem().as_bytes())?.count(), 1);
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_pipe_that_nobody_writes_to_is_refused_at_once() -> TestResult {
    let folder = tempfile::tempdir()?;
    let pipe = folder.path().join("ca.pem");
    if !std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|s| s.success()) {
        return Err("expected mkfifo, which every Unix has".into());
    }
    let error = Roots::from_pem_file(&pipe).expect_err("a pipe is no file");
    assert!(chain(&error).contains("expected a regular file"), "{}", chain(&error));
    Ok(())
}

#[test]
fn a_huge_file_and_a_folder_are_refused() -> TestResult {
    let file = NamedTempFile::new()?;
    file.as_file().set_len(MAX_FILE + 1)?;
    let error = Roots::from_pem_file(file.path()).expect_err("too large");
    assert!(chain(&error).contains("expected at most 1048576 bytes"), "{}", chain(&error));
    let folder = tempfile::tempdir()?;
    assert!(Roots::from_pem_file(folder.path()).is_err());
    Ok(())
}

// Bodies

#[tokio::test]
async fn a_body_is_limited_by_what_comes_and_by_what_is_announced() -> TestResult {
    let stage = Stage::new().await?;
    let client = stage.client(&stage.host())?.build()?;
    let get = async || client.get(stage.host().url("/balance")).bearer_auth(TOKEN).send().await;
    let exact = r#"{"owner":"alice","coins":100}"#.len();
    assert_eq!(read_body(get().await?, exact).await?.len(), exact);
    let error = read_body(get().await?, exact - 1).await.expect_err("one byte too many");
    assert!(matches!(error, BodyError::TooLarge { limit } if limit == exact - 1), "{error:?}");
    let error = read_json::<u32>(get().await?, 1024).await.expect_err("not a number");
    assert!(matches!(error, BodyError::Json { line: 1, .. }), "{error:?}");

    let flood = stage.stalling(Stall::Flood).await?;
    let bank = bank_at(flood.address());
    let client = stage.client(&bank)?.build()?;
    let answer = client.get(bank.url("/")).send().await?;
    assert!(matches!(read_body(answer, 100_000).await, Err(BodyError::TooLarge { .. })));
    Ok(())
}

#[tokio::test]
async fn a_body_error_does_not_print_the_url() -> TestResult {
    let stage = Stage::new().await?;
    let cut = stage.stalling(Stall::Cut).await?;
    let bank = bank_at(cut.address());
    let client = stage.client(&bank)?.build()?;
    let answer = client.get(bank.url(&format!("/?token={TOKEN}"))).send().await?;
    let error = read_body(answer, 4096).await.expect_err("the body is cut");
    assert!(!chain(&error).contains(TOKEN), "{}", chain(&error));
    assert!(!format!("{error:?}").contains(TOKEN), "{error:?}");
    Ok(())
}

// The server

#[tokio::test]
async fn strangers_end_their_own_connection_only() -> TestResult {
    let stage = Stage::new().await?;
    // A silent one stays open while the others come and go.
    let _silent = TcpStream::connect(stage.address()).await?;
    for hostile in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", &[0xff; 2000]] {
        let mut stream = TcpStream::connect(stage.address()).await?;
        stream.write_all(hostile).await?;
        stream.shutdown().await?;
        let _alert_or_reset = stream.read_to_end(&mut Vec::new()).await;
    }
    let answer = stage
        .client(&stage.host())?
        .build()?
        .get(stage.host().url("/balance"))
        .bearer_auth(TOKEN)
        .send()
        .await?;
    assert_eq!(answer.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_body_over_the_servers_limit_is_refused() -> TestResult {
    let stage = Stage::new().await?;
    let client = stage.client(&stage.host())?.build()?;
    let answer = client
        .post(stage.host().url("/pay"))
        .bearer_auth(TOKEN)
        .body(vec![b' '; MAX_BODY + 1])
        .send()
        .await?;
    assert_eq!(answer.status(), 413);
    Ok(())
}

#[tokio::test]
async fn the_bank_refuses_what_it_must() -> TestResult {
    let stage = Stage::new().await?;
    let client = stage.client(&stage.host())?.build()?;
    let post = async |body: &'static str, token: &str| {
        client
            .post(stage.host().url("/pay"))
            .bearer_auth(token)
            .body(body)
            .send()
            .await
            .map(|answer| answer.status().as_u16())
    };
    assert_eq!(post(r#"{"to":"bob","coins":25}"#, "wrong").await?, 401);
    assert_eq!(post(r#"{"to":"bob","coins":-1}"#, TOKEN).await?, 400);
    assert_eq!(post(r#"{"to":"bob","coins":1,"from":"carol"}"#, TOKEN).await?, 400);
    assert_eq!(post(r#"{"to":"bob","coins":101}"#, TOKEN).await?, 409);
    assert_eq!(client.get(stage.host().url("/")).send().await?.status(), 401);
    assert!(stage.bank.paid().is_empty());
    Ok(())
}

#[test]
fn a_key_of_another_certificate_is_refused_at_the_start() -> TestResult {
    let ca = LabCa::new("Lab")?;
    let (one, other) = (ca.leaf(BANK).issue()?, ca.leaf(BANK).issue()?);
    let error =
        server_tls(one.chain(), other.key(), TLS_1_2_AND_1_3).expect_err("the key is another's");
    assert!(matches!(error, rustls::Error::InconsistentKeys(_)), "{error:?}");
    assert!(server_tls(Vec::new(), other.key(), TLS_1_2_AND_1_3).is_err());
    Ok(())
}

// Patience

#[tokio::test]
async fn each_stall_is_ended_by_its_limit_and_came_as_far_as_it_says() -> TestResult {
    let stage = Stage::new().await?;
    let limit = Duration::from_millis(400);
    let end = async |stall: Stall, limited: fn(ClientBuilder, Duration) -> ClientBuilder| {
        let server = stage.stalling(stall).await?;
        let bank = bank_at(server.address());
        let client = limited(stage.client(&bank)?, limit).build()?;
        let request = client.get(bank.url("/")).send();
        let answer = async { anyhow::Ok(read_body(request.await?, 4096).await?) };
        let error = answer.await.expect_err("the server stalls");
        let said = chain(error.as_ref());
        ensure!(said.ends_with("operation timed out"), "{stall:?}: {said}");
        Ok((server.requests(), server.body(), error.is::<BodyError>()))
    };
    let (handshake, header, body, drip) = tokio::try_join!(
        end(Stall::Handshake, ClientBuilder::connect_timeout),
        end(Stall::Header, ClientBuilder::read_timeout),
        end(Stall::Body, ClientBuilder::read_timeout),
        end(Stall::Drip, |client, limit| client.read_timeout(limit).timeout(2 * limit)),
    )?;
    assert_eq!(handshake, (0, 0, false));
    assert_eq!(header, (1, 0, false));
    assert_eq!(body, (1, 10, true));
    assert!(drip.0 == 1 && drip.1 > 10 && drip.2, "{drip:?}");
    Ok(())
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_not_believed_without_close_notify() -> TestResult {
    let stage = Stage::new().await?;
    let cut = stage.stalling(Stall::Cut).await?;
    let bank = bank_at(cut.address());
    let answer = stage.client(&bank)?.build()?.get(bank.url("/")).send().await?;
    assert_eq!(answer.content_length(), None, "nothing in HTTP says that more was to come");
    let error = read_body(answer, 4096).await.expect_err("the body is cut");
    assert!(chain(&error).contains("close_notify"), "{}", chain(&error));
    Ok(())
}
