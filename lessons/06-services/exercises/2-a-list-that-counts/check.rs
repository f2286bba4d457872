//! A ledger that reloads the learner's configuration, a thief who has a session and an open
//! connection, and honest clients.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use careful_services::credentials::{Credentials, Trust, server_config};
use rustls::pki_types::{CertificateRevocationListDer, ServerName};
use rustls::{RootCertStore, ServerConfig};
use services::lab::pki::{credentials, trust, trust_all, trust_with_lists};
use services::lab::{CHECKOUT, LEDGER, LEDGER_NAME, PHOTOS};
use shared::{Identity, LabCa, LoopbackServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
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

/// What the learner writes.
pub trait Reload: Sized + Send + 'static {
    /// With the service's own credentials, and whom it trusts at first.
    fn new(own: Credentials, clients: Trust) -> Result<Self, String>;
    /// For the next handshake.
    fn config(&self) -> Arc<ServerConfig>;
    /// Whether a request counts on a connection that began with this certificate.
    fn admits(&self, issuer: &[u8], serial: &[u8]) -> bool;
    /// From now on these CAs and these lists; after an error, those before.
    fn reload(&mut self, clients: Trust) -> Result<(), String>;
}

/// A configuration that checks clients by these CAs and lists.
pub fn config(own: &Credentials, clients: &Trust) -> Result<ServerConfig, String> {
    Ok((*server_config(own, clients, &[b"ledger/1"]).map_err(text)?).clone())
}

/// A ledger on the learner's gate: it answers each byte with another one, or closes.
struct Ledger<G> {
    gate: Arc<Mutex<G>>,
    server: LoopbackServer,
}

fn lock<G>(gate: &Mutex<G>) -> MutexGuard<'_, G> {
    gate.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<G: Reload> Ledger<G> {
    async fn start(ca: &LabCa) -> Result<Self, String> {
        let own = ca.leaf(LEDGER).also_for(LEDGER_NAME).issue().map_err(text)?;
        let clients = trust_with_lists(ca, &[]).map_err(text)?;
        let gate = Arc::new(Mutex::new(G::new(credentials(&own), clients)?));
        let serving = gate.clone();
        let serve = move |tcp| {
            let gate = serving.clone();
            async move {
                let config = lock(&gate).config();
                let Ok(mut stream) = TlsAcceptor::from(config).accept(tcp).await else { return };
                let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let Some((issuer, serial)) = chain.first().and_then(|leaf| numbers(leaf)) else {
                    return;
                };
                let mut request = [0];
                while stream.read_exact(&mut request).await.is_ok() {
                    let answer = if lock(&gate).admits(&issuer, &serial) { b"Y" } else { b"N" };
                    if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
            }
        };
        Ok(Self { gate, server: LoopbackServer::start(serve).await.map_err(text)? })
    }

    fn reload(&self, clients: Trust) -> Result<(), String> {
        lock(&self.gate).reload(clients)
    }

    async fn connect(&self, client: &Client) -> Result<Connection, String> {
        let tcp = TcpStream::connect(self.server.address()).await.map_err(text)?;
        let name = ServerName::try_from(LEDGER_NAME).map_err(text)?;
        let stream = TlsConnector::from(client.0.clone()).connect(name, tcp).await.map_err(text)?;
        Ok(Connection(stream))
    }
}

fn numbers(leaf: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).ok()?;
    Some((parsed.issuer().as_raw().to_vec(), parsed.raw_serial().to_vec()))
}

/// Keeps its sessions.
struct Client(Arc<rustls::ClientConfig>);

impl Client {
    /// With this certificate, and a ledger of this CA.
    fn of(ca: &LabCa, identity: &Identity) -> Result<Self, String> {
        use careful_services::credentials::client_config;
        let config = client_config(&credentials(identity), &trust(ca), &[b"ledger/1"]);
        config.map(Self).map_err(text)
    }
}

struct Connection(TlsStream<TcpStream>);

