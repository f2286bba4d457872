//! What stands in a certificate, read with the x509-parser crate.

use anyhow::Context;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A field of a certificate: its name, and its value in words; none if it is absent.
pub type Field = (&'static str, Option<String>);

/// The fields that a server's chain needs.
pub fn fields(der: &[u8]) -> anyhow::Result<Vec<Field>> {
    let (_rest, certificate) =
        X509Certificate::from_der(der).context("expected a certificate in DER")?;
    let mut fields: Vec<Field> = vec![
        ("subject", Some(certificate.subject().to_string())),
        ("issuer", Some(certificate.issuer().to_string())),
        ("validity", Some(validity(&certificate))),
    ];
    let find = |wanted: fn(&ParsedExtension<'_>) -> Option<String>| {
        certificate.extensions().iter().find_map(|extension| {
            let text = wanted(extension.parsed_extension())?;
            Some(if extension.critical { format!("{text} (critical)") } else { text })
        })
    };
    fields.push(("constraints", find(basic_constraints)));
    fields.push(("key usage", find(key_usage)));
    fields.push(("extended use", find(extended_key_usage)));
    fields.push(("SAN", find(names)));
    fields.push(("subject key", find(subject_key_id)));
    fields.push(("authority key", find(authority_key_id)));
    Ok(fields)
}

fn validity(certificate: &X509Certificate<'_>) -> String {
    let validity = certificate.validity();
    let days = (validity.not_after.timestamp() - validity.not_before.timestamp()) / 86_400;
    format!("{days} days")
}

fn basic_constraints(extension: &ParsedExtension<'_>) -> Option<String> {
    let ParsedExtension::BasicConstraints(constraints) = extension else { return None };
    Some(match (constraints.ca, constraints.path_len_constraint) {
        (true, Some(length)) => format!("CA, path length {length}"),
        (true, None) => "CA".to_owned(),
        (false, _) => "no CA".to_owned(),
    })
}

fn key_usage(extension: &ParsedExtension<'_>) -> Option<String> {
    let ParsedExtension::KeyUsage(usage) = extension else { return None };
    Some(usage.to_string())
}

fn extended_key_usage(extension: &ParsedExtension<'_>) -> Option<String> {
    let ParsedExtension::ExtendedKeyUsage(usage) = extension else { return None };
    let named = [(usage.server_auth, "serverAuth"), (usage.client_auth, "clientAuth")];
    let named: Vec<&str> = named.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    Some(named.join(", "))
}

fn names(extension: &ParsedExtension<'_>) -> Option<String> {
    let ParsedExtension::SubjectAlternativeName(san) = extension else { return None };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress([a, b, c, d]) => format!("{a}.{b}.{c}.{d}"),
        other => other.to_string(),
    };
    Some(san.general_names.iter().map(name).collect::<Vec<_>>().join(", "))
}

fn subject_key_id(extension: &ParsedExtension<'_>) -> Option<String> {
    let ParsedExtension::SubjectKeyIdentifier(id) = extension else { return None };
    Some(format!("{} bytes", id.0.len()))
}

fn authority_key_id(extension: &ParsedExtension<'_>) -> Option<String> {
    let ParsedExtension::AuthorityKeyIdentifier(id) = extension else { return None };
    Some(format!("{} bytes", id.key_identifier.as_ref()?.0.len()))
}
