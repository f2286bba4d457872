use careful_issuer::request::ProvedKey;
use careful_services::identity::ServiceId;
use careful_services::revoked::Revoked;
use rustls_pki_types::CertificateRevocationListDer;

/// A certificate, a certificate request or a revocation list, of a stranger. An identity that is
/// read has one form.
///
/// # Panics
/// When it has another.
pub fn certificates(bytes: &[u8]) {
    if let Ok(id) = ServiceId::of_certificate(bytes) {
        assert_eq!(id.as_str().parse::<ServiceId>(), Ok(id));
    }
    let _key = ProvedKey::of_request(bytes);
    let _replaced = Revoked::new().replace([&CertificateRevocationListDer::from(bytes)]);
}
