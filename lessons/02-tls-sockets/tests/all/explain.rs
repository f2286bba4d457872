//! Every byte of a connection has a field, what the fields say is what other parsers and other programs read, and
//! hostile bytes stop the explanation of a message and nothing else.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use peers::Peer;
use rustls::ServerConfig;
use shared::tls_records::view;
use shared::wiretap::{Chunk, Conversation};
use shared::{Direction, LabCa};
use tls_sockets::lab::explain::keys::{Secrets, Suite, bytes_of};
use tls_sockets::lab::explain::{Explanation, Message, explain, recording};
use tls_sockets::lab::handshake::shake_hands_tapped;
use tls_sockets::lab::record::record_with_secrets;
use tls_sockets::lab::{ONLY_1_3, SERVER, client, server};

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn fixture() -> (Conversation, Secrets) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/connection.txt");
    let text = std::fs::read_to_string(file).expect("the recording");
    recording::from_text(&text).expect("a recording")
}

fn names(explanation: &Explanation) -> Vec<&'static str> {
    explanation.messages.iter().map(|message| message.name).collect()
}

fn value<'a>(explanation: &'a Explanation, message: &str, field: &str) -> Vec<&'a str> {
    let of: Vec<&Message> =
        explanation.messages.iter().filter(|found| found.name == message).collect();
    let fields = of.iter().flat_map(|message| &message.fields).filter(|found| found.name == field);
    fields.map(|field| field.value.as_str()).collect()
}

fn is_whole(explanation: &Explanation) {
    assert_eq!(explanation.stopped, [""; 0], "{:?}", names(explanation));
    assert_eq!(explanation.explained(), explanation.recorded);
    assert_eq!(explanation.verified, 2, "both Finished messages");
}

/// A connection of this server and this client.
async fn connection(
    server: ServerConfig,
    client: &rustls::ClientConfig,
) -> Result<Explanation, Box<dyn std::error::Error>> {
    let secrets = Secrets::default();
    let mut client = client.clone();
    client.key_log = Arc::new(secrets.clone());
    let (handshake, wire) = shake_hands_tapped(server, client).await?;
    handshake.client?;
    Ok(explain(wire.connections.first().ok_or("a connection")?, &secrets))
}

#[tokio::test]
async fn every_byte_of_a_new_connection_has_a_field() -> TestResult {
    let (wire, secrets) = record_with_secrets(ONLY_1_3).await?;
    let wire = wire.connections.first().ok_or("a connection")?;
    let explanation = explain(wire, &secrets);
    is_whole(&explanation);
    let expected = [
        "ClientHello",
        "ServerHello",
        "EncryptedExtensions",
        "Certificate",
        "CertificateVerify",
        "Finished",
    ];
    for name in expected.into_iter().chain([
        "NewSessionTicket",
        "application data",
        "alert",
        "ChangeCipherSpec",
    ]) {
        assert!(names(&explanation).contains(&name), "{name}");
    }
    // tls-parser reads the same.
    let seen = view(&wire.to_server, &wire.to_client);
    let (hello, answer) =
        (seen.client_hello().ok_or("a hello")?, seen.server_hello().ok_or("an answer")?);
    assert_eq!(
        value(&explanation, "ClientHello", "host_name"),
        [hello.server_name.as_deref().unwrap_or_default()]
    );
    assert_eq!(value(&explanation, "ClientHello", "protocol_name"), hello.alpn);
    assert_eq!(value(&explanation, "ServerHello", "cipher_suite"), [answer.cipher_suite.as_str()]);
    let lengths: Vec<String> =
        hello.key_shares.iter().map(|(_, length)| length.to_string()).collect();
    assert_eq!(value(&explanation, "ClientHello", "key_exchange length"), lengths);
    assert_eq!(value(&explanation, "application data", "data"), ["hello world", "hello world"]);
    Ok(())
}

