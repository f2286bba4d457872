//! The messages of TLS 1.3, field by field.

use shared::tls_records::{group_name, version_name};

use super::fields::{Note, Stop, Walk, hex, number, text};

const LENGTH: &str = "Says how many bytes follow, so that a reader can skip what it doesn't know.";

/// The random of a ServerHello that asks for another key share (RFC 8446 section 4.1.3).
const HELLO_RETRY: [u8; 8] = [0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11];

/// Which message extensions stand in; some have other contents in each.
#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    ClientHello,
    ServerHello,
    HelloRetryRequest,
    Other,
}

/// The name of a handshake message (RFC 8446 appendix B.3).
pub fn name_of(message: &[u8]) -> &'static str {
    match message.first() {
        Some(1) => "ClientHello",
        Some(2) if message.get(6..14) == Some(&HELLO_RETRY) => "HelloRetryRequest",
        Some(2) => "ServerHello",
        Some(4) => "NewSessionTicket",
        Some(5) => "EndOfEarlyData",
        Some(8) => "EncryptedExtensions",
        Some(11) => "Certificate",
        Some(13) => "CertificateRequest",
        Some(15) => "CertificateVerify",
        Some(20) => "Finished",
        Some(24) => "KeyUpdate",
        _ => "unknown message",
    }
}

/// Walks over a whole handshake message, header included.
pub fn handshake(walk: &mut Walk<'_>, message: &[u8]) -> Result<(), Stop> {
    let name = name_of(message);
    walk.field(1, ("msg_type", "Says which message this is.", "4"), |_| name.to_owned())?;
    let length = walk.number(
        3,
        ("length", "Says where this message ends, because a record may hold several.", "4"),
    )?;
    walk.within(length, "the message", |walk| match name {
        "ClientHello" => client_hello(walk),
        "ServerHello" => server_hello(walk, In::ServerHello),
        "HelloRetryRequest" => server_hello(walk, In::HelloRetryRequest),
        "EncryptedExtensions" => extensions(walk, In::Other),
        "CertificateRequest" => certificate_request(walk),
        "Certificate" => certificate(walk),
        "CertificateVerify" => certificate_verify(walk),
        "Finished" => finished(walk),
        "NewSessionTicket" => new_session_ticket(walk),
        "KeyUpdate" => key_update(walk),
        _ => Ok(()),
    })
}

/// An alert.
pub fn alert(walk: &mut Walk<'_>) -> Result<(), Stop> {
    let level = |bytes: &[u8]| if number(bytes) == 1 { "warning" } else { "fatal" }.to_owned();
    walk.field(1, ("level", "TLS 1.3 goes by the description alone.", "6"), level)?;
    walk.field(1, ("description", "Says why the sender ends the connection.", "6"), |bytes| {
        match bytes {
            [0] => "close_notify: nothing more comes".to_owned(),
            [10] => "unexpected_message".to_owned(),
            [20] => "bad_record_mac".to_owned(),
            [40] => "handshake_failure".to_owned(),
            [42] => "bad_certificate".to_owned(),
            [45] => "certificate_expired".to_owned(),
            [48] => "unknown_ca".to_owned(),
            [50] => "decode_error".to_owned(),
            [51] => "decrypt_error".to_owned(),
            [70] => "protocol_version".to_owned(),
            [116] => "certificate_required".to_owned(),
            [120] => "no_application_protocol".to_owned(),
            bytes => format!("number {}", number(bytes)),
        }
    })?;
    Ok(())
}

fn legacy_version(walk: &mut Walk<'_>, source: &'static str) -> Result<(), Stop> {
    let why = "Always says 1.2, because old machines on the way drop what they don't know. The real version is in \
               supported_versions.";
    walk.named(2, ("legacy_version", why, source), version)?;
    Ok(())
}

