//! A certificate authority for the laboratory: a root and an intermediate made at run
//! time, good leaves, and by the same builder every bad certificate that a lesson needs.
//!
//! No key and no certificate of the course is ever written to the repository. The good
//! chain has what RFC 5280 asks for (distinct subjects, real validity, key usages, SAN,
//! key identifiers), so `openssl verify -x509_strict` accepts it; rcgen's defaults alone
//! do not get there.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationList,
    CertificateRevocationListParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, NameConstraints,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, RevokedCertParams, SanType, SerialNumber,
    SignatureAlgorithm,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

/// How long before now a certificate of the lab becomes valid: clocks of two machines
/// differ.
const BACKDATED: Duration = Duration::hours(1);
const CA_LIFETIME: Duration = Duration::days(30);
const LEAF_LIFETIME: Duration = Duration::days(7);

/// A root and an intermediate that issues the leaves.
pub struct LabCa {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: IssuingCa,
}

/// The signature algorithm of a CA and of the leaves that it issues.
type Algorithm = &'static SignatureAlgorithm;

/// Who signs a leaf, and the certificates that a server sends after the leaf so that a
/// client can build the path to the root.
pub struct IssuingCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
    above: Vec<Certificate>,
    algorithm: Algorithm,
}

impl LabCa {
    /// A CA whose certificates are named "`name` Root" and "`name` Intermediate".
    ///
    /// Two CAs of one name have different keys: a certificate proves nothing by the name
    /// of its issuer.
    pub fn new(name: &str) -> Result<Self, rcgen::Error> {
        let now = OffsetDateTime::now_utc();
        Self::make(name, &PKCS_ECDSA_P256_SHA256, now - BACKDATED, CA_LIFETIME)
    }

    /// A CA whose root expired yesterday; the intermediate is valid.
    pub fn with_expired_root(name: &str) -> Result<Self, rcgen::Error> {
        let now = OffsetDateTime::now_utc();
        let lifetime = CA_LIFETIME - Duration::days(1);
        Self::make(name, &PKCS_ECDSA_P256_SHA256, now - CA_LIFETIME, lifetime)
    }

    /// A CA with Ed25519 keys, whose signatures all have one length: 64 bytes. Then the sizes
    /// on the wire are the same in each run.
    pub fn with_ed25519(name: &str) -> Result<Self, rcgen::Error> {
        let now = OffsetDateTime::now_utc();
        Self::make(name, &PKCS_ED25519, now - BACKDATED, CA_LIFETIME)
    }

    /// The CA of this name whose root has this key, PEM: what it issues is valid below a root certificate that
    /// was made before, because a client looks at the root's name and key. The intermediate is a new one.
    pub fn with_root_key(name: &str, pem: &str) -> Result<Self, rcgen::Error> {
        let not_before = OffsetDateTime::now_utc() - BACKDATED;
        let key = KeyPair::from_pem(pem)?;
        Self::make_with(name, key, &PKCS_ECDSA_P256_SHA256, not_before, CA_LIFETIME)
    }

    fn make(
        name: &str,
        algorithm: Algorithm,
        not_before: OffsetDateTime,
        lifetime: Duration,
    ) -> Result<Self, rcgen::Error> {
        Self::make_with(name, KeyPair::generate_for(algorithm)?, algorithm, not_before, lifetime)
    }

    fn make_with(
        name: &str,
        key: KeyPair,
        algorithm: Algorithm,
        not_before: OffsetDateTime,
        lifetime: Duration,
    ) -> Result<Self, rcgen::Error> {
        let mut root = ca_params(&format!("{name} Root"), BasicConstraints::Unconstrained);
        root.not_before = not_before;
        root.not_after = not_before + lifetime;
        root.serial_number = Some(serial_number(&root, &key));
        let root = CertifiedIssuer::self_signed(root, key)?;
        // Path length 0: this intermediate issues leaves, and no further CA (RFC 5280
        // section 4.2.1.9).
        let intermediate =
            ca_params(&format!("{name} Intermediate"), BasicConstraints::Constrained(0));
        let intermediate = IssuingCa::below(&root, intermediate, algorithm, Vec::new())?;
        Ok(Self { root, intermediate })
    }