#[tokio::test]
async fn other_handshakes_are_explained_as_well() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let leaf = ca.leaf(SERVER).issue()?;
    let new = || server(&leaf, ONLY_1_3);
    let client = client(ca.roots(), ONLY_1_3)?;

    // A server that wants a group for which the client has sent no share.
    let mut picky = new()?;
    let mut provider = (**picky.crypto_provider()).clone();
    provider.kx_groups.retain(|group| group.name() == rustls::NamedGroup::secp384r1);
    picky = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(ONLY_1_3)?
        .with_no_client_auth()
        .with_single_cert(leaf.chain(), leaf.key())?;
    let retried = connection(picky, &client).await?;
    assert!(names(&retried).contains(&"HelloRetryRequest"), "{:?}", names(&retried));
    is_whole(&retried);

    // Messages that go on in the next record.
    let mut small = new()?;
    small.max_fragment_size = Some(64);
    let cut = connection(small, &client).await?;
    let certificate =
        cut.messages.iter().find(|message| message.name == "Certificate").ok_or("a certificate")?;
    assert!(certificate.records.len() > 2, "{:?}", certificate.records);
    is_whole(&cut);

    // The other two cipher suites.
    for suite in [
        rustls::CipherSuite::TLS13_AES_128_GCM_SHA256,
        rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ] {
        let mut provider = (*shared::crypto_provider()).clone();
        provider.cipher_suites.retain(|found| found.suite() == suite);
        let server = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(ONLY_1_3)?
            .with_no_client_auth()
            .with_single_cert(leaf.chain(), leaf.key())?;
        is_whole(&connection(server, &client).await?);
    }

    // A resumed connection: a ticket and its binder, and no certificate.
    let server = Arc::new(new()?);
    let _first = connection((*server).clone(), &client).await?;
    let resumed = connection((*server).clone(), &client).await?;
    assert!(!names(&resumed).contains(&"Certificate"), "{:?}", names(&resumed));
    assert_eq!(value(&resumed, "ClientHello", "binder").len(), 1);
    is_whole(&resumed);
    Ok(())
}

/// What an attacker, or a bad disk, makes of a recording: the explanation says where it stopped, and still has a field
/// for every byte.
#[test]
fn whatever_is_cut_or_changed_is_said_and_nothing_panics() {
    let (wire, secrets) = fixture();
    is_whole(&explain(&wire, &secrets));
    let nothing = Secrets::default();
    let sealed = explain(&wire, &nothing);
    assert_eq!(sealed.explained(), sealed.recorded);
    assert!(
        sealed.stopped.iter().any(|why| why.contains("no secret opens it")),
        "{:?}",
        sealed.stopped
    );

    let all: Vec<(Direction, usize)> =
        [(Direction::ToServer, wire.to_server.len()), (Direction::ToClient, wire.to_client.len())]
            .into_iter()
            .flat_map(|(direction, length)| (0..length).map(move |at| (direction, at)))
            .collect();
    let mut unnoticed = 0;
    for (direction, at) in all {
        let mut changed = wire.clone();
        let bytes = match direction {
            Direction::ToServer => &mut changed.to_server,
            Direction::ToClient => &mut changed.to_client,
        };
        // Cut off here: what is left is explained.
        let whole = bytes[at];
        let rest = bytes.split_off(at);
        let explanation = explain(&changed, &secrets);
        assert_eq!(explanation.explained(), explanation.recorded, "{direction}, cut at byte {at}");
        // Changed here.
        let bytes = match direction {
            Direction::ToServer => &mut changed.to_server,
            Direction::ToClient => &mut changed.to_client,
        };
        bytes.extend(rest);
        bytes[at] = whole ^ 0x55;
        let explanation = explain(&changed, &secrets);
        assert_eq!(
            explanation.explained(),
            explanation.recorded,
            "{direction}, byte {at}: {:?}",
            explanation.stopped
        );
        if explanation.stopped.is_empty() {
            unnoticed += 1;
        }
    }
    // Nothing protects the version in the headers of the two hellos' records and of both ChangeCipherSpecs, two bytes
    // each, nor the byte in a ChangeCipherSpec.
    assert_eq!(unnoticed, 2 * 2 + 2 * 3, "changed bytes that nobody noticed");
}

#[test]
fn bytes_that_are_no_tls_are_a_field_too() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[22],
        &[22, 3, 1, 255, 255],
        &[22, 3, 3, 0, 0],
        &[23, 3, 3, 0, 1, 0],
    ] {
        let order = vec![Chunk { direction: Direction::ToServer, length: bytes.len() }];
        let wire = Conversation { to_server: bytes.to_vec(), to_client: Vec::new(), order };
        let explanation = explain(&wire, &Secrets::default());
        assert_eq!(explanation.explained(), bytes.len(), "{bytes:?}");
    }
}

/// The key schedule, against the trace of RFC 8448 section 3: its earlier steps, which a key log doesn't have, and the
/// keys of the server's handshake.
#[test]
fn the_key_schedule_is_that_of_rfc_8448() {
    let (suite, zeros) = (Suite::Aes128, [0; 32]);
    let hex = |digits: &str| bytes_of(digits).expect("hexadecimal digits");
    // HKDF-Extract(salt, input) is HMAC(salt, input) (RFC 5869 section 2.2).
    let early = suite.hmac_of(&zeros, &zeros);
    assert_eq!(early, hex("33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a"));
    let derived = suite.derive_secret(&early, "derived", &suite.hash(b""));
    assert_eq!(derived, hex("6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba"));
    let shared = hex("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d");
    let handshake = suite.hmac_of(&derived, &shared);
    assert_eq!(handshake, hex("1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac"));
    let derived = suite.derive_secret(&handshake, "derived", &suite.hash(b""));
    let master = suite.hmac_of(&derived, &zeros);
    assert_eq!(master, hex("18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919"));
    // From here on, what the explanation does with the secrets of a key log.
    let server = hex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38");
    assert_eq!(
        suite.expand_label(&server, "key", &[], 16),
        hex("3fce516009c21727d0f2e4e86ee403bc")
    );
    assert_eq!(suite.expand_label(&server, "iv", &[], 12), hex("5d313eb2671276ee13000b30"));
    let finished = suite.expand_label(&server, "finished", &[], 32);
    assert_eq!(finished, hex("008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8"));
}

