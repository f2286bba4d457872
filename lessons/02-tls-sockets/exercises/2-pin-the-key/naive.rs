//! The answer that most people find first. The pin decides, and everything else says yes, as in many examples of a custom
//! verifier. "We know the key, so why ask a CA?" But the pin only says which certificate was sent, and that is public. This
//! code doesn't check whether the server has the key. It doesn't check the name or the dates either.

use std::sync::Arc;

use exercises_2::pin::key_hash;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use shared::crypto_provider;

#[derive(Debug)]
struct Pinned {
    pin: [u8; 32],
}

pub fn verifier(
    _roots: Arc<RootCertStore>,
    pin: [u8; 32],
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    Ok(Arc::new(Pinned { pin }))
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match key_hash(end_entity) == Some(self.pin) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crypto_provider().signature_verification_algorithms.supported_schemes()
    }
}
