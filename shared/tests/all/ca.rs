//! The lab's certificates are what they say. Every verdict of a TLS client about them
//! stands in the lesson that shows it; here is what holds for all of them.

use std::collections::HashSet;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{ServerName, UnixTime};
use shared::{LabCa, crypto_provider};

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn verdict(
    ca: &LabCa,
    identity: &shared::Identity,
    name: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let verifier =
        WebPkiServerVerifier::builder_with_provider(ca.roots(), crypto_provider()).build()?;
    let chain = identity.chain();
    let name = ServerName::try_from(name.to_owned())?;
    verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], UnixTime::now())?;
    Ok(())
}

#[test]
fn a_good_leaf_is_accepted_for_each_of_its_names_and_no_other() -> TestResult {
    let ca = LabCa::new("Lab")?;
    let identity = ca.leaf("bank.test").also_for("127.0.0.1").issue()?;
    verdict(&ca, &identity, "bank.test")?;
    verdict(&ca, &identity, "127.0.0.1")?;
    assert!(verdict(&ca, &identity, "shop.test").is_err());
    Ok(())
}

#[test]
fn a_ca_of_the_same_name_is_another_ca() -> TestResult {
    let (ours, theirs) = (LabCa::new("Lab")?, LabCa::new("Lab")?);
    let identity = theirs.leaf("bank.test").issue()?;
    assert!(verdict(&ours, &identity, "bank.test").is_err());
    verdict(&theirs, &identity, "bank.test")
}

#[test]
fn serial_numbers_are_positive_distinct_and_at_most_20_bytes() -> TestResult {
    let ca = LabCa::new("Lab")?;
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let identity = ca.leaf("bank.test").issue()?;
        let serial = identity.serial().to_vec();
        assert!(serial.len() <= 20 && serial[0] & 0x80 == 0 && serial[0] != 0, "{serial:x?}");
        assert!(seen.insert(serial), "a serial number twice");
    }
    Ok(())
}

#[test]
fn a_name_that_is_not_ascii_is_refused() -> TestResult {
    assert!(LabCa::new("Lab")?.leaf("bänk.test").issue().is_err());
    Ok(())
}

#[test]
fn debug_output_holds_no_key() -> TestResult {
    let identity = LabCa::new("Lab")?.leaf("bank.test").issue()?;
    assert_eq!(format!("{identity:?}"), "Identity { certificates: 2, .. }");
    Ok(())
}
