//! Requests that ask for more, tokens that come twice, and a ledger that believes what the
//! learner issues.

use std::collections::BTreeMap;

use careful_issuer::request::ProvedKey;
use careful_services::credentials::Credentials;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::RootCertStore;
use rustls::pki_types::PrivatePkcs8KeyDer;
use services::lab::client::{ask, with};
use services::lab::pki::{credentials, names, trust};
use services::lab::service::{Ledger, config};
use services::lab::{CHECKOUT, LEDGER, LEDGER_NAME, PHOTOS};
use shared::LabCa;
use trial::Trial;

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

/// What a certificate request says, and what it proves.
#[derive(Clone, Debug)]
pub struct Request {
    /// The names that its sender wants.
    pub names: Vec<String>,
    /// Whether it wants to be a CA.
    pub is_ca: bool,
    /// For how many days.
    pub days: u32,
    /// Whether its sender has the private key of the public key in it.
    pub is_signed_by_its_key: bool,
    /// Whether that key is of a kind that the issuer accepts.
    pub key_is_strong: bool,
}

/// What is issued.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Its names.
    pub names: Vec<String>,
    /// Whether it is a CA's.
    pub is_ca: bool,
    /// For how many days.
    pub days: u32,
}

/// Knows for whom each token was made.
#[derive(Default)]
pub struct Desk {
    tokens: BTreeMap<String, String>,
}

impl Desk {
    /// The service that the token was made for. It is used up.
    pub fn redeem(&mut self, token: &str) -> Option<String> {
        self.tokens.remove(token)
    }

    fn invite(&mut self, service: &str) -> String {
        let token = format!("token-{}-{}", self.tokens.len(), service.len());
        self.tokens.insert(token.clone(), service.to_owned());
        token
    }
}

/// What the learner writes.
pub type Decide = fn(&Request, &str, &mut Desk) -> Option<Certificate>;

/// The lab's CA, and a ledger that trusts it.
struct Stage {
    root: CertifiedIssuer<'static, KeyPair>,
    ledger: Ledger,
    servers: LabCa,
}

impl Stage {
    async fn new() -> Result<Self, String> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Lab for requests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().map_err(text)?;
        let root = CertifiedIssuer::self_signed(params, key).map_err(text)?;
        let servers = LabCa::new("Course Lab").map_err(text)?;
        let own = servers.leaf(LEDGER).also_for(LEDGER_NAME).issue().map_err(text)?;
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).map_err(text)?;
        let clients =
            careful_services::credentials::Trust { roots: roots.into(), lists: Vec::new() };
        let config = config(&credentials(&own), &clients).map_err(text)?;
        Ok(Self { root, ledger: Ledger::start(config).await.map_err(text)?, servers })
    }

    /// A real certificate of what the learner decided.
    fn issued(&self, decided: &Certificate, key: &KeyPair) -> Result<rcgen::Certificate, String> {
        let mut params = CertificateParams::default();
        for name in &decided.names {
            params.subject_alt_names.push(match name.contains("://") {
                true => SanType::URI(name.as_str().try_into().map_err(text)?),
                false => SanType::DnsName(name.as_str().try_into().map_err(text)?),
            });
        }
        if decided.is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = time::OffsetDateTime::now_utc() - time::Duration::minutes(1);
        params.not_after = params.not_before + time::Duration::days(i64::from(decided.days));
        params.signed_by(key, &self.root).map_err(text)
    }

    /// What the ledger answers somebody with this certificate.
    async fn asks(
        &self,
        certificate: &rcgen::Certificate,
        key: &KeyPair,
    ) -> Result<String, String> {
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let own = Credentials { chain: vec![certificate.der().clone()], key };
        let client = with(&own, &trust(&self.servers)).map_err(text)?;
        ask(&client, self.ledger.address(), "/charge").await.map_err(|error| format!("{error:#}"))
    }
}

/// A real request for these names, read.
fn request(wished: &[&str], is_ca: bool) -> Result<(Request, KeyPair), String> {
    let mut params = CertificateParams::default();
    for name in wished {
        params.subject_alt_names.push(match name.contains("://") {
            true => SanType::URI((*name).try_into().map_err(text)?),
            false => SanType::DnsName((*name).try_into().map_err(text)?),
        });
    }
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().map_err(text)?;
    let made = params.serialize_request(&key).map_err(text)?;
    let request = Request {
        names: wished.iter().map(|name| (*name).to_owned()).collect(),
        is_ca,
        days: 3650,
        is_signed_by_its_key: ProvedKey::of_request(made.der()).is_ok(),
        key_is_strong: true,
    };
    Ok((request, key))
}

fn said(result: Result<Option<String>, String>) -> Option<String> {
    result.unwrap_or_else(|error| Some(format!("It can't be tried: {error}.")))
}

