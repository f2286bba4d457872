//! Certificates of one CA: of the services that may, of those that may not, and of those that
//! only look right.

use services::lab::{CHECKOUT, PHOTOS};
use shared::LabCa;
use trial::Trial;
use x509_parser::extensions::GeneralName;

use crate::text;

#[cfg(test)]
#[path = "naive.rs"]
mod naive;
#[cfg(test)]
#[path = "solution.rs"]
mod solution;
#[cfg(test)]
#[path = "stub.rs"]
mod stub;

/// What a verified certificate says.
#[derive(Clone, Debug, Default)]
pub struct Certificate {
    /// The subject's common name.
    pub common_name: String,
    /// Every URI of the subject alternative name.
    pub uris: Vec<String>,
    /// Every DNS name of the subject alternative name.
    pub dns_names: Vec<String>,
}

/// An action, and the services that may do it.
pub type Table = [(&'static str, &'static [&'static str])];

/// What the learner writes.
pub type May = fn(&str, &Certificate, &Table) -> bool;

const TABLE: &Table = &[
    ("charge", &[CHECKOUT, "spiffe://bank.test/kiosk"]),
    ("show", &[CHECKOUT, PHOTOS]),
    ("audit", &[]),
];

/// A day on which others may do other things.
const ANOTHER_TABLE: &Table = &[("charge", &[PHOTOS]), ("refund", &[CHECKOUT])];

fn read(der: &[u8]) -> Result<Certificate, String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(der).map_err(text)?;
    let common_name = parsed.subject().iter_common_name().next();
    let common_name = common_name.and_then(|name| name.as_str().ok()).unwrap_or_default();
    let mut read = Certificate { common_name: common_name.to_owned(), ..Certificate::default() };
    let names = parsed.subject_alternative_name().map_err(text)?;
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::URI(uri) => read.uris.push((*uri).to_owned()),
            GeneralName::DNSName(name) => read.dns_names.push((*name).to_owned()),
            _ => {}
        }
    }
    Ok(read)
}

/// A certificate with these names, of the one CA.
fn issued(names: &[&str]) -> Result<Certificate, String> {
    let ca = LabCa::new("Course Lab").map_err(text)?;
    let (first, rest) = names.split_first().ok_or("no name")?;
    let leaf = rest.iter().fold(ca.leaf(first), |leaf, name| leaf.also_for(name)).for_clients();
    read(&leaf.issue().map_err(text)?.leaf_der())
}

fn decide(may: May, action: &str, names: &[&str]) -> Result<bool, String> {
    Ok(may(action, &issued(names)?, TABLE))
}

/// A certificate with these URIs and no other name, whatever they are.
fn with_uris(uris: &[&str]) -> Result<Certificate, String> {
    let uris = uris.iter().map(|uri| (*uri).to_owned()).collect();
    Ok(Certificate { uris, dns_names: Vec::new(), ..issued(&["photos.bank.test"])? })
}

fn may_do(may: May, action: &'static str, names: &[&str]) -> Result<(), String> {
    match decide(may, action, names)? {
        true => Ok(()),
        false => Err(format!("expected {} to be allowed to {action}", names[0])),
    }
}

/// The loot if one of these may do this.
fn does(may: May, action: &'static str, all: &[&[&str]]) -> Option<String> {
    all.iter().find_map(|names| match decide(may, action, names) {
        Ok(false) => None,
        Ok(true) => Some(format!("A service with the names {names:?} may {action}.")),
        Err(error) => Some(format!("It can't be tried: {error}.")),
    })
}