fn client_hello(walk: &mut Walk<'_>) -> Result<(), Stop> {
    legacy_version(walk, "4.1.2")?;
    let why = "Makes every handshake different, so that nothing of an old one fits.";
    walk.field(32, ("random", why, "4.1.2"), hex)?;
    let length = ("legacy_session_id length", LENGTH, "4.1.2");
    let why = "TLS 1.2 resumed sessions by it. Now it only makes the hello look like one of TLS 1.2 (appendix D.4).";
    walk.opaque(1, length, ("legacy_session_id", why, "4.1.2"), hex)?;
    walk.list(2, ("cipher_suites length", LENGTH, "4.1.2"), |walk| {
        let why =
            "What the client can encrypt and hash with, the best first. The server picks one.";
        walk.named(2, ("cipher_suite", why, "4.1.2"), suite_name)?;
        Ok(())
    })?;
    walk.list(1, ("legacy_compression_methods length", LENGTH, "4.1.2"), |walk| {
        let why =
            "Always 0, for none: the CRIME attack read secrets from the length of compressed data.";
        walk.number(1, ("compression_method", why, "4.1.2"))?;
        Ok(())
    })?;
    extensions(walk, In::ClientHello)
}

fn server_hello(walk: &mut Walk<'_>, kind: In) -> Result<(), Stop> {
    legacy_version(walk, "4.1.3")?;
    let why = match kind {
        In::HelloRetryRequest => {
            "A fixed value, which says that this is a HelloRetryRequest and no ServerHello."
        }
        _ => "Makes every handshake different. Its last 8 bytes would warn of a downgrade.",
    };
    walk.field(32, ("random", why, "4.1.3"), hex)?;
    let length = ("legacy_session_id_echo length", LENGTH, "4.1.3");
    walk.opaque(
        1,
        length,
        ("legacy_session_id_echo", "Repeats what the client sent.", "4.1.3"),
        hex,
    )?;
    walk.named(2, ("cipher_suite", "What the server has picked.", "4.1.3"), suite_name)?;
    walk.number(1, ("legacy_compression_method", "Always 0, for none.", "4.1.3"))?;
    extensions(walk, kind)
}

fn extensions(walk: &mut Walk<'_>, kind: In) -> Result<(), Stop> {
    walk.list(2, ("extensions length", LENGTH, "4.2"), |walk| {
        let mut number_of = 0;
        let name = |number: u16| {
            number_of = number;
            extension_name(number)
        };
        walk.named(
            2,
            (
                "extension_type",
                "Says which extension this is. A server ignores those that it doesn't know.",
                "4.2",
            ),
            name,
        )?;
        let length = walk.number(2, ("extension length", LENGTH, "4.2"))?;
        walk.within(length, "the extension", |walk| extension(walk, number_of, kind))
    })
}

