//! Certificates and private keys in PEM (RFC 7468), read strictly.
//!
//! The mistake this prevents: a PEM parser skips what it does not recognize. A BEGIN behind a
//! space or a byte order mark, two files glued together without a line feed, a section of another
//! kind: each makes a certificate disappear without an error (observed with rustls-pki-types
//! 1.16.0).

use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use crate::container::Container;

/// Why a text is no PEM of certificates. None of these holds a byte of the text: what lies in
/// it may be a key.
#[derive(Debug, Error)]
pub enum PemError {
    /// No PEM section at all: an empty file, DER, or anything else.
    #[error("expected at least one \"-----BEGIN CERTIFICATE-----\", found {}", or_none(.0))]
    NoCertificate(Option<Container>),
    /// A private key, or another thing that has no business among certificates.
    #[error("expected certificates only, but line {line} begins {}", or_another(.found))]
    OtherSection {
        /// Its first line, from 1.
        line: usize,
        /// What it is, if it is known.
        found: Option<Container>,
    },
    /// Text before or after a BEGIN or END, on the same line.
    #[error(
        "expected BEGIN and END CERTIFICATE each on a line of its own, found something else in line {line} (it may be \
         invisible: a space, a byte order mark)"
    )]
    BrokenLine {
        /// The line, from 1.
        line: usize,
    },
    /// A section that begins and does not end, or that is not base64.
    #[error("section {number} is broken or cut off")]
    BrokenSection {
        /// Its place in the file, from 1.
        number: usize,
    },
}

fn or_none(found: &Option<Container>) -> String {
    found.map_or_else(|| "none".to_owned(), |found| found.to_string())
}

fn or_another(found: &Option<Container>) -> String {
    found.map_or_else(|| "a section of another kind".to_owned(), |found| found.to_string())
}

/// Every certificate of a text, at least one, in order.
///
/// # Errors
/// See [`PemError`]. One bad line is enough: a file is all good or it is not used.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let sections = sections(text, &["CERTIFICATE"]).map_err(|bad| match bad {
        BadLine { line, label: Some(label) } if label != "CERTIFICATE" => {
            PemError::OtherSection { line, found: Container::of_label(&label) }
        }
        BadLine { line, .. } => PemError::BrokenLine { line },
    })?;
    let mut certificates = Vec::new();
    for section in CertificateDer::pem_slice_iter(text) {
        let number = certificates.len() + 1;
        certificates.push(section.map_err(|_| PemError::BrokenSection { number })?);
    }
    match certificates.len() {
        0 => Err(PemError::NoCertificate(Container::of_bytes(text))),
        parsed if parsed == sections => Ok(certificates),
        parsed => Err(PemError::BrokenSection { number: parsed + 1 }),
    }
}

/// A line that a PEM parser would skip without a word, although something begins or ends there.
struct BadLine {
    /// From 1.
    line: usize,
    /// What begins there, in capitals.
    label: Option<String>,
}

// ANCHOR: sections
/// Counts the sections, and refuses each line with hyphens that isn't exactly the BEGIN or END of an allowed
/// label. In a comment the hyphens stand apart from the words.
fn sections(text: &[u8], allowed: &[&str]) -> Result<usize, BadLine> {
    let mut sections = 0;
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii_end();
        let is = |begin: &str| {
            allowed.iter().any(|label| line == format!("-----{begin} {label}-----").as_bytes())
        };
        if is("BEGIN") {
            sections += 1;
        } else if !is("END") && has_mark(line) {
            return Err(BadLine { line: index + 1, label: label(line) });
        }
    }
    Ok(sections)
}
// ANCHOR_END: sections

/// Five hyphens next to a word.
fn has_mark(line: &[u8]) -> bool {
    let touches = |around: &[u8]| {
        let word = |byte: u8| byte.is_ascii_alphanumeric();
        (around.starts_with(b"-----") && around.last().is_some_and(|&byte| word(byte)))
            || (around.ends_with(b"-----") && around.first().is_some_and(|&byte| word(byte)))
    };
    line.windows(6).any(touches)
}

