//! A bank that redirects, and hosts, ports and a plain wire to which a redirect may lead.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use https::lab::server::{Handler, HttpsServer, TLS_1_2_AND_1_3, server_tls};
use hyper::body::Bytes;
use hyper::{Request, Response};
use peers::Peer;
use reqwest::redirect::Policy;
use shared::{Identity, LabCa, LoopbackServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trial::Trial;

#[cfg(test)]
#[path = "naive.rs"]
mod naive;
#[cfg(test)]
#[path = "solution.rs"]
mod solution;
#[cfg(test)]
#[path = "stub.rs"]
mod stub;

/// What the learner writes.
pub type Policies = fn() -> Policy;

const KEY: &str = "key-of-alice-41c0";
/// All names of the trial lead to this machine, and one certificate is for all of them.
const NAMES: [&str; 5] =
    ["bank.test", "evilbank.test", "www.bank.test", "bank.test.evil.test", "evil.test"];

fn ca() -> &'static LabCa {
    static CA: OnceLock<LabCa> = OnceLock::new();
    CA.get_or_init(|| LabCa::new("Course Lab").expect("a CA"))
}

fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let leaf = ca().leaf(NAMES[0]);
        let leaf = NAMES[1..].iter().fold(leaf, |leaf, name| leaf.also_for(name));
        leaf.issue().expect("a certificate")
    })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// An error and its causes: the learner's own reason is one of them.
fn with_causes(error: reqwest::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    causes.fold(text(&error), |said, cause| format!("{said}: {cause}"))
}

/// How often a server was asked, and whether the key came along.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<bool>>>);

impl Log {
    fn note(&self, with_key: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(with_key);
    }

    fn requests(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn has_the_key(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&true)
    }
}

/// Answers `/hops/N` with N redirects, `/to/…` with one that leads there, and all else with "welcome".
fn handler(log: Log, elsewhere: String) -> Handler {
    Arc::new(move |request: Request<Bytes>| {
        log.note(request.headers().get("x-api-key").is_some_and(|key| key == KEY));
        let path = request.uri().path();
        let next = match path.strip_prefix("/hops/").and_then(|hops| hops.parse::<u32>().ok()) {
            Some(0) => None,
            Some(hops) => Some(format!("/hops/{}", hops - 1)),
            None if path == "/away" => Some(elsewhere.clone()),
            // A loop has an end here, or nobody could count.
            None if path == "/loop" && log.requests() < 30 => Some("/loop".to_owned()),
            None => None,
        };
        let mut response = Response::new(Full::new(Bytes::from_static(b"welcome")));
        if let Some(next) = next.and_then(|next| next.parse().ok()) {
            *response.status_mut() = hyper::StatusCode::FOUND;
            response.headers_mut().insert(hyper::header::LOCATION, next);
        }
        response
    })
}

async fn start(log: &Log, elsewhere: &str) -> Result<HttpsServer, String> {
    let tls = server_tls(identity().chain(), identity().key(), TLS_1_2_AND_1_3).map_err(text)?;
    HttpsServer::start(tls, handler(log.clone(), elsewhere.to_owned())).await.map_err(text)
}

/// A client with the learner's policy asks; what it is answered.
async fn get(policies: Policies, url: &str) -> Result<String, String> {
    let root = reqwest::Certificate::from_der(&ca().root_der()).map_err(text)?;
    let builder = reqwest::Client::builder().tls_certs_only([root]).no_proxy().redirect(policies());
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let builder = NAMES.iter().fold(builder, |builder, name| builder.resolve(name, here));
    let client = builder.timeout(Duration::from_secs(5)).build().map_err(text)?;
    let answer = client.get(url).header("x-api-key", KEY).send().await.map_err(with_causes)?;
    if !answer.status().is_success() {
        return Err(format!("the answer is {}", answer.status()));
    }
    answer.text().await.map_err(text)
}

async fn welcome(policies: Policies, url: &str) -> Result<(), String> {
    match get(policies, url).await?.as_str() {
        "welcome" => Ok(()),
        other => Err(format!("expected \"welcome\", got \"{other}\"")),
    }
}

/// The bank redirects to this address of another server; the loot if the key came along.
async fn lured(policies: Policies, to: impl Fn(u16) -> String) -> Option<String> {
    let work = async {
        let log = Log::default();
        let other = start(&log, "/").await?;
        let address = to(other.address().port());
        let bank = start(&Log::default(), &address).await?;
        // What the client says of it is its own affair.
        let _ = get(policies, &format!("https://bank.test:{}/away", bank.address().port())).await;
        Ok::<_, String>(log.has_the_key().then(|| format!("{KEY} came to {address}.")))
    };
    work.await.unwrap_or_else(|error| Some(format!("It can't be tried: {error}")))
}

/// A name, a question, and where the redirect leads: on this port.
type Lure = (&'static str, &'static str, fn(u16) -> String);