    /// The root's certificate, DER: what a client trusts.
    pub fn root_der(&self) -> CertificateDer<'static> {
        self.root.der().clone()
    }

    /// The root's certificate, PEM.
    pub fn root_pem(&self) -> String {
        with_line_feeds(self.root.pem())
    }

    /// The root's private key, PEM: for [`with_root_key`](Self::with_root_key). With it, anybody can be any
    /// server for those who trust this root, so it belongs in a private file of a laboratory, and nowhere else.
    pub fn root_key_pem(&self) -> String {
        with_line_feeds(self.root.key().serialize_pem())
    }

    /// The intermediate's certificate, PEM.
    pub fn intermediate_pem(&self) -> String {
        with_line_feeds(self.intermediate.issuer.pem())
    }

    /// A trust store that holds this root and nothing else.
    pub fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let (_added, ignored) = roots.add_parsable_certificates([self.root_der()]);
        assert_eq!(ignored, 0, "rcgen made a root that rustls cannot parse");
        Arc::new(roots)
    }

    /// Starts a leaf certificate for a host name, an IP address or a URI, signed by the
    /// intermediate.
    pub fn leaf(&self, name: &str) -> Leaf<'_> {
        self.intermediate.leaf(name)
    }

    /// A mistake: an ordinary leaf that signs certificates as if it were a CA.
    pub fn leaf_as_issuer(&self) -> Result<IssuingCa, rcgen::Error> {
        let params = leaf_params(&["shop.test".to_owned()])?;
        self.below_intermediate(params)
    }

    /// A mistake: a second intermediate below the first, whose path length of 0 forbids
    /// it.
    pub fn intermediate_too_deep(&self) -> Result<IssuingCa, rcgen::Error> {
        self.below_intermediate(ca_params("Second Intermediate", BasicConstraints::Constrained(0)))
    }

    /// An intermediate that may issue only for names below `domain` (RFC 5280 section
    /// 4.2.1.10).
    pub fn intermediate_constrained_to(&self, domain: &str) -> Result<IssuingCa, rcgen::Error> {
        let mut params =
            ca_params(&format!("Intermediate for {domain}"), BasicConstraints::Constrained(0));
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(domain.to_owned())],
            excluded_subtrees: Vec::new(),
        });
        IssuingCa::below(&self.root, params, self.intermediate.algorithm, Vec::new())
    }

    /// The intermediate's revocation list with these certificates on it, current for a
    /// day.
    ///
    /// A client that checks the whole chain needs [`root_crl`](Self::root_crl), too.
    pub fn crl(&self, revoked: &[&Identity]) -> Result<CertificateRevocationList, rcgen::Error> {
        crl(&self.intermediate.issuer, revoked, OffsetDateTime::now_utc() - BACKDATED)
    }

    /// The same list as issued a week ago: its nextUpdate passed six days ago.
    pub fn stale_crl(
        &self,
        revoked: &[&Identity],
    ) -> Result<CertificateRevocationList, rcgen::Error> {
        crl(&self.intermediate.issuer, revoked, OffsetDateTime::now_utc() - Duration::days(7))
    }

    /// The root's revocation list: empty, current for a day. It speaks of the
    /// intermediates.
    pub fn root_crl(&self) -> Result<CertificateRevocationList, rcgen::Error> {
        crl(&self.root, &[], OffsetDateTime::now_utc() - BACKDATED)
    }

    fn below_intermediate(&self, params: CertificateParams) -> Result<IssuingCa, rcgen::Error> {
        let parent = &self.intermediate;
        IssuingCa::below(&parent.issuer, params, parent.algorithm, parent.chain())
    }
}

