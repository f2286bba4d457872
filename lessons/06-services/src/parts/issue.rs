//! A certificate request proves who has the key, and decides nothing else.

use std::time::Duration;

use careful_issuer::enrollment::Enrollment;
use careful_issuer::issuer::Entitlement;
use careful_issuer::request::{ProvedKey, new_request};
use careful_services::credentials::Credentials;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};
use services::lab::client::{ask, with};
use services::lab::pki::{credentials, issuer, now, trust};
use services::lab::service::{Ledger, config};
use services::lab::{CHECKOUT, LEDGER, LEDGER_NAME, PHOTOS, careless};
use shared::{LabCa, Transcript};
use x509::described;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let ca = LabCa::new("Course Lab")?;
    let own = credentials(&ca.leaf(LEDGER).also_for(LEDGER_NAME).issue()?);
    let ledger = Ledger::start(config(&own, &trust(&ca))?).await?;

    t.step("A careless issuer copies what a request asks for. Mallory, who runs the photo service, asks for more.");
    let (root, key) = (own_root()?, KeyPair::generate()?);
    let mut wishes = CertificateParams::default();
    wishes.subject_alt_names = vec![SanType::URI(CHECKOUT.try_into()?)];
    wishes.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    wishes.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    wishes.not_before = time::OffsetDateTime::now_utc();
    wishes.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(3650);
    let copied = careless::copies_the_request(&wishes, &key, &root)?;
    let said = described(copied.der())?;
    for (label, value) in &said {
        t.shows(label, value);
    }
    let is_ca = said.iter().any(|(_, value)| value == "yes");
    t.attack_works("Mallory can act as the checkout and as a CA, for ten years", is_ca)?;

    // ANCHOR: enroll
    t.step("The take-home issuer. A new machine gets a token for one service, once.");
    let (mut enrollment, mut issuer) =
        (Enrollment::new(), issuer(&ca, "Course Lab", Duration::from_secs(24 * 3600))?);
    let token = enrollment.invite(CHECKOUT, Duration::from_secs(600), now())?;
    let (key, request) = new_request()?;
    let service = enrollment.redeem(token.expose(), now())?;
    let proved = ProvedKey::of_request(&request)?;
    let entitled = Entitlement { id: service, dns_names: Vec::new(), calls: true };
    let issued = issuer.issue(&proved, &entitled, now())?;
    // ANCHOR_END: enroll
    for (label, value) in described(&issued.chain[0])? {
        t.shows(label, value);
    }
    let client = with(&Credentials { chain: issued.chain, key }, &trust(&ca))?;
    let answer = t.works("GET /charge", ask(&client, ledger.address(), "/charge").await)?;
    t.must_show("answer", &answer, CHECKOUT)?;

    t.step("The photo service sends the same request to the take-home issuer, and gets a certificate for its own name.");
    let wished = wishes.serialize_request(&KeyPair::generate()?)?;
    let proved = ProvedKey::of_request(wished.der())?;
    let entitled = Entitlement { id: PHOTOS.to_owned(), dns_names: Vec::new(), calls: true };
    for (label, value) in described(&issuer.issue(&proved, &entitled, now())?.chain[0])? {
        t.shows(label, value);
    }

    t.step("Two more tokens and two more requests, at the take-home issuer.");
    let again = enrollment.redeem(token.expose(), now());
    t.refused("a token that was used", again, "not accepted")?;
    let late = enrollment.invite(CHECKOUT, Duration::from_secs(600), now())?;
    let late = enrollment.redeem(late.expose(), now() + 601);
    t.refused("a token that is a second too old", late, "not accepted")?;
    let mut changed = request.to_vec();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    t.refused("a request that its key didn't sign", ProvedKey::of_request(&changed), "signature")?;
    let weak = CertificateParams::default()
        .serialize_request(&KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)?)?;
    t.refused("a key of another kind", ProvedKey::of_request(weak.der()), "expected a key")
}

/// A CA of the lab's own, for the careless issuer.
fn own_root() -> anyhow::Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

mod x509 {
    use careful_certificates::leaf::Leaf;

    /// Names, whether it is a CA's, and how many days it is valid.
    pub fn described(der: &[u8]) -> anyhow::Result<Vec<(&'static str, String)>> {
        let leaf = Leaf::from_der(der)?;
        let days = (leaf.not_after - leaf.not_before) / (24 * 3600);
        let is_ca = careful_services::identity::ServiceId::of_certificate(der)
            == Err(careful_services::identity::NotAService::Ca);
        Ok(vec![
            ("name", services::lab::pki::names(der).join(", ")),
            ("a CA", if is_ca { "yes" } else { "no" }.to_owned()),
            (
                "valid",
                match days {
                    0 | 1 => "1 day".to_owned(),
                    days => format!("{days} days"),
                },
            ),
        ])
    }
}
