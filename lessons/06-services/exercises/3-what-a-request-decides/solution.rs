//! The token says who is asking, once. The request proves the key. Everything else is the issuer's.

use exercises_6::issuing::{Certificate, Desk, Request};

pub fn decide(request: &Request, token: &str, desk: &mut Desk) -> Option<Certificate> {
    let name = desk.redeem(token)?;
    if !request.is_signed_by_its_key || !request.key_is_strong {
        return None;
    }
    Some(Certificate { names: vec![name], is_ca: false, days: 1 })
}