/// The photo service has a token of its own, and asks for more.
async fn wishes(decide: Decide, wished: &[&str]) -> Result<Option<String>, String> {
    let stage = Stage::new().await?;
    let mut desk = Desk::default();
    let token = desk.invite(PHOTOS);
    let (request, key) = request(wished, false)?;
    // A refusal gives nothing away. Whether it's right, an honest machine says.
    let Some(decided) = decide(&request, &token, &mut desk) else { return Ok(None) };
    let certificate = stage.issued(&decided, &key)?;
    if let Ok(answer) = stage.asks(&certificate, &key).await {
        return Ok(Some(format!("The ledger says to the photo service: {answer}.")));
    }
    let has = names(certificate.der());
    if has != [PHOTOS] {
        return Ok(Some(format!("The photo service has a certificate for {has:?}.")));
    }
    Ok(None)
}

/// The trial.
pub async fn check(trial: &mut Trial, decide: Decide) {
    trial
        .honest("the checkout's new machine gets its certificate, and charges a card", async move {
            let stage = Stage::new().await?;
            let mut desk = Desk::default();
            let token = desk.invite(CHECKOUT);
            let (request, key) = request(&[CHECKOUT], false)?;
            let decided = decide(&request, &token, &mut desk).ok_or("no certificate")?;
            let answer = stage.asks(&stage.issued(&decided, &key)?, &key).await?;
            match answer.contains(CHECKOUT) {
                true => Ok(()),
                false => Err(format!("the ledger says {answer}")),
            }
        })
        .await;
    trial
        .honest("a request without any names, which is as good", async move {
            let mut desk = Desk::default();
            let token = desk.invite(PHOTOS);
            let (request, _key) = request(&[], false)?;
            let decided = decide(&request, &token, &mut desk).ok_or("no certificate")?;
            match decided.names == [PHOTOS] {
                true => Ok(()),
                false => Err(format!("expected {PHOTOS:?}, got {:?}", decided.names)),
            }
        })
        .await;
    trial
        .honest("a machine that asks for too much, and gets what is due to it", async move {
            let asked: [(&[&str], bool, u32); 3] = [
                (&[CHECKOUT], false, 3650),
                (&[PHOTOS, "a.test"], true, 3650),
                (&[PHOTOS], false, u32::MAX),
            ];
            for (names, is_ca, days) in asked {
                let mut desk = Desk::default();
                let token = desk.invite(PHOTOS);
                let (request, _key) = request(names, is_ca)?;
                match decide(&Request { days, ..request }, &token, &mut desk) {
                    Some(_decided) => {}
                    None => return Err("no certificate, although its token is good".to_owned()),
                }
            }
            Ok(())
        })
        .await;
    trial
        .attack("a request for another's name", "Whose wish is the name?", async move {
            said(wishes(decide, &[CHECKOUT]).await)
        })
        .await;
    trial
        .attack("a request for its own name and more", "Whose wish is the name?", async move {
            let below = format!("{PHOTOS}/admin");
            let upper = PHOTOS.replace("photos", "Photos");
            for more in [CHECKOUT, "ledger.bank.test", &below, &upper, PHOTOS] {
                let said = said(wishes(decide, &[PHOTOS, more]).await);
                if said.is_some() {
                    return said;
                }
            }
            said(wishes(decide, &[&upper]).await).or(said(wishes(decide, &[&below]).await))
        })
        .await;
    trial
        .attack("a request to be a CA", "What could its sender issue then?", async move {
            let mut desk = Desk::default();
            let token = desk.invite(PHOTOS);
            let decided = match request(&[PHOTOS], true) {
                Ok((request, _key)) => decide(&request, &token, &mut desk)?,
                Err(error) => return Some(error),
            };
            decided.is_ca.then(|| "The photo service is a CA, and issues to everybody.".to_owned())
        })
        .await;
    trial
        .attack("a request for ten years", "For how long is a stolen key useful?", async move {
            let mut desk = Desk::default();
            let token = desk.invite(PHOTOS);
            let decided = match request(&[PHOTOS], false) {
                Ok((request, _key)) => decide(&request, &token, &mut desk)?,
                Err(error) => return Some(error),
            };
            (decided.days > 7).then(|| format!("It gets a certificate for {} days.", decided.days))
        })
        .await;
    trial
        .attack("a request for no day at all", "Whose wish is the end?", async move {
            let mut desk = Desk::default();
            let token = desk.invite(PHOTOS);
            let decided = match request(&[PHOTOS], false) {
                Ok((request, _key)) => decide(&Request { days: 0, ..request }, &token, &mut desk)?,
                Err(error) => return Some(error),
            };
            (decided.days == 0).then(|| {
                "It gets a certificate for 0 days, its token is used up, and the photos stay away."
                    .to_owned()
            })
        })
        .await;
    trial
        .attack(
            "a token that comes twice, or that nobody made",
            "For how many machines is a token?",
            async move {
                let mut desk = Desk::default();
                let token = desk.invite(CHECKOUT);
                let (request, _key) = match request(&[CHECKOUT], false) {
                    Ok(request) => request,
                    Err(error) => return Some(error),
                };
                let _first = decide(&request, &token, &mut desk);
                let again = decide(&request, &token, &mut desk);
                let made_up = decide(&request, "token-7", &mut desk);
                if again.is_some() || made_up.is_some() {
                    return Some("Mallory gets a certificate for the checkout.".to_owned());
                }
                let token = desk.invite(CHECKOUT);
                let bad = Request { is_signed_by_its_key: false, ..request.clone() };
                let _refused = decide(&bad, &token, &mut desk);
                decide(&request, &token, &mut desk)?;
                Some("The token of a refused request works a second time.".to_owned())
            },
        )
        .await;
    trial
        .attack(
            "a request whose sender doesn't have the key, or has a weak one",
            "What does a request prove?",
            async move {
                let (request, _key) = match request(&[CHECKOUT], false) {
                    Ok(request) => request,
                    Err(error) => return Some(error),
                };
                let not_signed = Request { is_signed_by_its_key: false, ..request.clone() };
                let weak = Request { key_is_strong: false, ..request };
                [("without the key", not_signed), ("with a weak key", weak)].into_iter().find_map(
                    |(what, request)| {
                        let mut desk = Desk::default();
                        let token = desk.invite(CHECKOUT);
                        decide(&request, &token, &mut desk)?;
                        Some(format!("A sender {what} gets a certificate."))
                    },
                )
            },
        )
        .await;
}