fn extension(walk: &mut Walk<'_>, number: u16, kind: In) -> Result<(), Stop> {
    match (number, kind) {
        // A server that has used the name says so by an empty extension.
        (0, In::ClientHello) => walk.list(2, ("server_name_list length", LENGTH, "RFC 6066 section 3"), |walk| {
            walk.field(1, ("name_type", "0 stands for a host name; there is no other type.", "RFC 6066 section 3"), |bytes| {
                if bytes == [0] { "host_name".to_owned() } else { hex(bytes) }
            })?;
            let length = ("host_name length", LENGTH, "RFC 6066 section 3");
            let why = "Whose certificate the client wants. It's in the clear, because there are no keys yet.";
            walk.opaque(2, length, ("host_name", why, "RFC 6066 section 3"), text)?;
            Ok(())
        }),
        (5, In::ClientHello) => {
            let ocsp = |bytes: &[u8]| if bytes == [1] { "ocsp".to_owned() } else { hex(bytes) };
            let why = "Asks the server to bring a proof that its certificate isn't revoked.";
            walk.field(1, ("status_type", why, "RFC 6066 section 8"), ocsp)?;
            let length = ("responder_id_list length", LENGTH, "RFC 6066 section 8");
            walk.opaque(2, length, ("responder_id_list", "Whose proofs the client takes.", "RFC 6066 section 8"), hex)?;
            let length = ("request_extensions length", LENGTH, "RFC 6066 section 8");
            walk.opaque(2, length, ("request_extensions", "More wishes.", "RFC 6066 section 8"), hex)?;
            Ok(())
        }
        (10, _) => walk.list(2, ("named_group_list length", LENGTH, "4.2.7"), |walk| {
            let why = "A key exchange that the sender supports, the best first.";
            walk.named(2, ("named_group", why, "4.2.7"), group_name)?;
            Ok(())
        }),
        (11, _) => walk.list(1, ("ec_point_formats length", LENGTH, "RFC 8422 section 5.1.2"), |walk| {
            let why = "For a server of TLS 1.2: how points of a curve are written.";
            walk.field(1, ("ec_point_format", why, "RFC 8422 section 5.1.2"), |bytes| {
                if bytes == [0] { "uncompressed".to_owned() } else { hex(bytes) }
            })?;
            Ok(())
        }),
        (13 | 50, _) => walk.list(2, ("signature_algorithms length", LENGTH, "4.2.3"), |walk| {
            let why = "A kind of signature that the sender can check, in the handshake and in certificates.";
            walk.named(2, ("signature_scheme", why, "4.2.3"), scheme_name)?;
            Ok(())
        }),
        (16, _) => walk.list(2, ("protocol_name_list length", LENGTH, "RFC 7301 section 3.1"), |walk| {
            let length = ("protocol_name length", LENGTH, "RFC 7301 section 3.1");
            let why = "An application protocol that the sender speaks; the server's list has the one that it picked.";
            walk.opaque(1, length, ("protocol_name", why, "RFC 7301 section 3.1"), text)?;
            Ok(())
        }),
        (23, _) => Ok(()),
        (35, _) if walk.left() > 0 => {
            walk.field(walk.left(), ("session_ticket", "A ticket of TLS 1.2.", "RFC 5077 section 3.2"), hex)?;
            Ok(())
        }
        (41, In::ClientHello) => {
            walk.list(2, ("identities length", LENGTH, "4.2.11"), |walk| {
                let length = ("identity length", LENGTH, "4.2.11");
                walk.opaque(2, length, ("identity", "The ticket that the client brings back.", "4.2.11"), hex)?;
                let why = "The age of the ticket, hidden by a number that the server gave along with it.";
                walk.field(4, ("obfuscated_ticket_age", why, "4.2.11.1"), hex)?;
                Ok(())
            })?;
            walk.list(2, ("binders length", LENGTH, "4.2.11"), |walk| {
                let length = ("binder length", LENGTH, "4.2.11.2");
                let why = "Proves that the client knows the ticket's key, and binds it to this hello.";
                walk.opaque(1, length, ("binder", why, "4.2.11.2"), hex)?;
                Ok(())
            })
        }
        (41, _) => {
            walk.number(2, ("selected_identity", "Which of the client's tickets the server took, from 0.", "4.2.11"))?;
            Ok(())
        }
        (42, In::Other) if walk.left() == 4 => {
            walk.number(4, ("max_early_data_size", "How much early data the server takes.", "4.6.1"))?;
            Ok(())
        }
        (43, In::ClientHello) => walk.list(1, ("versions length", LENGTH, "4.2.1"), |walk| {
            walk.named(2, ("version", "A version that the client supports, the best first.", "4.2.1"), version)?;
            Ok(())
        }),
        (43, _) => {
            walk.named(2, ("selected_version", "The version that both speak from here on.", "4.2.1"), version)?;
            Ok(())
        }
        (44, _) => {
            let length = ("cookie length", LENGTH, "4.2.2");
            walk.opaque(2, length, ("cookie", "The client must bring it back.", "4.2.2"), hex)?;
            Ok(())
        }
        (45, _) => walk.list(1, ("ke_modes length", LENGTH, "4.2.9"), |walk| {
            let mode = |bytes: &[u8]| match bytes {
                [0] => "psk_ke: no key exchange, no forward secrecy".to_owned(),
                [1] => "psk_dhe_ke: with a fresh key exchange".to_owned(),
                bytes => hex(bytes),
            };
            walk.field(1, ("ke_mode", "How the client would resume a session.", "4.2.9"), mode)?;
            Ok(())
        }),
        (51, In::HelloRetryRequest) => {
            walk.named(2, ("selected_group", "The group for which the server wants a key share.", "4.2.8"), group_name)?;
            Ok(())
        }
        (51, In::ClientHello) => walk.list(2, ("client_shares length", LENGTH, "4.2.8"), key_share),
        (51, _) => key_share(walk),
        (0xff01, _) => {
            let length = ("renegotiated_connection length", LENGTH, "RFC 5746 section 3.2");
            let why = "Empty at the first handshake. A TLS 1.2 server wants to see it.";
            walk.opaque(1, length, ("renegotiated_connection", why, "RFC 5746 section 3.2"), hex)?;
            Ok(())
        }
        (number, _) if is_grease(number) && walk.left() > 0 => {
            let why = "GREASE: made up, so that servers get used to what they don't know.";
            walk.field(walk.left(), ("extension_data", why, "RFC 8701 section 3"), hex)?;
            Ok(())
        }
        // What is left is a field of its own.
        _ => Ok(()),
    }
}