impl IssuingCa {
    /// Makes a fresh key, and a certificate for it that `parent` signs.
    fn below(
        parent: &Issuer<'_, KeyPair>,
        mut params: CertificateParams,
        algorithm: Algorithm,
        above: Vec<Certificate>,
    ) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate_for(algorithm)?;
        params.serial_number = Some(serial_number(&params, &key));
        Ok(Self { issuer: CertifiedIssuer::signed_by(params, key, parent)?, above, algorithm })
    }

    /// Starts a leaf certificate for a host name or an IP address.
    pub fn leaf(&self, name: &str) -> Leaf<'_> {
        Leaf {
            issuer: self,
            names: vec![name.to_owned()],
            not_before: OffsetDateTime::now_utc() - BACKDATED,
            lifetime: LEAF_LIFETIME,
            purposes: vec![ExtendedKeyUsagePurpose::ServerAuth],
            common_name_only: false,
            is_ca: false,
            self_signed: false,
            send_intermediates: true,
            key: None,
        }
    }

    /// This CA's certificate and those above it, without the root.
    fn chain(&self) -> Vec<Certificate> {
        let mut chain = vec![self.issuer.as_ref().clone()];
        chain.extend(self.above.iter().cloned());
        chain
    }
}

/// A leaf certificate in the making. Without further calls it is a good one.
pub struct Leaf<'ca> {
    issuer: &'ca IssuingCa,
    names: Vec<String>,
    not_before: OffsetDateTime,
    lifetime: Duration,
    purposes: Vec<ExtendedKeyUsagePurpose>,
    common_name_only: bool,
    is_ca: bool,
    self_signed: bool,
    send_intermediates: bool,
    key: Option<&'ca Identity>,
}

impl<'ca> Leaf<'ca> {
    /// For the key of this identity: a renewed certificate.
    pub fn renewing(mut self, identity: &'ca Identity) -> Self {
        self.key = Some(identity);
        self
    }

    /// A further host name, IP address or URI.
    pub fn also_for(mut self, name: &str) -> Self {
        self.names.push(name.to_owned());
        self
    }

    /// A mistake: valid until yesterday.
    pub fn expired(mut self) -> Self {
        self.not_before = OffsetDateTime::now_utc() - LEAF_LIFETIME;
        self.lifetime = LEAF_LIFETIME - Duration::days(1);
        self
    }

    /// A mistake: valid from tomorrow.
    pub fn not_yet_valid(mut self) -> Self {
        self.not_before = OffsetDateTime::now_utc() + Duration::days(1);
        self
    }

    /// For a client that authenticates itself, and not for a server.
    pub fn for_clients(mut self) -> Self {
        self.purposes = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self
    }

    /// Without any extended key usage.
    pub fn without_purpose(mut self) -> Self {
        self.purposes.clear();
        self
    }

    /// A mistake: the name stands in the subject's common name, and there is no SAN.
    pub fn common_name_only(mut self) -> Self {
        self.common_name_only = true;
        self
    }

    /// A mistake: a CA certificate used by a server, as `openssl req -x509` makes it.
    pub fn as_ca(mut self) -> Self {
        self.is_ca = true;
        self
    }

    /// Signed by its own key, by no CA.
    pub fn self_signed(mut self) -> Self {
        self.self_signed = true;
        self
    }

    /// A mistake: the server does not send the intermediate.
    pub fn without_intermediate(mut self) -> Self {
        self.send_intermediates = false;
        self
    }