impl Connection {
    /// Whether a request is answered.
    async fn asks(&mut self) -> bool {
        let asked = async {
            self.0.write_all(b"?").await?;
            self.0.flush().await?;
            let mut answer = [0];
            self.0.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(answer == *b"Y")
        };
        asked.await.unwrap_or(false)
    }

    fn is_resumed(&self) -> bool {
        self.0.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }
}

/// A CA, and the checkout's certificate.
fn stage() -> Result<(LabCa, Identity), String> {
    let ca = LabCa::new("Course Lab").map_err(text)?;
    let checkout = ca.leaf(CHECKOUT).for_clients().issue().map_err(text)?;
    Ok((ca, checkout))
}

fn said(result: Result<Option<String>, String>) -> Option<String> {
    result.unwrap_or_else(|error| Some(format!("It can't be tried: {error}.")))
}

/// The thief's three ways in, after the list was loaded.
async fn thief<G: Reload>(way: u8) -> Result<Option<String>, String> {
    let (ca, stolen) = stage()?;
    let ledger = Ledger::<G>::start(&ca).await?;
    let client = Client::of(&ca, &stolen)?;
    let mut open = ledger.connect(&client).await?;
    if !open.asks().await {
        return Err("the checkout isn't answered before".to_owned());
    }
    ledger.reload(trust_with_lists(&ca, &[&stolen]).map_err(text)?)?;
    let works = match way {
        0 => {
            let fresh = Client::of(&ca, &stolen)?;
            match ledger.connect(&fresh).await {
                Ok(mut connection) => connection.asks().await,
                Err(_refused) => false,
            }
        }
        1 => match ledger.connect(&client).await {
            Ok(mut connection) => {
                let resumed = connection.is_resumed();
                connection.asks().await && resumed
            }
            Err(_refused) => false,
        },
        _ => open.asks().await,
    };
    Ok(works.then(|| "The ledger charges a card for the thief.".to_owned()))
}

/// A list that can't be used.
async fn bad_list<G: Reload>() -> Result<Option<String>, String> {
    let (ca, stolen) = stage()?;
    let ledger = Ledger::<G>::start(&ca).await?;
    ledger.reload(trust_with_lists(&ca, &[&stolen]).map_err(text)?)?;
    let mut garbage = trust_with_lists(&ca, &[]).map_err(text)?;
    garbage.lists[1] = CertificateRevocationListDer::from(b"garbage".to_vec());
    let (issuer, serial) = numbers(&stolen.leaf_der()).ok_or("no serial number")?;
    let admitted = lock(&ledger.gate).admits(&issuer, &serial);
    if ledger.reload(garbage).is_ok() {
        return Ok(Some("It loads garbage, and says nothing.".to_owned()));
    }
    let honest = ca.leaf(PHOTOS).for_clients().issue().map_err(text)?;
    let photos = Client::of(&ca, &honest)?;
    let mut open = ledger.connect(&photos).await?;
    if !open.asks().await {
        return Ok(Some("After a list of garbage, nobody is answered any more.".to_owned()));
    }
    let forgotten = lock(&ledger.gate).admits(&issuer, &serial) != admitted
        || match ledger.connect(&Client::of(&ca, &stolen)?).await {
            Ok(mut connection) => connection.asks().await,
            Err(_refused) => false,
        };
    if forgotten {
        return Ok(Some("After a list of garbage, the list before is forgotten.".to_owned()));
    }
    // Its lists can be read, and there is no CA to trust.
    let mut unusable = trust_with_lists(&ca, &[&honest]).map_err(text)?;
    unusable.roots = Arc::new(RootCertStore::empty());
    if ledger.reload(unusable).is_ok() {
        return Ok(Some("It loads lists without any CA, and says nothing.".to_owned()));
    }
    Ok((!open.asks().await).then(|| {
        "After lists without any CA, which are an error, they are in use all the same.".to_owned()
    }))
}

