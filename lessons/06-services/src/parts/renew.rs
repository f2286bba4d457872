//! Short lives, renewed at two thirds, while connections are open.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use careful_certificates::leaf::Leaf;
use careful_issuer::issuer::{Entitlement, Issuer};
use careful_issuer::request::{ProvedKey, new_request};
use careful_services::credentials::{Credentials, Trust};
use careful_services::reload::Reloading;
use careful_services::renew::{Clock, Facts, Obtain, Renewal, keep_valid, renew_at};
use services::lab::client::{Connection, with};
use services::lab::pki::{credentials, issuer, now, trust};
use services::lab::service::{Ledger, config};
use services::lab::{CHECKOUT, LEDGER, LEDGER_NAME};
use shared::{LabCa, Transcript};
use tokio::sync::Notify;

/// A clock on which a sleep takes no time, so that a day passes in a moment.
struct FastClock(AtomicU64);

impl Clock for FastClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    async fn sleep(&self, duration: Duration) {
        self.0.fetch_add(duration.as_secs(), Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
}

/// The issuer, which is down for the first tries.
struct Source {
    issuer: Mutex<Issuer>,
    /// The issuer's time, which is the machine's: rustls has no other.
    issued_at: AtomicU64,
    down_for: AtomicUsize,
}

// ANCHOR: obtain
impl Obtain for Source {
    type Error = String;

    async fn obtain(&self) -> Result<Credentials, String> {
        if self.down_for.load(Ordering::SeqCst) > 0 {
            self.down_for.fetch_sub(1, Ordering::SeqCst);
            return Err("the issuer is down".to_owned());
        }
        let text = |error: &dyn std::error::Error| error.to_string();
        let (key, request) = new_request().map_err(|error| text(&error))?;
        let proved = ProvedKey::of_request(&request).map_err(|error| text(&error))?;
        let entitled = Entitlement {
            id: LEDGER.to_owned(),
            dns_names: vec![LEDGER_NAME.to_owned()],
            calls: false,
        };
        let mut issuer = self.issuer.lock().unwrap_or_else(PoisonError::into_inner);
        let issued = issuer.issue(&proved, &entitled, self.issued_at.load(Ordering::SeqCst));
        Ok(Credentials { chain: issued.map_err(|error| text(&error))?.chain, key })
    }
}
// ANCHOR_END: obtain

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let ca = LabCa::new("Course Lab")?;
    let client = ca.leaf(CHECKOUT).for_clients().issue()?;
    let client = with(&credentials(&client), &trust(&ca))?;
    let day = 24 * 3600;
    let start = now();

    t.step("A certificate for a day. When is it renewed?");
    let at = |jitter| (renew_at(0, day, jitter) as f64) / 3600.0;
    t.shows("earliest", format!("after {:.1} hours", at(0.0)));
    t.shows("latest", format!("after {:.1} hours", at(1.0)));

    // ANCHOR: running
    t.step("The ledger runs with its first certificate, and a client keeps a connection.");
    let issuer = Mutex::new(issuer(&ca, "Course Lab", Duration::from_secs(day))?);
    let clock = Arc::new(FastClock(AtomicU64::new(start)));
    let (issued_at, down_for) = (AtomicU64::new(start), AtomicUsize::new(0));
    let source = Source { issuer, issued_at, down_for };
    // An hour ago.
    source.issued_at.store(start - 3600, Ordering::SeqCst);
    let first = source.obtain().await.map_err(anyhow::Error::msg)?;
    source.issued_at.store(start, Ordering::SeqCst);
    let first_facts = Facts::of(&first)?;
    let ledger = Arc::new(Ledger::start(config(&first, &trust(&ca))?).await?);
    let mut open = Connection::open(client.clone(), ledger.address()).await?;
    t.works("GET /whoami", open.get("/whoami").await)?;
    // ANCHOR_END: running

    t.step("Two thirds of the life have passed. The issuer is down at the first four tries.");
    source.down_for.store(4, Ordering::SeqCst);
    let told = Arc::new(Mutex::new(Vec::new()));
    let installed = Arc::new(Notify::new());
    // ANCHOR: install
    let server = ledger.clone();
    let apply = move |own: &Credentials, clients: &Trust| {
        let config = config(own, clients).map_err(|error| error.to_string())?;
        server.replace_config(config);
        Ok(())
    };
    let reloading = Reloading::new(first, trust(&ca), apply);
    let install = move |new| reloading.show(new);
    // ANCHOR_END: install
    let (lines, done) = (told.clone(), installed.clone());
    let tell = move |renewal: Renewal<String>| {
        let line = match renewal {
            Renewal::Failed(why, left, _wait) => format!("{why}; {} hours left", left / 3600),
            Renewal::Installed(_next) => "installed".to_owned(),
            Renewal::Expired => "expired".to_owned(),
        };
        let is_done = line == "installed";
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        if is_done {
            done.notify_one();
        }
    };
    let renewing = {
        let (facts, clock) = (first_facts.clone(), clock.clone());
        tokio::spawn(async move { keep_valid(&facts, &source, &*clock, install, tell).await })
    };
    tokio::time::timeout(Duration::from_secs(10), installed.notified())
        .await
        .context("a renewal")?;
    renewing.abort();
    let told = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for line in told.iter().take(5) {
        t.shows("renewer's log", line);
    }
    ensure!(told.iter().filter(|line| line.contains("is down")).count() == 4, "{told:?}");
    ensure!(told.contains(&"installed".to_owned()), "{told:?}");

    t.step("The connection that was open goes on. A new one gets the new certificate, because no session is resumed.");
    t.works("GET /whoami, on the old connection", open.get("/whoami").await)?;
    let mut new = Connection::open(client.clone(), ledger.address()).await?;
    t.works("GET /whoami, on a new one", new.get("/whoami").await)?;
    t.shows("handshake", if new.resumed { "resumed" } else { "full" });
    ensure!(!new.resumed, "a session of the first configuration was resumed");
    let later = Leaf::from_der(&new.served)?.not_after.saturating_sub(first_facts.not_after);
    t.shows("certificate", format!("ends {} minutes after the first", later / 60));
    ensure!(later > 0, "the new connection got the first certificate");
    let again = Connection::open(client, ledger.address()).await?;
    t.shows("the next one", if again.resumed { "resumed, from the new session" } else { "full" });
    Ok(())
}