#[test]
fn a_recording_is_saved_and_read_again_as_the_same() {
    let (wire, secrets) = fixture();
    let text = recording::to_text(&wire, &secrets);
    let (again, secrets) = recording::from_text(&text).expect("a recording");
    assert_eq!(
        (again.to_server, again.to_client, again.order),
        (wire.to_server, wire.to_client, wire.order)
    );
    assert!(!secrets.key_log().is_empty());
    assert_eq!(recording::from_text("client 16\nnonsense\n").err(), Some(2));
    assert_eq!(recording::from_text("client 1\n").err(), Some(1), "half a byte");
}

fn lesson_2(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_lesson-2")).args(arguments).output().expect("the lesson runs")
}

#[test]
fn the_book_shows_the_page_of_the_recording() -> TestResult {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir()?;
    let page = folder.path().join("page.html");
    let recording = package.join("tests/fixtures/connection.txt");
    let (page, recording) = (page.to_str().ok_or("a path")?, recording.to_str().ok_or("a path")?);
    let made = lesson_2(&["bytes", "--recording", recording, "--html", page]);
    assert!(made.status.success(), "{made:?}");
    let made = std::fs::read_to_string(page)?;
    let shown = std::fs::read_to_string(package.join("../../book/src/02-tls-bytes.html"))
        .unwrap_or_default();
    assert!(
        made == shown.replace('\r', ""),
        "run: just lesson 2 bytes --recording lessons/02-tls-sockets/tests/fixtures/connection.txt --html PAGE, and put \
         the page into book/src/02-tls-bytes.html"
    );
    assert!(made.len() < 150 * 1024, "{} bytes", made.len());
    for foreign in ["<script", "http://", "https://", "url("] {
        assert!(!made.contains(foreign), "{foreign}");
    }
    // A file that is there is left as it is.
    let again = lesson_2(&["bytes", "--html", page]);
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("name a new file"), "{again:?}");
    assert_eq!(std::fs::read_to_string(page)?, made);
    Ok(())
}

#[test]
fn one_message_is_explained_by_its_name_or_its_number() {
    for wanted in ["server-hello", "ServerHello", "2"] {
        let shown = lesson_2(&["bytes", "--message", wanted]);
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(text.contains("1. ServerHello"), "{text}");
        assert!(!text.contains("ClientHello,"), "{text}");
    }
    let wrong = lesson_2(&["bytes", "--message", "server-goodbye"]);
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        said.contains("there is no message server-goodbye") && said.contains("2 ServerHello"),
        "{said}"
    );
    let lost = lesson_2(&["wire", "--message", "2"]);
    let said = String::from_utf8_lossy(&lost.stderr).into_owned();
    assert_eq!(lost.status.code(), Some(2), "{said}");
    assert!(said.contains("just lesson 2 bytes --message NAME"), "{said}");
}