/// What stands behind a BEGIN, up to the hyphens.
fn label(line: &[u8]) -> Option<String> {
    let upper = String::from_utf8_lossy(line).to_ascii_uppercase();
    let (_, rest) = upper.split_once("BEGIN ")?;
    Some(rest.split("--").next().unwrap_or_default().trim().to_owned())
}

/// Why a text is no private key in PEM. None of these holds a byte of the text.
#[derive(Debug, Error)]
pub enum KeyError {
    /// A section of another kind.
    #[error("expected a private key and perhaps certificates, but line {line} begins {}", or_another(.found))]
    OtherSection {
        /// Its first line, from 1.
        line: usize,
        /// What it is, if it is known.
        found: Option<Container>,
    },
    /// Text before or after a BEGIN or END, on the same line.
    #[error(
        "expected each BEGIN and END on a line of its own, found something else in line {line} (it may be \
         invisible: a space, a byte order mark)"
    )]
    BrokenLine {
        /// The line, from 1.
        line: usize,
    },
    /// A PEM section that is cut off or not base64.
    #[error("expected a private key in PEM, but it is broken or cut off")]
    Broken,
    /// No key.
    #[error("expected one private key in PEM, found {}", or_none(.0))]
    NoKey(Option<Container>),
    /// More than one.
    #[error("expected one private key, found {0}: which one belongs to the certificate?")]
    Several(usize),
    /// A key behind a passphrase, which nobody is there to type.
    #[error(
        "expected an unencrypted private key, found one with a passphrase: remove it with `openssl pkey`, and protect the file"
    )]
    Encrypted,
}

// ANCHOR: private_key
/// The one private key of a text. Its certificates may be there, too, and are skipped, as are lines
/// between the sections.
///
/// # Errors
/// See [`KeyError`].
pub fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, KeyError> {
    let contains = |mark: &[u8]| text.windows(mark.len()).any(|window| window == mark);
    if ENCRYPTED.into_iter().any(contains) {
        return Err(KeyError::Encrypted);
    }
    sections(text, &BESIDE_A_KEY).map_err(|bad| match bad {
        BadLine { line, label: Some(label) } if !BESIDE_A_KEY.contains(&label.as_str()) => {
            KeyError::OtherSection { line, found: Container::of_label(&label) }
        }
        BadLine { line, .. } => KeyError::BrokenLine { line },
    })?;
    let mut keys = Vec::new();
    let mut certificates = 0;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) = section.map_err(|_| KeyError::Broken)?;
        certificates += usize::from(kind == SectionKind::Certificate);
        keys.extend(PrivateKeyDer::from_pem(kind, der));
    }
    match <[_; 1]>::try_from(keys) {
        Ok([key]) => Ok(key),
        Err(none) if none.is_empty() && certificates > 0 => {
            Err(KeyError::NoKey(Container::of_label("CERTIFICATE")))
        }
        Err(none) if none.is_empty() => Err(KeyError::NoKey(Container::of_bytes(text))),
        Err(several) => Err(KeyError::Several(several.len())),
    }
}

/// PKCS#8, the older forms of RSA and EC keys, and what OpenSSL writes before the last.
const BESIDE_A_KEY: [&str; 5] =
    ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "EC PARAMETERS", "CERTIFICATE"];

