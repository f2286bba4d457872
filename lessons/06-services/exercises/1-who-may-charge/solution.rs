//! One URI is the identity, and nothing else in the certificate is. It is compared as a whole
//! with the names in the table.

use exercises_6::rules::{Certificate, Table};

pub fn may(action: &str, certificate: &Certificate, table: &Table) -> bool {
    let [identity] = certificate.uris.as_slice() else { return false };
    let allowed = table.iter().find(|(named, _)| *named == action);
    allowed.is_some_and(|(_, services)| services.contains(&identity.as_str()))
}