/// The trial.
pub async fn check(trial: &mut Trial, may: May) {
    trial
        .honest("the checkout and the kiosk charge", async move {
            may_do(may, "charge", &[CHECKOUT])?;
            may_do(may, "charge", &["spiffe://bank.test/kiosk"])
        })
        .await;
    trial
        .honest("the checkout and the photo service show", async move {
            may_do(may, "show", &[CHECKOUT])?;
            may_do(may, "show", &[PHOTOS])
        })
        .await;
    trial
        .honest("a checkout that is a server, too, with DNS names of its own", async move {
            may_do(may, "charge", &[CHECKOUT, "checkout.bank.test", "pay.bank.test"])
        })
        .await;
    trial
        .honest("another table, in which the photo service charges", async move {
            let photos = may("charge", &issued(&[PHOTOS])?, ANOTHER_TABLE);
            let checkout = may("refund", &issued(&[CHECKOUT])?, ANOTHER_TABLE);
            match photos && checkout {
                true => Ok(()),
                false => Err("expected what that table says, and not the one before".to_owned()),
            }
        })
        .await;
    trial
        .attack(
            "another service of the same CA",
            "What does a genuine certificate prove?",
            async move { does(may, "charge", &[&[PHOTOS], &["spiffe://bank.test/checkout-test"]]) },
        )
        .await;
    trial
        .attack(
            "names that end, begin or continue like the right one",
            "When are two names the same?",
            async move {
                does(
                    may,
                    "charge",
                    &[
                        &["spiffe://notbank.test/checkout"],
                        &["spiffe://evil.test/bank.test/checkout"],
                        &["spiffe://bank.test/checkout/debug"],
                        &["spiffe://bank.test/checkout/"],
                        &["spiffe://bank.test/"],
                        &["x://spiffe://bank.test/checkout"],
                        &["spiffe://bank.test/Checkout"],
                        &["SPIFFE://bank.test/checkout"],
                        &["spiffe://bank.test/checkout?"],
                        &["spiffe://bank.test/checkout%00"],
                        &["https://bank.test/checkout"],
                        &["spiffe://bank.test/%63heckout"],
                        &["spiffe://bank.test/x/../checkout"],
                        &["spiffe://bank.test/./checkout"],
                        &["spiffe://bank.test//checkout"],
                        &["spiffe://bank.test:443/checkout"],
                        &["spiffe://user@bank.test/checkout"],
                        &["spiffe://bank.test./checkout"],
                        &[" spiffe://bank.test/checkout"],
                        &["spiffe://bank.test/checkout "],
                        &["spiffe://bank.test/checkout\0"],
                        &["spiffe://bank.test/checkout\0.evil.test"],
                        &["spiffe://bank.test/checkout\t"],
                    ],
                )
            },
        )
        .await;
    trial
        .attack("several URIs in one certificate", "Which of them is its identity?", async move {
            let several: [&[&str]; 6] = [
                &[PHOTOS, CHECKOUT],
                &[CHECKOUT, PHOTOS],
                &[CHECKOUT, CHECKOUT],
                &["https://photos.bank.test/", CHECKOUT],
                &[CHECKOUT, "urn:photos"],
                &["spiffe://bank.test/", "checkout"],
            ];
            several.into_iter().find_map(|uris| match with_uris(uris) {
                Ok(several) if may("charge", &several, TABLE) => {
                    Some(format!("A service with the URIs {uris:?} may charge."))
                }
                Ok(_refused) => None,
                Err(error) => Some(error),
            })
        })
        .await;
    trial
        .attack("a name in another field", "Who decides what stands there?", async move {
            // The lab's common name is the first name.
            let mut named = match issued(&["checkout.bank.test"]) {
                Ok(named) => named,
                Err(error) => return Some(error),
            };
            for name in [CHECKOUT, "checkout", "bank.test/checkout"] {
                named.common_name = name.to_owned();
                if may("charge", &named, TABLE) {
                    return Some(format!("A service with the common name {name:?} may charge."));
                }
            }
            // A name of one kind in a field of another.
            named.dns_names = vec![CHECKOUT.to_owned()];
            if may("charge", &named, TABLE) {
                return Some(format!("A service with the DNS name {CHECKOUT:?} may charge."));
            }
            does(may, "charge", &[&["bank.test"], &["checkout.bank.test"]])
        })
        .await;
    trial
        .attack(
            "an action that the table doesn't have, or has for nobody",
            "Who may do what nobody thought of?",
            async move {
                ["refund", "", "Charge", "charge ", " charge", "charge-all", "char"]
                    .into_iter()
                    .find_map(|action| does(may, action, &[&[CHECKOUT]]))
                    .or_else(|| does(may, "audit", &[&[CHECKOUT], &[PHOTOS]]))
            },
        )
        .await;
}

#[cfg(test)]
mod proof {
    use super::*;

    #[test]
    fn the_solution_fails_nothing() {
        assert_eq!(trial::failures(async |trial| check(trial, solution::may).await), [""; 0]);
    }

    #[test]
    fn the_naive_answer_believes_the_end_of_a_name_and_any_field() {
        let failed = trial::failures(async |trial| check(trial, naive::may).await);
        assert_eq!(
            failed,
            [
                "names that end, begin or continue like the right one",
                "several URIs in one certificate",
                "a name in another field",
                "an action that the table doesn't have, or has for nobody",
            ]
        );
    }

