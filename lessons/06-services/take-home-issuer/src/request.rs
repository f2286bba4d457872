//! A certificate request (PKCS #10, RFC 2986).
//!
//! The mistake this prevents: the issuer copies what the request asks for. A request is signed
//! by whoever made it, so it proves one thing, that its sender has the private key. Its names,
//! its purposes and its dates are wishes.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm,
};
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData,
    SignatureAlgorithm,
};
use rustls_pki_types::{CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ED25519,
};
use x509_parser::prelude::{FromDer, X509CertificationRequest};

/// The longest request that is read, in bytes.
pub const LONGEST: usize = 16 * 1024;

/// Why a request is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// Longer than [`LONGEST`], no PKCS #10, or something comes after it.
    #[error("expected a certificate request in DER")]
    NotARequest,
    /// RSA, another curve, or another hash. A weak key among them.
    #[error("expected a key of ECDSA P-256 with SHA-256, or of Ed25519")]
    Key,
    /// Its sender doesn't have the private key, or it was changed.
    #[error("the request's signature is not valid for the key in it")]
    Signature,
    /// No key could be made.
    #[error("no request could be made")]
    Make,
}

/// A new private key, and a request for it with nothing else in it. For each certificate another
/// key.
///
/// # Errors
/// The system has no randomness.
pub fn new_request()
-> Result<(PrivateKeyDer<'static>, CertificateSigningRequestDer<'static>), RequestError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| RequestError::Make)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(|_| RequestError::Make)?;
    Ok((PrivatePkcs8KeyDer::from(key.serialize_der()).into(), request.der().clone()))
}

/// The public key of a request whose sender has the private one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvedKey {
    bytes: Vec<u8>,
    algorithm: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    P256,
    Ed25519,
}

impl ProvedKey {
    // ANCHOR: of_request
    /// Checks the request's signature with the key that is in it. Nothing else in the request is
    /// even looked at.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn of_request(der: &[u8]) -> Result<Self, RequestError> {
        let parsed = (der.len() <= LONGEST).then(|| X509CertificationRequest::from_der(der));
        let Some(Ok((b"", request))) = parsed else { return Err(RequestError::NotARequest) };
        let info = &request.certification_request_info;
        let (key, signed) = (&info.subject_pki, &request.signature_algorithm.algorithm);
        let curve = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
        let (algorithm, verify): (Kind, &dyn VerificationAlgorithm) =
            match (&key.algorithm.algorithm, curve) {
                (oid, Some(curve))
                    if *oid == OID_KEY_TYPE_EC_PUBLIC_KEY
                        && curve == OID_EC_P256
                        && *signed == OID_SIG_ECDSA_WITH_SHA256 =>
                {
                    (Kind::P256, &ECDSA_P256_SHA256_ASN1)
                }
                (oid, None) if *oid == OID_SIG_ED25519 && *signed == OID_SIG_ED25519 => {
                    (Kind::Ed25519, &ED25519)
                }
                _ => return Err(RequestError::Key),
            };
        let bytes = key.subject_public_key.data.to_vec();
        // An uncompressed point (RFC 5480 section 2.2), and not another form that the library reads.
        if algorithm == Kind::P256 && !(bytes.len() == 65 && bytes.starts_with(&[4])) {
            return Err(RequestError::Key);
        }
        UnparsedPublicKey::new(verify, &bytes)
            .verify(info.raw, &request.signature_value.data)
            .map_err(|_| RequestError::Signature)?;
        Ok(Self { bytes, algorithm })
    }
    // ANCHOR_END: of_request
}

impl PublicKeyData for ProvedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.algorithm {
            Kind::P256 => &PKCS_ECDSA_P256_SHA256,
            Kind::Ed25519 => &PKCS_ED25519,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(algorithm: &'static SignatureAlgorithm) -> Vec<u8> {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let request = CertificateParams::new(["admin.bank.test".to_owned()]).expect("a name");
        request.serialize_request(&key).expect("a request").der().to_vec()
    }

    #[test]
    fn a_request_proves_its_key() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
            let proved = ProvedKey::of_request(&request(algorithm)).expect("it is right");
            assert_eq!(proved.algorithm(), algorithm);
        }
        let (_key, made) = new_request().expect("a request");
        assert!(ProvedKey::of_request(&made).is_ok());
    }

    /// The frame around what is signed isn't signed itself, and the parser doesn't read each bit
    /// of it.
    #[test]
    fn no_flipped_bit_gives_another_key() {
        let made = request(&PKCS_ECDSA_P256_SHA256);
        let proved = ProvedKey::of_request(&made).expect("it is right");
        let (_, parsed) = X509CertificationRequest::from_der(&made).expect("it is right");
        let signed = 4..4 + parsed.certification_request_info.raw.len();
        assert_eq!(&made[signed.clone()], parsed.certification_request_info.raw);
        let signature = made.len() - parsed.signature_value.data.len()..made.len();
        for at in 0..made.len() {
            for bit in 0..8 {
                let mut changed = made.clone();
                changed[at] ^= 1 << bit;
                if let Ok(key) = ProvedKey::of_request(&changed) {
                    assert_eq!(key, proved, "byte {at}, bit {bit}");
                    assert!(!signed.contains(&at) && !signature.contains(&at), "byte {at}");
                }
            }
        }
    }

    #[test]
    fn other_keys_and_other_bytes_are_refused() {
        let p384 = request(&rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(ProvedKey::of_request(&p384), Err(RequestError::Key));
        let made = request(&PKCS_ED25519);
        for wrong in [&[][..], b"garbage", &made[..made.len() - 1], &[&made[..], b"\0"].concat()] {
            assert_eq!(ProvedKey::of_request(wrong), Err(RequestError::NotARequest));
        }
        assert_eq!(ProvedKey::of_request(&vec![0x30; LONGEST + 1]), Err(RequestError::NotARequest));
    }
}
