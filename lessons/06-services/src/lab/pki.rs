//! A root, and two intermediates below it: one of the lab, for every certificate that a lesson
//! needs, and one that the take-home issuer runs.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use careful_issuer::issuer::{Issuer, State};
use careful_services::credentials::{Credentials, Trust};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer as Signer, KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateRevocationListDer;
use shared::{Identity, LabCa};
use x509_parser::extensions::GeneralName;

/// What the take-home code takes.
pub fn credentials(identity: &Identity) -> Credentials {
    Credentials { chain: identity.chain(), key: identity.key() }
}

/// Whoever this CA issues to, and no lists.
pub fn trust(ca: &LabCa) -> Trust {
    Trust { roots: ca.roots(), lists: Vec::new() }
}

/// Several CAs.
pub fn trust_all<'a>(cas: impl IntoIterator<Item = &'a LabCa>) -> Trust {
    let mut roots = RootCertStore::empty();
    for ca in cas {
        roots.add_parsable_certificates([ca.root_der()]);
    }
    Trust { roots: Arc::new(roots), lists: Vec::new() }
}

/// The same with the lists of root and intermediate, on which these stand.
pub fn trust_with_lists(ca: &LabCa, revoked: &[&Identity]) -> anyhow::Result<Trust> {
    let lists = vec![ca.root_crl()?.der().clone(), ca.crl(revoked)?.der().clone()];
    Ok(Trust { roots: ca.roots(), lists })
}

/// The list of the intermediate, with these on it.
pub fn list(
    ca: &LabCa,
    revoked: &[&Identity],
) -> anyhow::Result<CertificateRevocationListDer<'static>> {
    Ok(ca.crl(revoked)?.der().clone())
}

/// The take-home issuer, as an intermediate below the CA's root, which is named "`name` Root".
pub fn issuer(ca: &LabCa, name: &str, life: Duration) -> anyhow::Result<Issuer> {
    let root_key = KeyPair::from_pem(&ca.root_key_pem())?;
    // The same name as the root has.
    let root = Signer::new(named(&format!("{name} Root")), root_key);
    let key = KeyPair::generate()?;
    let params = named(&format!("{name} Services"));
    let certificate = params.signed_by(&key, &root)?;
    let chain = vec![certificate.der().clone()];
    Ok(Issuer::new(Signer::new(params, key), chain, life, State::default())?)
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::hours(1);
    params.not_after = now + time::Duration::days(20);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Every DNS name and URI in a certificate's subject alternative name.
pub fn names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else { return Vec::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect()
}
