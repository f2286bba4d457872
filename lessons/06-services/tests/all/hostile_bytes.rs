//! The parsers of what strangers send, with real inputs that were cut and changed.

use std::error::Error;

use careful_issuer::request::new_request;
use services::lab::pki::list;
use services::lab::{CHECKOUT, LEDGER_NAME};
use shared::LabCa;

#[path = "../../../../shared/fuzz/src/x509.rs"]
mod x509;

#[test]
fn no_cut_and_no_changed_byte_makes_a_parser_panic() -> Result<(), Box<dyn Error>> {
    let ca = LabCa::new("Course Lab")?;
    let leaf = ca.leaf(CHECKOUT).also_for(LEDGER_NAME).issue()?;
    let (_key, request) = new_request()?;
    let list = list(&ca, &[&leaf])?;
    for bytes in [leaf.leaf_der().to_vec(), request.to_vec(), list.to_vec()] {
        for at in 0..bytes.len() {
            x509::certificates(&bytes[..at]);
            for change in [0x01, 0x20, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                x509::certificates(&changed);
            }
        }
    }
    Ok(())
}
