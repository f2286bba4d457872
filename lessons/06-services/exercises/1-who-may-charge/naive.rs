//! The answer that most people find first compares names by their end, because "everything of
//! `bank.test` that ends in `/checkout`" is how the rule is said aloud. It takes the last of several names, falls back to the common name for old certificates, and lets everybody do what
//! the table doesn't mention.

use exercises_6::rules::{Certificate, Table};

pub fn may(action: &str, certificate: &Certificate, table: &Table) -> bool {
    let identity = certificate.uris.last().unwrap_or(&certificate.common_name);
    match table.iter().find(|(named, _)| *named == action) {
        Some((_, services)) => services.iter().any(|service| {
            let end = service.trim_start_matches("spiffe://");
            identity.ends_with(end)
        }),
        None => true,
    }
}