    /// Makes a fresh key (ECDSA P-256, unless the CA has another algorithm) and signs the certificate.
    pub fn issue(self) -> Result<Identity, rcgen::Error> {
        let key = match self.key {
            Some(identity) => KeyPair::try_from(identity.key.serialize_der())?,
            None => KeyPair::generate_for(self.issuer.algorithm)?,
        };
        let mut params = leaf_params(&self.names)?;
        let serial = serial_number(&params, &key);
        params.serial_number = Some(serial.clone());
        params.not_before = self.not_before;
        params.not_after = self.not_before + self.lifetime;
        params.extended_key_usages = self.purposes;
        if self.common_name_only {
            params.subject_alt_names.clear();
        }
        if self.is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        }
        let leaf = match self.self_signed {
            true => params.self_signed(&key)?,
            false => params.signed_by(&key, &self.issuer.issuer)?,
        };
        let mut chain = vec![leaf];
        if self.send_intermediates && !self.self_signed {
            chain.extend(self.issuer.chain());
        }
        Ok(Identity { chain, key, serial })
    }
}

/// A certificate chain, leaf first, and the leaf's private key.
pub struct Identity {
    chain: Vec<Certificate>,
    key: KeyPair,
    serial: SerialNumber,
}

impl Identity {
    /// The leaf, then the intermediates; never the root, which the peer has or does not
    /// trust.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.iter().map(|certificate| certificate.der().clone()).collect()
    }

    /// The leaf's certificate.
    pub fn leaf_der(&self) -> CertificateDer<'static> {
        self.chain[0].der().clone()
    }

    /// The leaf's serial number, big-endian.
    pub fn serial(&self) -> &[u8] {
        self.serial.as_ref()
    }

    /// The private key, PKCS#8 DER.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    /// The chain as PEM, for a foreign server.
    pub fn chain_pem(&self) -> String {
        with_line_feeds(self.chain.iter().map(Certificate::pem).collect())
    }

    /// Writes `chain.pem` and `key.pem` into a folder; the key so that only its owner can
    /// read it.
    pub fn write_to(&self, folder: &Path) -> io::Result<()> {
        std::fs::write(folder.join("chain.pem"), self.chain_pem())?;
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(folder.join("key.pem"))?.write_all(self.key_pem().as_bytes())
    }

    /// The private key as unencrypted PEM, for a foreign server: a file for it needs mode
    /// 600.
    pub fn key_pem(&self) -> String {
        with_line_feeds(self.key.serialize_pem())
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

/// rcgen ends lines as the system does; the lab's files are the same on every system.
fn with_line_feeds(pem: String) -> String {
    pem.replace("\r\n", "\n")
}

/// Of the next revocation list, whosever it is: a later list has a larger number (RFC 5280 section 5.2.3).
static NUMBER: AtomicU64 = AtomicU64::new(1);

fn crl(
    issuer: &CertifiedIssuer<'static, KeyPair>,
    revoked: &[&Identity],
    this_update: OffsetDateTime,
) -> Result<CertificateRevocationList, rcgen::Error> {
    let revoked_certs = revoked.iter().map(|identity| RevokedCertParams {
        serial_number: identity.serial.clone(),
        revocation_time: this_update,
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update,
        next_update: this_update + Duration::days(1),
        crl_number: SerialNumber::from(NUMBER.fetch_add(1, Ordering::Relaxed)),
        issuing_distribution_point: None,
        revoked_certs: revoked_certs.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer)
}

fn ca_params(common_name: &str, constraints: BasicConstraints) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = OffsetDateTime::now_utc() - BACKDATED;
    params.not_after = params.not_before + CA_LIFETIME;
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

fn leaf_params(names: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let (uris, hosts): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.contains("://"));
    let mut params = CertificateParams::new(hosts.into_iter().cloned().collect::<Vec<_>>())?;
    for uri in uris {
        params.subject_alt_names.push(SanType::URI(uri.as_str().try_into()?));
    }
    params.distinguished_name.push(DnType::CommonName, names[0].as_str());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// 16 bytes of the digest of a fresh random public key, made positive (RFC 5280 section
/// 4.1.2.2).
fn serial_number(params: &CertificateParams, key: &KeyPair) -> SerialNumber {
    let mut bytes = params.key_identifier(key);
    bytes.truncate(16);
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from(bytes)
}