/// The trial.
pub async fn check(trial: &mut Trial, policies: Policies) {
    trial
        .honest("an address that has not moved", async move {
            let bank = start(&Log::default(), "/").await?;
            welcome(policies, &format!("https://bank.test:{}/accounts", bank.address().port()))
                .await
        })
        .await;
    trial
        .honest("one, two and three redirects within the bank", async move {
            let bank = start(&Log::default(), "/").await?;
            for hops in 1..=3 {
                let url = format!("https://bank.test:{}/hops/{hops}", bank.address().port());
                welcome(policies, &url)
                    .await
                    .map_err(|error| format!("redirects: {hops}; {error}"))?;
            }
            Ok(())
        })
        .await;
    if let Some(openssl) = Peer::openssl() {
        trial.honest("a redirect of OpenSSL's server", foreign(openssl, policies)).await;
    }
    let attacks: [Lure; 5] = [
        ("a redirect to evilbank.test", "Where does a domain begin?", |port| {
            format!("https://evilbank.test:{port}/")
        }),
        ("a redirect to bank.test.evil.test", "And where does it end?", |port| {
            format!("https://bank.test.evil.test:{port}/")
        }),
        ("a redirect to another host of the bank's domain", "Who runs www?", |port| {
            format!("https://www.bank.test:{port}/")
        }),
        ("a redirect to another port of the bank", "Which program listens there?", |port| {
            format!("https://bank.test:{port}/")
        }),
        ("a redirect to bank.test@evil.test", "Which part of an address is the host?", |port| {
            format!("https://bank.test@evil.test:{port}/")
        }),
    ];
    for (name, question, to) in attacks {
        trial.attack(name, question, lured(policies, to)).await;
    }
    trial
        .attack("a redirect to plain http", "Who can read along?", async move {
            plain(policies)
                .await
                .unwrap_or_else(|error| Some(format!("It can't be tried: {error}")))
        })
        .await;
    trial
        .attack("a redirect that leads to itself", "When is it enough?", async move {
            let log = Log::default();
            let bank = match start(&log, "/").await {
                Ok(bank) => bank,
                Err(error) => return Some(format!("It can't be tried: {error}")),
            };
            let _ =
                get(policies, &format!("https://bank.test:{}/loop", bank.address().port())).await;
            let requests = log.requests();
            (requests > 4)
                .then(|| format!("The bank was asked {requests} times; expected at most 4."))
        })
        .await;
}

/// The key on an open wire.
async fn plain(policies: Policies) -> Result<Option<String>, String> {
    let log = Log::default();
    let seen = log.clone();
    let open = LoopbackServer::start(move |mut stream| {
        let seen = seen.clone();
        async move {
            let mut request = [0; 2048];
            let length = stream.read(&mut request).await.unwrap_or_default();
            seen.note(String::from_utf8_lossy(&request[..length]).contains(KEY));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nwelcome").await;
        }
    });
    let open = open.await.map_err(text)?;
    let address = format!("http://bank.test:{}/", open.address().port());
    let bank = start(&Log::default(), &address).await?;
    let _ = get(policies, &format!("https://bank.test:{}/away", bank.address().port())).await;
    Ok(log.has_the_key().then(|| format!("{KEY} came to {address}, in the open.")))
}

/// A foreign server that redirects. With `-HTTP` its files are whole answers.
async fn foreign(openssl: Peer, policies: Policies) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(text)?;
    let file = |name: &str| folder.path().join(name);
    identity().write_to(folder.path()).map_err(text)?;
    std::fs::write(file("intermediate.pem"), ca().intermediate_pem()).map_err(text)?;
    let answer = |head: &str, body: &str| {
        format!(
            "HTTP/1.0 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let path = |name: &str| file(name).to_string_lossy().into_owned();
    std::fs::write(file("accounts"), answer("200 OK", "welcome")).map_err(text)?;
    std::fs::write(file("old"), answer("302 Found\r\nLocation: /accounts", "")).map_err(text)?;
    let (chain, key, above) = (path("chain.pem"), path("key.pem"), path("intermediate.pem"));
    let how = [
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-HTTP",
        "-cert",
        &chain,
        "-key",
        &key,
        "-cert_chain",
        &above,
    ];
    let serving = openssl.serve_in(folder.path(), how);
    welcome(policies, &format!("https://bank.test:{}/old", serving.port)).await
}

#[cfg(test)]
mod proof {
    use super::*;

    #[test]
    fn the_solution_fails_nothing() {
        assert_eq!(trial::failures(async |trial| check(trial, solution::policy).await), [""; 0]);
    }

    #[test]
    fn the_naive_answer_follows_whatever_ends_so() {
        let failed = trial::failures(async |trial| check(trial, naive::policy).await);
        assert_eq!(
            failed,
            [
                "a redirect to evilbank.test",
                "a redirect to another host of the bank's domain",
                "a redirect to another port of the bank",
                "a redirect to plain http",
                "a redirect that leads to itself",
            ]
        );
    }

    #[test]
    fn the_stub_is_unfinished() {
        assert!(trial::is_unfinished(async |trial| check(trial, stub::policy).await));
    }
}