    #[test]
    fn any_of_several_identities_and_any_case_are_noticed() {
        fn any(action: &str, certificate: &Certificate, table: &Table) -> bool {
            let allowed = table.iter().find(|(named, _)| *named == action);
            allowed.is_some_and(|(_, services)| {
                certificate.uris.iter().any(|uri| services.contains(&uri.as_str()))
            })
        }
        let failed = trial::failures(async |trial| check(trial, any).await);
        assert_eq!(failed, ["several URIs in one certificate"]);
        fn case(action: &str, certificate: &Certificate, table: &Table) -> bool {
            let [uri] = certificate.uris.as_slice() else { return false };
            let allowed = table.iter().find(|(named, _)| *named == action);
            allowed.is_some_and(|(_, all)| all.iter().any(|name| name.eq_ignore_ascii_case(uri)))
        }
        let failed = trial::failures(async |trial| check(trial, case).await);
        assert_eq!(failed, ["names that end, begin or continue like the right one"]);
    }

    fn found(action: &str, table: &Table, name: &str) -> bool {
        let allowed = table.iter().find(|(named, _)| *named == action);
        allowed.is_some_and(|(_, services)| services.contains(&name))
    }

    #[test]
    fn a_name_that_is_put_together_or_put_right_is_noticed() {
        fn joined(action: &str, certificate: &Certificate, table: &Table) -> bool {
            found(action, table, &certificate.uris.concat())
        }
        let failed = trial::failures(async |trial| check(trial, joined).await);
        assert_eq!(failed, ["several URIs in one certificate"]);
        fn first_spiffe(action: &str, certificate: &Certificate, table: &Table) -> bool {
            let mut ids = certificate.uris.iter().filter(|uri| uri.starts_with("spiffe://"));
            ids.next().is_some_and(|id| ids.next().is_none() && found(action, table, id))
        }
        let failed = trial::failures(async |trial| check(trial, first_spiffe).await);
        assert_eq!(failed, ["several URIs in one certificate"]);
        fn trimmed(action: &str, certificate: &Certificate, table: &Table) -> bool {
            let [uri] = certificate.uris.as_slice() else { return false };
            found(action, table, uri.trim())
        }
        fn decoded(action: &str, certificate: &Certificate, table: &Table) -> bool {
            let [uri] = certificate.uris.as_slice() else { return false };
            found(action, table, &uri.replace("%63", "c"))
        }
        fn normalized(action: &str, certificate: &Certificate, table: &Table) -> bool {
            let [uri] = certificate.uris.as_slice() else { return false };
            found(action, table, &uri.replace("/x/..", "").replace("/./", "/"))
        }
        fn ended(action: &str, certificate: &Certificate, table: &Table) -> bool {
            let [uri] = certificate.uris.as_slice() else { return false };
            found(action, table, uri.trim_end_matches('\0'))
        }
        for put_right in [trimmed as May, decoded, normalized, ended] {
            let failed = trial::failures(async |trial| check(trial, put_right).await);
            assert_eq!(failed, ["names that end, begin or continue like the right one"]);
        }
    }

    #[test]
    fn other_fields_other_actions_and_a_table_of_ones_own_are_noticed() {
        fn or_dns(action: &str, certificate: &Certificate, table: &Table) -> bool {
            match (certificate.uris.as_slice(), certificate.dns_names.as_slice()) {
                ([name], _) | ([], [name]) => found(action, table, name),
                _ => false,
            }
        }
        let failed = trial::failures(async |trial| check(trial, or_dns).await);
        assert_eq!(failed, ["a name in another field"]);
        fn begins(action: &str, certificate: &Certificate, table: &Table) -> bool {
            let [uri] = certificate.uris.as_slice() else { return false };
            let row = table.iter().find(|(named, _)| action.starts_with(*named));
            row.is_some_and(|(_, services)| services.contains(&uri.as_str()))
        }
        fn trimmed(action: &str, certificate: &Certificate, table: &Table) -> bool {
            let [uri] = certificate.uris.as_slice() else { return false };
            found(action.trim(), table, uri)
        }
        for lenient in [begins as May, trimmed] {
            let failed = trial::failures(async |trial| check(trial, lenient).await);
            assert_eq!(failed, ["an action that the table doesn't have, or has for nobody"]);
        }
        fn by_heart(action: &str, certificate: &Certificate, _table: &Table) -> bool {
            let [uri] = certificate.uris.as_slice() else { return false };
            found(action, TABLE, uri)
        }
        let failed = trial::failures(async |trial| check(trial, by_heart).await);
        assert_eq!(failed, ["another table, in which the photo service charges"]);
    }

    #[test]
    fn the_stub_is_unfinished() {
        assert!(trial::is_unfinished(async |trial| check(trial, stub::may).await));
    }
}