/// Wireshark's own dissector, with nothing to configure.
#[tokio::test]
async fn tshark_opens_the_capture_and_reads_the_same() -> TestResult {
    let Some(tshark) = Peer::find(&["tshark"], &["--version"], "apt install tshark") else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("capture.pcapng");
    let (recorded, secrets) = record_with_secrets(ONLY_1_3).await?;
    let wire = recorded.connections.first().ok_or("a connection")?;
    let (capture, packets) = shared::pcapng::file(
        wire,
        shared::pcapng::TLS,
        Some(&secrets.key_log()),
        std::time::SystemTime::now(),
    );
    std::fs::write(&file, capture)?;
    let file = file.to_str().ok_or("a path")?;
    let read = |arguments: &[&str]| -> Result<String, Box<dyn std::error::Error>> {
        let run = tshark.command(["-r", file].iter().chain(arguments)).output()?;
        assert!(run.status.success(), "{run:?}");
        Ok(String::from_utf8_lossy(&run.stdout).into_owned())
    };
    assert_eq!(read(&[])?.lines().count(), packets);
    let checked = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-Y"];
    let bad = "tcp.checksum.status == 0 || ip.checksum.status == 0 || _ws.malformed || tcp.analysis.flags";
    assert_eq!(
        read(&[&checked[..], &[bad]].concat())?,
        "",
        "packets that Wireshark finds fault with"
    );
    let good = "tcp.checksum.status == 1 && ip.checksum.status == 1";
    assert_eq!(
        read(&[&checked[..], &[good]].concat())?.lines().count(),
        packets,
        "checksums that were checked"
    );

    let explanation = explain(wire, &secrets);
    let field = |name: &str| -> Result<Vec<String>, Box<dyn std::error::Error>> {
        let text = read(&["-T", "fields", "-E", "occurrence=a", "-e", name])?;
        Ok(text
            .split([',', '\n', '\t'])
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
            .collect())
    };
    let number_of = |message: &Message| message.bytes[0].to_string();
    let handshake = explanation.messages.iter().filter(|message| {
        !["alert", "application data", "ChangeCipherSpec"].contains(&message.name)
    });
    assert_eq!(
        field("tls.handshake.type")?,
        handshake.map(number_of).collect::<Vec<_>>(),
        "every message"
    );
    assert_eq!(
        field("tls.handshake.extensions_server_name")?,
        value(&explanation, "ClientHello", "host_name")
    );
    let protocols = field("tls.handshake.extensions_alpn_str")?;
    assert_eq!(protocols, ["course-echo/1", "course-echo/1"], "offered and picked");
    // Numbers, because this version of tshark may not know the group's name.
    let of_message = |name: &str, field: &str, width: usize| -> Vec<usize> {
        let messages = explanation.messages.iter().filter(|message| message.name == name);
        let numbers = messages.flat_map(|message| {
            let mut at = 0;
            message.fields.iter().filter_map(move |found| {
                at += found.length;
                let bytes = &message.bytes[at - found.length..at];
                (found.name == field && found.length == width)
                    .then(|| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
            })
        });
        numbers.collect()
    };
    let numbers = |texts: Vec<String>| -> Vec<usize> {
        let number = |text: &String| match text.strip_prefix("0x") {
            Some(digits) => usize::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        texts.iter().filter_map(number).collect()
    };
    let mut suites = of_message("ClientHello", "cipher_suite", 2);
    suites.extend(of_message("ServerHello", "cipher_suite", 2));
    assert_eq!(numbers(field("tls.handshake.ciphersuite")?), suites);
    let mut groups = of_message("ClientHello", "group", 2);
    groups.extend(of_message("ServerHello", "group", 2));
    assert_eq!(numbers(field("tls.handshake.extensions_key_share_group")?), groups);
    let mut serials = Vec::new();
    for message in explanation.messages.iter().filter(|message| message.name == "Certificate") {
        let mut at = 0;
        for field in &message.fields {
            at += field.length;
            if field.name == "cert_data" {
                use x509_parser::prelude::{FromDer, X509Certificate};
                let (_, certificate) =
                    X509Certificate::from_der(&message.bytes[at - field.length..at])?;
                serials.push(
                    certificate
                        .raw_serial()
                        .iter()
                        .map(|byte| format!("{byte:02x}"))
                        .collect::<String>(),
                );
            }
        }
    }
    let seen: Vec<String> = field("x509af.serialNumber")?
        .iter()
        .map(|serial| serial.trim_start_matches("0x").replace(':', ""))
        .collect();
    assert_eq!(seen, serials, "serial numbers of the certificates");
    let followed = read(&["-q", "-z", "follow,tls,ascii,0"])?;
    assert_eq!(followed.matches("hello world").count(), 2, "{followed}");
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_capture_and_a_recording_are_for_their_owner_alone_and_replace_nothing() -> TestResult {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir()?;
    for (part, option) in [("capture", "--pcap"), ("bytes", "--save")] {
        let file = folder.path().join(part);
        let path = file.to_str().ok_or("a path")?;
        let made = lesson_2(&[part, option, path]);
        assert!(made.status.success(), "{made:?}");
        assert_eq!(std::fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
        let before = std::fs::read(&file)?;
        let again = lesson_2(&[part, option, path]);
        assert!(!again.status.success());
        let said = String::from_utf8_lossy(&again.stderr).into_owned();
        assert!(said.contains("name a new file"), "{said}");
        assert_eq!(std::fs::read(&file)?, before);
    }
    Ok(())
}

#[path = "../../../../shared/fuzz/src/tls.rs"]
mod fuzzed;

/// The fuzz target's corpus: cut, fragmented, coalesced, retried, with GREASE, with an alert in the middle, and no TLS.
#[test]
fn the_corpus_of_hostile_bytes_is_explained() -> TestResult {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fuzz/corpus/explain");
    let mut found = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.insert(name, fuzzed::connection(&std::fs::read(path)?));
    }
    assert!(found.len() > 10, "{found:?}");
    assert_eq!((found["whole"], found["fragmented"]), (15, 15), "{found:?}");
    assert_eq!((found["http"], found["large-length"]), (0, 0), "{found:?}");
    Ok(())
}