/// A list that was made before the one that names the thief, and that is still good by its date.
async fn older_list<G: Reload>() -> Result<Option<String>, String> {
    let (ca, stolen) = stage()?;
    let ledger = Ledger::<G>::start(&ca).await?;
    let older = trust_with_lists(&ca, &[]).map_err(text)?;
    ledger.reload(trust_with_lists(&ca, &[&stolen]).map_err(text)?)?;
    let loaded = ledger.reload(older).is_ok();
    let served = match ledger.connect(&Client::of(&ca, &stolen)?).await {
        Ok(mut connection) => connection.asks().await,
        Err(_refused) => false,
    };
    Ok(match (loaded, served) {
        (_, true) => Some("The thief is answered again.".to_owned()),
        (true, false) => Some("The ledger loads it, and says nothing.".to_owned()),
        (false, false) => None,
    })
}

/// A list that ended six days ago.
async fn stale_list<G: Reload>() -> Result<Option<String>, String> {
    let (ca, checkout) = stage()?;
    let ledger = Ledger::<G>::start(&ca).await?;
    let mut stale = trust_with_lists(&ca, &[]).map_err(text)?;
    stale.lists[1] = ca.stale_crl(&[]).map_err(text)?.der().clone();
    let loaded = ledger.reload(stale).is_ok();
    let served = match ledger.connect(&Client::of(&ca, &checkout)?).await {
        Ok(mut connection) => connection.asks().await,
        Err(_refused) => false,
    };
    Ok(match (loaded, served) {
        (false, true) => None,
        (_, false) => Some("The ledger loads it, and answers nobody any more.".to_owned()),
        (true, true) => Some("The ledger loads it, and says nothing.".to_owned()),
    })
}

/// The trial.
pub async fn check<G: Reload>(trial: &mut Trial) {
    trial
        .honest("two services are answered, before and after a list that names neither", async {
            let (ca, checkout) = stage()?;
            let ledger = Ledger::<G>::start(&ca).await?;
            let photos = Client::of(&ca, &ca.leaf(PHOTOS).for_clients().issue().map_err(text)?)?;
            let checkout = Client::of(&ca, &checkout)?;
            let (mut one, mut two) =
                (ledger.connect(&checkout).await?, ledger.connect(&photos).await?);
            let before = one.asks().await && two.asks().await;
            let other = ca.leaf("spiffe://bank.test/other").for_clients().issue().map_err(text)?;
            ledger.reload(trust_with_lists(&ca, &[&other]).map_err(text)?)?;
            let after = one.asks().await && two.asks().await;
            let fresh = ledger.connect(&checkout).await?.asks().await;
            match before && after && fresh {
                true => Ok(()),
                false => {
                    Err(format!("before {before}, after {after}, on a new connection {fresh}"))
                }
            }
        })
        .await;
    trial
        .honest("the checkout, with a new key", async {
            let (ca, stolen) = stage()?;
            let ledger = Ledger::<G>::start(&ca).await?;
            ledger.reload(trust_with_lists(&ca, &[&stolen]).map_err(text)?)?;
            let renewed = ca.leaf(CHECKOUT).for_clients().issue().map_err(text)?;
            if !ledger.connect(&Client::of(&ca, &renewed)?).await?.asks().await {
                return Err("expected the new certificate to count".to_owned());
            }
            // Each CA counts for itself.
            let other = LabCa::new("Another Lab").map_err(text)?;
            let theirs = other.leaf(PHOTOS).for_clients().issue().map_err(text)?;
            let (issuer, _) = numbers(&theirs.leaf_der()).ok_or("no issuer")?;
            let (_, serial) = numbers(&stolen.leaf_der()).ok_or("no serial number")?;
            match lock(&ledger.gate).admits(&issuer, &serial) {
                true => Ok(()),
                false => Err("expected the same serial number of another CA to count".to_owned()),
            }
        })
        .await;
    trial
        .honest(
            "a service of a CA that comes with the second reload, and a mistake undone",
            async {
                let (ca, mistaken) = stage()?;
                let ledger = Ledger::<G>::start(&ca).await?;
                ledger.reload(trust_with_lists(&ca, &[&mistaken]).map_err(text)?)?;
                let other = LabCa::new("Another Lab").map_err(text)?;
                let both = trust_with_lists(&ca, &[]).map_err(text)?;
                let mut lists = trust_with_lists(&other, &[]).map_err(text)?.lists;
                lists.extend(both.lists);
                ledger.reload(Trust { roots: trust_all([&ca, &other]).roots, lists })?;
                let photos = other.leaf(PHOTOS).for_clients().issue().map_err(text)?;
                if !ledger.connect(&Client::of(&ca, &photos)?).await?.asks().await {
                    return Err("expected the second CA to count after the reload".to_owned());
                }
                match ledger.connect(&Client::of(&ca, &mistaken)?).await?.asks().await {
                    true => Ok(()),
                    false => Err("expected what isn't on the newest list to count".to_owned()),
                }
            },
        )
        .await;
    trial
        .honest("a service of another CA, after a reload with that CA and no lists", async {
            let (ca, checkout) = stage()?;
            let ledger = Ledger::<G>::start(&ca).await?;
            let other = LabCa::new("Another Lab").map_err(text)?;
            ledger.reload(trust(&other))?;
            let photos = other.leaf(PHOTOS).for_clients().issue().map_err(text)?;
            if !ledger.connect(&Client::of(&ca, &photos)?).await?.asks().await {
                return Err("expected the new CA to count".to_owned());
            }
            let before = match ledger.connect(&Client::of(&ca, &checkout)?).await {
                Ok(mut connection) => connection.asks().await,
                Err(_refused) => false,
            };
            match before {
                true => Err("expected the CA before to count no longer".to_owned()),
                false => Ok(()),
            }
        })
        .await;
    trial
        .attack("the thief connects again", "Who looks at the list?", async {
            said(thief::<G>(0).await)
        })
        .await;
    trial
        .attack("the thief resumes a session", "What does a client show when it resumes?", async {
            said(thief::<G>(1).await)
        })
        .await;
    trial
        .attack("the thief has a connection open", "When does its certificate count?", async {
            said(thief::<G>(2).await)
        })
        .await;
    trial
        .attack("a list that can't be read", "What is in use after an error?", async {
            said(bad_list::<G>().await)
        })
        .await;
    trial
        .attack("the list before, once more", "Who sends an older list?", async {
            said(older_list::<G>().await)
        })
        .await;
    trial
        .attack("a list of last week", "For how long does a list count?", async {
            said(stale_list::<G>().await)
        })
        .await;
}

