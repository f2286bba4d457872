//! The answer that most people find first checks the token and the request, and then issues what
//! was asked for, because the requester has shown a good token. It even caps the life, to thirty
//! days. But it uses the desk's name only if the request has none.

use exercises_6::issuing::{Certificate, Desk, Request};

pub fn decide(request: &Request, token: &str, desk: &mut Desk) -> Option<Certificate> {
    let name = desk.redeem(token)?;
    if !request.is_signed_by_its_key {
        return None;
    }
    let names = if request.names.is_empty() { vec![name] } else { request.names.clone() };
    Some(Certificate { names, is_ca: request.is_ca, days: request.days.min(30) })
}