fn key_share(walk: &mut Walk<'_>) -> Result<(), Stop> {
    walk.named(2, ("group", "Which key exchange this half is for.", "4.2.8"), group_name)?;
    let length = ("key_exchange length", LENGTH, "4.2.8");
    let why = "The sender's public half. With the private half of the other end it gives the shared secret.";
    walk.opaque(2, length, ("key_exchange", why, "4.2.8"), hex)?;
    Ok(())
}

const CONTEXT_LENGTH: Note = ("certificate_request_context length", LENGTH, "4.4.2");

fn certificate_request(walk: &mut Walk<'_>) -> Result<(), Stop> {
    let note = ("certificate_request_context", "Empty during the handshake.", "4.3.2");
    walk.opaque(1, CONTEXT_LENGTH, note, hex)?;
    extensions(walk, In::Other)
}

fn certificate(walk: &mut Walk<'_>) -> Result<(), Stop> {
    let note =
        ("certificate_request_context", "Empty, unless a server asks for it later.", "4.4.2");
    walk.opaque(1, CONTEXT_LENGTH, note, hex)?;
    walk.list(3, ("certificate_list length", LENGTH, "4.4.2"), |walk| {
        let length = ("cert_data length", LENGTH, "4.4.2");
        let why = "A certificate in DER: first the leaf, then each certificate that signs the one before.";
        walk.opaque(3, length, ("cert_data", why, "4.4.2"), certificate_in_words)?;
        extensions(walk, In::Other)
    })
}

/// Whose certificate it is, who issued it, and its serial number.
fn certificate_in_words(der: &[u8]) -> String {
    use x509_parser::prelude::{FromDer, X509Certificate};
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => format!(
            "{}, issued by {}, serial number {}",
            certificate.subject(),
            certificate.issuer(),
            hex(certificate.raw_serial())
        )
        .chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect(),
        Err(_) => "not a certificate that can be parsed".to_owned(),
    }
}

fn certificate_verify(walk: &mut Walk<'_>) -> Result<(), Stop> {
    walk.named(2, ("algorithm", "Which kind of signature follows.", "4.4.3"), scheme_name)?;
    let length = ("signature length", LENGTH, "4.4.3");
    let why = "Made with the key of the leaf, over the conversation so far: only the owner of that key can make it, and it \
               fits this handshake alone.";
    walk.opaque(2, length, ("signature", why, "4.4.3"), hex)?;
    Ok(())
}

fn finished(walk: &mut Walk<'_>) -> Result<(), Stop> {
    let why = "An HMAC over the conversation so far. It fits only if both ends saw the same bytes and have the same keys.";
    walk.field(walk.left(), ("verify_data", why, "4.4.4"), hex)?;
    Ok(())
}

fn new_session_ticket(walk: &mut Walk<'_>) -> Result<(), Stop> {
    let seconds = |bytes: &[u8]| format!("{} seconds", number(bytes));
    walk.field(
        4,
        ("ticket_lifetime", "For how long the client may use the ticket; at most a week.", "4.6.1"),
        seconds,
    )?;
    let why = "Hides the age of the ticket from those who watch, when the client uses it.";
    walk.field(4, ("ticket_age_add", why, "4.6.1"), hex)?;
    let length = ("ticket_nonce length", LENGTH, "4.6.1");
    walk.opaque(1, length, ("ticket_nonce", "Makes each ticket's key another one.", "4.6.1"), hex)?;
    let length = ("ticket length", LENGTH, "4.6.1");
    let why = "The client brings it back, and can't read it. With it, the next handshake needs no certificate.";
    walk.opaque(2, length, ("ticket", why, "4.6.1"), hex)?;
    extensions(walk, In::Other)
}