#[cfg(test)]
mod proof {
    use super::*;

    #[test]
    fn the_solution_fails_nothing() {
        assert_eq!(trial::failures(async |trial| check(trial, solution::decide).await), [""; 0]);
    }

    #[test]
    fn the_naive_answer_issues_what_was_asked_for() {
        let failed = trial::failures(async |trial| check(trial, naive::decide).await);
        assert_eq!(
            failed,
            [
                "a request for another's name",
                "a request for its own name and more",
                "a request to be a CA",
                "a request for ten years",
                "a request for no day at all",
                "a request whose sender doesn't have the key, or has a weak one",
            ]
        );
    }

    #[test]
    fn a_careful_look_at_wishes_is_noticed() {
        // Refuses what is none of the sender's business, in place of ignoring it.
        fn refuses(request: &Request, token: &str, desk: &mut Desk) -> Option<Certificate> {
            let name = desk.redeem(token)?;
            let fits = request.names.iter().all(|wished| *wished == name) && !request.is_ca;
            let good = request.is_signed_by_its_key && request.key_is_strong;
            (fits && good).then(|| Certificate { names: vec![name], is_ca: false, days: 7 })
        }
        let failed = trial::failures(async |trial| check(trial, refuses).await);
        let due = "a machine that asks for too much, and gets what is due to it";
        assert_eq!(failed, [due]);
        // Reads the days after all.
        fn days(request: &Request, token: &str, desk: &mut Desk, days: u32) -> Option<Certificate> {
            let names = vec![desk.redeem(token)?];
            let good = request.is_signed_by_its_key && request.key_is_strong;
            good.then_some(Certificate { names, is_ca: false, days })
        }
        let at_most: Decide =
            |request, token, desk| days(request, token, desk, request.days.min(7));
        let ten_years: Decide =
            |request, token, desk| days(request, token, desk, 7).filter(|_| request.days <= 3650);
        let expected = [(at_most, "a request for no day at all"), (ten_years, due)];
        for (wrong, expected) in expected {
            assert_eq!(trial::failures(async |trial| check(trial, wrong).await), [expected]);
        }
        // Adds the wishes that look harmless.
        fn adds(request: &Request, token: &str, desk: &mut Desk) -> Option<Certificate> {
            let name = desk.redeem(token)?;
            let harmless = |wished: &&String| {
                let below = wished.strip_prefix(&name).is_some_and(|rest| rest.starts_with('/'));
                below || !wished.starts_with("spiffe://bank.test/")
            };
            let mut names = vec![name.clone()];
            names.extend(request.names.iter().filter(harmless).cloned());
            let good = request.is_signed_by_its_key && request.key_is_strong;
            good.then_some(Certificate { names, is_ca: false, days: 7 })
        }
        let failed = trial::failures(async |trial| check(trial, adds).await);
        assert_eq!(failed, ["a request for its own name and more"]);
        // Looks at the request before the token.
        fn later(request: &Request, token: &str, desk: &mut Desk) -> Option<Certificate> {
            if !request.is_signed_by_its_key || !request.key_is_strong {
                return None;
            }
            Some(Certificate { names: vec![desk.redeem(token)?], is_ca: false, days: 7 })
        }
        let failed = trial::failures(async |trial| check(trial, later).await);
        assert_eq!(failed, ["a token that comes twice, or that nobody made"]);
    }

    #[test]
    fn the_stub_is_unfinished() {
        assert!(trial::is_unfinished(async |trial| check(trial, stub::decide).await));
    }
}