#[cfg(test)]
mod proof {
    use careful_services::revoked::Revoked;

    use super::*;

    #[test]
    fn the_solution_fails_nothing() {
        assert_eq!(trial::failures(async |trial| check::<solution::Gate>(trial).await), [""; 0]);
    }

    #[test]
    fn the_naive_answer_forgets_who_is_connected() {
        let failed = trial::failures(async |trial| check::<naive::Gate>(trial).await);
        assert_eq!(
            failed,
            [
                "the thief has a connection open",
                "the list before, once more",
                "a list of last week"
            ]
        );
    }

    #[test]
    fn the_stub_keeps_the_sessions() {
        let failed = trial::failures(async |trial| check::<stub::Gate>(trial).await);
        assert_eq!(
            failed,
            [
                "the thief resumes a session",
                "the thief has a connection open",
                "the list before, once more",
                "a list of last week",
            ]
        );
    }

    /// The solution with another `reload`.
    macro_rules! gate {
        ($name:ident, $reload:expr) => {
            struct $name(Credentials, Arc<ServerConfig>, Revoked);
            impl Reload for $name {
                fn new(own: Credentials, clients: Trust) -> Result<Self, String> {
                    let current = Arc::new(config(&own, &clients)?);
                    Ok(Self(own, current, Revoked::new()))
                }
                fn config(&self) -> Arc<ServerConfig> {
                    self.1.clone()
                }
                fn admits(&self, issuer: &[u8], serial: &[u8]) -> bool {
                    !self.2.contains(issuer, serial)
                }
                fn reload(&mut self, clients: Trust) -> Result<(), String> {
                    let reload: fn(&mut Self, Trust) -> Result<(), String> = $reload;
                    reload(self, clients)
                }
            }
        };
    }

