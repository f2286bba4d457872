//! Certificates and private keys in PEM (RFC 7468), read strictly.
//!
//! The mistake this prevents: a PEM parser skips what it does not recognize. A BEGIN behind a
//! space or a byte order mark, two files glued together without a line feed, a section of another
//! kind: each makes a certificate disappear without an error (observed with rustls-pki-types
//! 1.16.0).

use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// Why a text is no PEM of certificates. None of these holds a byte of the text: what lies in
/// it may be a key.
#[derive(Debug, Error)]
pub enum PemError {
    /// No PEM section at all: an empty file, DER, or anything else.
    #[error("expected at least one \"-----BEGIN CERTIFICATE-----\", found none")]
    NoCertificate,
    /// A private key, or another thing that clients have no business with.
    #[error(
        "expected certificates only, found a section of another kind in line {line}: a CA's key must never be handed out"
    )]
    OtherSection {
        /// Its first line, from 1.
        line: usize,
    },
    /// Text before or after a BEGIN or END, on the same line.
    #[error(
        "expected BEGIN and END CERTIFICATE each on a line of its own, found something else in line {line}"
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

/// Every certificate of a text, at least one, in order.
///
/// # Errors
/// See [`PemError`]. One bad line is enough: a file is all good or it is not used.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let sections = count_sections(text)?;
    let mut certificates = Vec::new();
    for section in CertificateDer::pem_slice_iter(text) {
        let number = certificates.len() + 1;
        certificates.push(section.map_err(|_| PemError::BrokenSection { number })?);
    }
    match certificates.len() {
        0 => Err(PemError::NoCertificate),
        parsed if parsed == sections => Ok(certificates),
        parsed => Err(PemError::BrokenSection { number: parsed + 1 }),
    }
}

// ANCHOR: count_sections
/// Counts the sections, and refuses each line that the PEM parser would skip without a word.
fn count_sections(text: &[u8]) -> Result<usize, PemError> {
    let mut sections = 0;
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii_end();
        let number = index + 1;
        let upper = line.to_ascii_uppercase();
        let contains = |mark: &[u8]| upper.windows(mark.len()).any(|window| window == mark);
        match line {
            b"-----BEGIN CERTIFICATE-----" => sections += 1,
            b"-----END CERTIFICATE-----" => {}
            _ if contains(b"CERTIFICATE-----") && !contains(b"TRUSTED") => {
                return Err(PemError::BrokenLine { line: number });
            }
            _ if contains(b"-----BEGIN") => {
                return Err(PemError::OtherSection { line: number });
            }
            _ => {}
        }
    }
    Ok(sections)
}
// ANCHOR_END: count_sections

/// Why a text is no private key in PEM. None of these holds a byte of the text.
#[derive(Debug, Error)]
pub enum KeyError {
    /// A section of another kind, or text before or after a BEGIN or END, on the same line.
    #[error(
        "expected a private key and perhaps certificates, each BEGIN and END on a line of its own, found something \
         else in line {line}"
    )]
    OtherLine {
        /// The line, from 1.
        line: usize,
    },
    /// A PEM section that is cut off or not base64.
    #[error("expected a private key in PEM, but it is broken or cut off")]
    Broken,
    /// No key in a text for a key, or more than one.
    #[error("expected one private key, found {0}")]
    Count(usize),
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
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if line.windows(5).any(|window| window == b"-----") && !is_mark(line.trim_ascii_end()) {
            return Err(KeyError::OtherLine { line: index + 1 });
        }
    }
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) = section.map_err(|_| KeyError::Broken)?;
        keys.extend(PrivateKeyDer::from_pem(kind, der));
    }
    match <[_; 1]>::try_from(keys) {
        Ok([key]) => Ok(key),
        Err(keys) => Err(KeyError::Count(keys.len())),
    }
}

/// Whether a line begins or ends a section that may be in a file with a key.
fn is_mark(line: &[u8]) -> bool {
    let label = line.strip_prefix(b"-----BEGIN ").or_else(|| line.strip_prefix(b"-----END "));
    let label = label.and_then(|line| line.strip_suffix(b"-----"));
    label.is_some_and(|label| BESIDE_A_KEY.contains(&label))
}

/// PKCS#8, the older forms of RSA and EC keys, and what OpenSSL writes before the last.
const BESIDE_A_KEY: [&[u8]; 5] =
    [b"PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY", b"EC PARAMETERS", b"CERTIFICATE"];

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
            assert!(matches!(refused, Err(PemError::NoCertificate)), "{text:?}: {refused:?}");
        }
    }

    #[test]
    fn a_key_among_certificates_is_refused_by_its_line_and_not_shown() {
        let refused = certificates(format!("\n{KEY}").as_bytes()).expect_err("a key");
        assert!(matches!(refused, PemError::OtherSection { line: 2 }), "{refused:?}");
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
        assert!(matches!(private_key(b""), Err(KeyError::Count(0))));
        assert!(matches!(private_key([KEY, KEY].concat().as_bytes()), Err(KeyError::Count(2))));
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
            assert!(matches!(refused, KeyError::OtherLine { line: 4 }), "{before:?}: {refused:?}");
            assert!(!format!("{refused} {refused:?}").contains("MC4C"));
        }
        let glued = [KEY.trim_end(), KEY].concat();
        assert!(matches!(private_key(glued.as_bytes()), Err(KeyError::OtherLine { line: 3 })));
    }
}
