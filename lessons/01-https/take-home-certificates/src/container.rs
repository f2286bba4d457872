//! What people take for PEM, told by its first bytes or its label, and what to do with it.
//!
//! The mistake this prevents: "expected a certificate, found none" for a file in which its owner sees one.

use std::fmt;

/// Something that is not what was asked for. It holds names from a list alone, and nothing of the file, which may
/// be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Container {
    name: &'static str,
    advice: &'static str,
}

/// What it is, and what to do.
impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.advice)
    }
}

impl Container {
    const fn new(name: &'static str, advice: &'static str) -> Self {
        Self { name, advice }
    }

    /// By the label between BEGIN and the hyphens (RFC 7468 section 4), in capitals.
    pub(crate) fn of_label(label: &str) -> Option<Self> {
        Some(match label {
            "CERTIFICATE" => Self::new("a certificate", "it belongs in another file"),
            "TRUSTED CERTIFICATE" => Self::new(
                "a certificate with OpenSSL's own settings of trust",
                "write it without them, `openssl x509 -in FILE -out NEW`",
            ),
            "X509 CERTIFICATE" => Self::new(
                "a certificate under its label of the nineties",
                "write it as OpenSSL does now, `openssl x509 -in FILE -out NEW`",
            ),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Self::new(
                "a request for a certificate",
                "send it to the CA, and use the certificate that comes back",
            ),
            "X509 CRL" => Self::new("a revocation list", "it is loaded on its own, not as a CA"),
            "PKCS7" | "CMS" | "PKCS #7 SIGNED DATA" => Self::new(
                "PKCS #7",
                "take the certificates out, `openssl pkcs7 -print_certs -in FILE -out NEW`",
            ),
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "DSA PRIVATE KEY"
            | "ANY PRIVATE KEY" => Self::new(
                "a private key",
                "move it to a file of its own; if anybody else has this file, make another key",
            ),
            "ENCRYPTED PRIVATE KEY" => Self::new(
                "a private key with a passphrase",
                "a key belongs in a file of its own; remove the passphrase with `openssl pkey`, and protect the file",
            ),
            "OPENSSH PRIVATE KEY" | "SSH2 PUBLIC KEY" | "SSH2 ENCRYPTED PRIVATE KEY" => Self::new(
                "a key of SSH",
                "TLS needs a certificate and a key of its own, `openssl genpkey -algorithm EC -pkeyopt \
                 ec_paramgen_curve:P-256`",
            ),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Self::new(
                "a public key",
                "use the certificate that a CA made for it, or the private key that belongs to it",
            ),
            "EC PARAMETERS" | "DH PARAMETERS" | "DSA PARAMETERS" => {
                Self::new("parameters of a key, without the key", "use the file that has the key")
            }
            label if label.starts_with("PGP ") => {
                Self::new("something of PGP", "TLS needs certificates and keys of X.509")
            }
            _ => return None,
        })
    }

    /// By the bytes of a file that has no BEGIN of what was asked for.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
        let lower = text.get(..text.len().min(64)).unwrap_or_default().to_ascii_lowercase();
        let starts = |with: &[u8]| bytes.starts_with(with);
        Some(if bytes.is_empty() {
            Self::new("an empty file", "check what wrote it, and whether the disk is full")
        } else if starts(b"\xff\xfe") || starts(b"\xfe\xff") {
            Self::new("a text in UTF-16", "save it as UTF-8 (PowerShell's `>` writes UTF-16)")
        } else if starts(b"\xfe\xed\xfe\xed") || starts(b"\xce\xce\xce\xce") {
            Self::new(
                "a key store of Java",
                "take the certificate out, `keytool -exportcert -rfc -keystore FILE -alias NAME`",
            )
        } else if starts(b"\x1f\x8b") || starts(b"PK\x03\x04") {
            Self::new("a compressed archive", "unpack it")
        } else if lower.starts_with(b"<!doctype html") || lower.starts_with(b"<html") {
            Self::new("a web page", "the download failed: look at it in a browser")
        } else if lower.starts_with(b"putty-user-key-file") || lower.starts_with(b"ssh-") {
            return Self::of_label("OPENSSH PRIVATE KEY");
        } else if lower.starts_with(b"---- begin ssh2") {
            return Self::of_label("SSH2 PUBLIC KEY");
        } else if lower.starts_with(b"{") {
            Self::new("JSON, perhaps a JWK", "this takes PEM")
        } else if starts(b"\x30") {
            der(bytes)
        } else if is_base64_of_der(text) {
            Self::new(
                "base64 without BEGIN and END",
                "put the line of BEGIN before it, and that of END after it, each with its five hyphens on both sides",
            )
        } else {
            return None;
        })
    }
}

/// A SEQUENCE of DER, by what it begins with.
fn der(bytes: &[u8]) -> Container {
    // Tag, and a length of one to five bytes (X.690 section 8.1.3).
    let skip = match bytes.get(1) {
        Some(&long) if long > 0x80 => 2 + usize::from(long & 0x7f),
        _ => 2,
    };
    let inside = bytes.get(skip..).unwrap_or_default();
    // The OID 1.2.840.113549.1.7.2, signed data.
    let pkcs7 = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    if inside.starts_with(b"\x02\x01\x03") {
        Container::new(
            "PKCS #12 (.p12, .pfx)",
            "take the certificates out with `openssl pkcs12 -in FILE -nokeys`, or the key with `-nocerts -noenc`",
        )
    } else if inside.starts_with(pkcs7) {
        Container::new(
            "PKCS #7 in DER (.p7b)",
            "take the certificates out, `openssl pkcs7 -inform der -print_certs -in FILE -out NEW`",
        )
    } else if inside.starts_with(b"\x02\x01") {
        Container::new(
            "a private key in DER",
            "convert it to PEM, `openssl pkey -inform der -in FILE -out NEW`",
        )
    } else if inside.starts_with(b"\x30") {
        Container::new(
            "DER, perhaps a certificate (.cer, .crt, .der)",
            "convert it to PEM, `openssl x509 -inform der -in FILE -out NEW`",
        )
    } else {
        Container::new("DER of another kind", "this takes PEM")
    }
}

/// `MI` is how base64 of a SEQUENCE with a length of two bytes begins.
fn is_base64_of_der(text: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(byte);
    text.starts_with(b"MI") && text.len() > 64 && text.iter().all(fits)
}