    /// Refuses a serial number, whosever it is.
    struct AnyIssuer(solution::Gate, std::cell::RefCell<Vec<Vec<u8>>>);

    impl Reload for AnyIssuer {
        fn new(own: Credentials, clients: Trust) -> Result<Self, String> {
            let issuers = issuers(&clients);
            Ok(Self(solution::Gate::new(own, clients)?, issuers.into()))
        }
        fn config(&self) -> Arc<ServerConfig> {
            self.0.config()
        }
        fn admits(&self, _issuer: &[u8], serial: &[u8]) -> bool {
            self.1.borrow().iter().all(|issuer| self.0.admits(issuer, serial))
        }
        fn reload(&mut self, clients: Trust) -> Result<(), String> {
            let issuers = issuers(&clients);
            self.0.reload(clients)?;
            self.1.replace(issuers);
            Ok(())
        }
    }

    fn issuers(clients: &Trust) -> Vec<Vec<u8>> {
        let issuer = |list: &CertificateRevocationListDer<'_>| {
            let (_, list) = x509_parser::parse_x509_crl(list).ok()?;
            Some(list.issuer().as_raw().to_vec())
        };
        clients.lists.iter().filter_map(issuer).collect()
    }

    #[test]
    fn a_serial_number_without_its_issuer_is_noticed() {
        let failed = trial::failures(async |trial| check::<AnyIssuer>(trial).await);
        assert_eq!(failed, ["the checkout, with a new key"]);
    }

    #[test]
    fn a_reload_of_one_half_in_the_wrong_order_or_only_once_is_noticed() {
        gate!(OnlyRevoked, |gate, clients| {
            config(&gate.0, &clients)?;
            gate.2.replace(&clients.lists).map_err(text)
        });
        // The first list is the root's, on which no service is.
        gate!(OnlyFirst, |gate, clients| {
            gate.1 = Arc::new(config(&gate.0, &clients)?);
            gate.2.replace(clients.lists.first()).map_err(text)
        });
        let failed = trial::failures(async |trial| check::<OnlyFirst>(trial).await);
        assert_eq!(
            failed,
            [
                "the thief has a connection open",
                "the list before, once more",
                "a list of last week"
            ]
        );
        gate!(RevokedFirst, |gate, clients| {
            gate.2.replace(&clients.lists).map_err(text)?;
            gate.1 = Arc::new(config(&gate.0, &clients)?);
            Ok(())
        });
        let failed = trial::failures(async |trial| check::<OnlyRevoked>(trial).await);
        assert_eq!(
            failed,
            [
                "a service of a CA that comes with the second reload, and a mistake undone",
                "a service of another CA, after a reload with that CA and no lists"
            ]
        );
        let failed = trial::failures(async |trial| check::<RevokedFirst>(trial).await);
        assert_eq!(failed, ["a list that can't be read"]);
        gate!(EachForgetsTheOneBefore, |gate, clients| {
            let (current, revoked) = (config(&gate.0, &clients)?, Revoked::new());
            revoked.replace(&clients.lists).map_err(text)?;
            (gate.1, gate.2) = (Arc::new(current), revoked);
            Ok(())
        });
        let failed = trial::failures(async |trial| check::<EachForgetsTheOneBefore>(trial).await);
        assert_eq!(failed, ["the list before, once more"]);
        gate!(OnlyWithLists, |gate, clients| {
            if clients.lists.is_empty() {
                return Ok(());
            }
            let current = config(&gate.0, &clients)?;
            gate.2.replace(&clients.lists).map_err(text)?;
            gate.1 = Arc::new(current);
            Ok(())
        });
        let failed = trial::failures(async |trial| check::<OnlyWithLists>(trial).await);
        assert_eq!(failed, ["a service of another CA, after a reload with that CA and no lists"]);
    }
}