fn key_update(walk: &mut Walk<'_>) -> Result<(), Stop> {
    let asked = |bytes: &[u8]| {
        if bytes == [1] { "update_requested" } else { "update_not_requested" }.to_owned()
    };
    let why = "The sender's next record has a new key; it may ask the other end for the same.";
    walk.field(1, ("request_update", why, "4.6.3"), asked)?;
    Ok(())
}

/// The names that IANA gave (RFC 8446 appendix B.4, RFC 8422, RFC 7905).
pub fn suite_name(number: u16) -> String {
    match number {
        0x1301 => "TLS_AES_128_GCM_SHA256".to_owned(),
        0x1302 => "TLS_AES_256_GCM_SHA384".to_owned(),
        0x1303 => "TLS_CHACHA20_POLY1305_SHA256".to_owned(),
        0x00ff => "TLS_EMPTY_RENEGOTIATION_INFO_SCSV".to_owned(),
        0xc02b => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".to_owned(),
        0xc02c => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384".to_owned(),
        0xc02f => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned(),
        0xc030 => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384".to_owned(),
        0xcca8 => "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256".to_owned(),
        0xcca9 => "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256".to_owned(),
        number if is_grease(number) => "GREASE, a number that stands for nothing".to_owned(),
        number => format!("number {number:#06x}"),
    }
}

/// The name of a version, old ones included.
pub fn version(number: u16) -> String {
    match number {
        0x0301 => "TLS 1.0".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        number if is_grease(number) => "GREASE, a version that doesn't exist".to_owned(),
        number => version_name(number),
    }
}

fn scheme_name(number: u16) -> String {
    match number {
        0x0403 => "ecdsa_secp256r1_sha256".to_owned(),
        0x0503 => "ecdsa_secp384r1_sha384".to_owned(),
        0x0603 => "ecdsa_secp521r1_sha512".to_owned(),
        0x0804 => "rsa_pss_rsae_sha256".to_owned(),
        0x0805 => "rsa_pss_rsae_sha384".to_owned(),
        0x0806 => "rsa_pss_rsae_sha512".to_owned(),
        0x0807 => "ed25519".to_owned(),
        0x0808 => "ed448".to_owned(),
        0x0904 => "mldsa44, post-quantum".to_owned(),
        0x0905 => "mldsa65, post-quantum".to_owned(),
        0x0906 => "mldsa87, post-quantum".to_owned(),
        0x0401 => "rsa_pkcs1_sha256, for certificates only".to_owned(),
        0x0501 => "rsa_pkcs1_sha384, for certificates only".to_owned(),
        0x0601 => "rsa_pkcs1_sha512, for certificates only".to_owned(),
        number => format!("number {number:#06x}"),
    }
}

fn extension_name(number: u16) -> String {
    let name = match number {
        0 => "server_name",
        5 => "status_request",
        10 => "supported_groups",
        11 => "ec_point_formats",
        13 => "signature_algorithms",
        16 => "application_layer_protocol_negotiation",
        21 => "padding",
        23 => "extended_master_secret",
        27 => "compress_certificate",
        28 => "record_size_limit",
        35 => "session_ticket",
        41 => "pre_shared_key",
        42 => "early_data",
        43 => "supported_versions",
        44 => "cookie",
        45 => "psk_key_exchange_modes",
        47 => "certificate_authorities",
        49 => "post_handshake_auth",
        50 => "signature_algorithms_cert",
        51 => "key_share",
        0xff01 => "renegotiation_info",
        number if is_grease(number) => "GREASE",
        number => return format!("number {number}"),
    };
    name.to_owned()
}

/// RFC 8701: 0x0a0a, 0x1a1a, and so on.
fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}
