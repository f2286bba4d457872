use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use careful_issuer::enrollment::Enrollment;
use careful_issuer::issuer::{Entitlement, Issuer, State};
use careful_issuer::request::{ProvedKey, new_request};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer as Signer, KeyPair};

fn main() -> Result<(), Box<dyn Error>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    // In your issuer, the key and the certificate come from files, and an offline root has signed
    // the certificate.
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let day = Duration::from_secs(24 * 3600);
    let chain = vec![certificate.der().clone()];
    let mut issuer = Issuer::new(Signer::new(params, key), chain, day, State::default())?;
    let mut enrollment = Enrollment::new();

    // The operator starts a machine, and gives it this token.
    let token = enrollment.invite("spiffe://bank.test/checkout", Duration::from_secs(600), now)?;
    // The machine makes a key, and sends the request with the token.
    let (_key, request) = new_request()?;
    // The issuer knows whose token it is. The request only brings the key.
    let id = enrollment.redeem(token.expose(), now)?;
    let proved = ProvedKey::of_request(&request)?;
    let entitled = Entitlement { id, dns_names: Vec::new(), calls: true };
    let issued = issuer.issue(&proved, &entitled, now)?;
    // Write it to a disk before you send the certificate.
    assert_eq!(issuer.state().issued.len(), 1);
    assert_eq!(issued.chain.len(), 2);
    Ok(())
}