/// With a passphrase: PKCS#8 (RFC 5958 section 3), and OpenSSL's older way.
const ENCRYPTED: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];
// ANCHOR_END: private_key

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAA==\n-----END PRIVATE KEY-----\n";

    #[test]
    fn what_holds_no_certificate_is_refused() {
        for text in ["", "garbage", "\u{30}\u{82}"] {
            let refused = certificates(text.as_bytes());
            assert!(matches!(refused, Err(PemError::NoCertificate(_))), "{text:?}: {refused:?}");
        }
    }

    /// The parser takes the second BEGIN for the first, or the end of the file for the end of a section.
    #[test]
    fn a_section_that_begins_twice_or_has_no_end_is_refused_by_its_number() {
        let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
        let good = format!("{begin}\nAAAA\n{end}\n");
        for (text, expected) in [
            (format!("{begin}\nAAAA\n{good}"), 2),
            (format!("{begin}\n{good}"), 2),
            (format!("{good}{begin}\nAAAA\n"), 2),
            (format!("{good}{good}{begin}\n"), 3),
            (format!("{good}{begin}\nA*AA\n{end}\n"), 2),
        ] {
            match certificates(text.as_bytes()) {
                Err(PemError::BrokenSection { number }) => assert_eq!(number, expected, "{text}"),
                other => panic!("expected a broken section in {text:?}, got {other:?}"),
            }
        }
        assert_eq!(certificates(format!("{good}{good}").as_bytes()).expect("two").len(), 2);
    }

    #[test]
    fn a_key_among_certificates_is_refused_by_its_line_and_not_shown() {
        let refused = certificates(format!("\n{KEY}").as_bytes()).expect_err("a key");
        assert!(
            matches!(refused, PemError::OtherSection { line: 2, found: Some(_) }),
            "{refused:?}"
        );
        assert!(!format!("{refused} {refused:?}").contains("MC4C"));
    }

    #[test]
    fn what_a_parser_would_skip_is_refused() {
        for (text, line) in [
            (" -----BEGIN CERTIFICATE-----\n", 1),
            ("\u{feff}-----BEGIN CERTIFICATE-----\n", 1),
            ("x\n-----END CERTIFICATE----------BEGIN CERTIFICATE-----\n", 2),
        ] {
            let refused = certificates(text.as_bytes());
            let found = matches!(refused, Err(PemError::BrokenLine { line: at }) if at == line);
            assert!(found, "{text:?}: {refused:?}");
        }
    }

    #[test]
    fn a_section_that_is_cut_off_or_no_base64_is_refused() {
        for text in [
            "-----BEGIN CERTIFICATE-----\nAAAA",
            "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
        ] {
            let refused = certificates(text.as_bytes());
            assert!(matches!(refused, Err(PemError::BrokenSection { number: 1 })), "{refused:?}");
        }
    }

    #[test]
    fn exactly_one_unencrypted_key_is_taken() {
        assert!(private_key(KEY.as_bytes()).is_ok());
        assert!(matches!(private_key(b""), Err(KeyError::NoKey(_))));
        assert!(matches!(private_key([KEY, KEY].concat().as_bytes()), Err(KeyError::Several(2))));
        assert!(matches!(private_key(&KEY.as_bytes()[..40]), Err(KeyError::Broken)));
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let parameters = "-----BEGIN EC PARAMETERS-----\nAAAA\n-----END EC PARAMETERS-----\n";
        for fine in [[KEY, certificate], [certificate, KEY], [parameters, KEY], ["Our key:\n", KEY]]
        {
            assert!(private_key(fine.concat().as_bytes()).is_ok(), "{fine:?}");
        }
        for encrypted in ["-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "Proc-Type: 4,ENCRYPTED\n"] {
            assert!(matches!(private_key(encrypted.as_bytes()), Err(KeyError::Encrypted)));
        }
    }

    #[test]
    fn a_second_key_that_a_parser_would_skip_is_refused() {
        let request =
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
        let lower = KEY.to_ascii_lowercase();
        for (before, second) in
            [(" ", KEY), ("\u{feff}", KEY), ("x", KEY), ("", request), ("", lower.as_str())]
        {
            let refused = private_key([KEY, before, second].concat().as_bytes());
            let refused = refused.expect_err("a second section");
            let line = match refused {
                KeyError::OtherSection { line, .. } | KeyError::BrokenLine { line } => line,
                _ => 0,
            };
            assert_eq!(line, 4, "{before:?}: {refused:?}");
            assert!(!format!("{refused} {refused:?}").contains("MC4C"));
        }
        let glued = [KEY.trim_end(), KEY].concat();
        assert!(matches!(private_key(glued.as_bytes()), Err(KeyError::BrokenLine { line: 3 })));
    }

    #[test]
    fn a_comment_with_hyphens_is_a_comment() {
        let comment = "# ----- Our key -----\n------------\n";
        assert!(private_key([comment, KEY].concat().as_bytes()).is_ok());
    }

    /// Each as a file of certificates and as one of a key.
    #[test]
    fn what_people_take_for_pem_is_named_with_what_to_do() {
        let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        let base64 = "MIIBszCCAVmgAwIBAgIUaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n";
        let utf16: Vec<u8> =
            [0xff, 0xfe].into_iter().chain(KEY.bytes().flat_map(|b| [b, 0])).collect();
        for (file, says) in [
            (b"".to_vec(), "an empty file"),
            (utf16, "UTF-16"),
            (b"\xfe\xed\xfe\xed\0\0\0\x02".to_vec(), "keytool -exportcert"),
            (b"\xce\xce\xce\xce\0\0\0\x02".to_vec(), "keytool -exportcert"),
            (b"\x1f\x8b\x08".to_vec(), "unpack it"),
            (b"PK\x03\x04".to_vec(), "unpack it"),
            (b"\n<!DOCTYPE html>".to_vec(), "the download failed"),
            (b"ssh-ed25519 AAAAC3Nza".to_vec(), "a key of SSH"),
            (b"PuTTY-User-Key-File-3: ssh-ed25519".to_vec(), "a key of SSH"),
            (b"---- BEGIN SSH2 PUBLIC KEY ----".to_vec(), "a key of SSH"),
            (b"{\"kty\":\"EC\"}".to_vec(), "JWK"),
            (b"\x30\x82\x05\x00\x02\x01\x03\x30".to_vec(), "openssl pkcs12"),
            (
                b"\x30\x82\x05\x00\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02".to_vec(),
                "openssl pkcs7",
            ),
            (b"\x30\x81\x87\x02\x01\x00\x30".to_vec(), "openssl pkey -inform der"),
            (b"\x30\x82\x05\x00\x30\x82".to_vec(), "openssl x509 -inform der"),
            (base64.into(), "without BEGIN and END"),
            (pem("TRUSTED CERTIFICATE").into(), "openssl x509 -in"),
            (pem("X509 CERTIFICATE").into(), "openssl x509 -in"),
            (pem("CERTIFICATE REQUEST").into(), "send it to the CA"),
            (pem("NEW CERTIFICATE REQUEST").into(), "send it to the CA"),
            (pem("X509 CRL").into(), "a revocation list"),
            (pem("PKCS7").into(), "openssl pkcs7"),
            (pem("CMS").into(), "openssl pkcs7"),
            (pem("OPENSSH PRIVATE KEY").into(), "a key of SSH"),
            (pem("PUBLIC KEY").into(), "a public key"),
            (pem("PGP PRIVATE KEY BLOCK").into(), "something of PGP"),
            (pem("DH PARAMETERS").into(), "parameters of a key"),
        ] {
            let certificates = certificates(&file).expect_err(says).to_string();
            assert!(certificates.contains(says), "{says}: {certificates}");
            let key = private_key(&file).expect_err(says).to_string();
            assert!(key.contains(says), "{says}: {key}");
        }
        let key = certificates(KEY.as_bytes()).expect_err("a key").to_string();
        assert!(key.contains("a private key: move it to a file of its own"), "{key}");
        let certificate =
            private_key(pem("CERTIFICATE").as_bytes()).expect_err("no key").to_string();
        assert!(certificate.contains("found a certificate"), "{certificate}");
        let parameters =
            private_key(pem("EC PARAMETERS").as_bytes()).expect_err("no key").to_string();
        assert!(parameters.contains("found none"), "{parameters}");
    }
}
