//! A server on loopback with a lab CA, and people with accounts on it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use careful_encryption::password::Cost;
use careful_tls::identity::ServerIdentity;
use careful_tls::server::Limits;
use careful_tokens::clock::Clock;
use careful_tokens::refresh::RefreshLimits;
use rustls::pki_types::ServerName;
use shared::LabCa;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::programs::LAB_NAME;
use careful_mailbox::account::{Account, Found, Sent};
use careful_mailbox::attempts::AttemptLimits;
use careful_mailbox::client::{Client, Endpoint};
use careful_mailbox::passwords::{PasswordLimits, Passwords};
use careful_mailbox::protocol::{Name, Secret};
use careful_mailbox::server::{MailboxServer, ServerDeadlines};
use careful_mailbox::service::{Components, Service};
use careful_mailbox::signing_keys;
use careful_mailbox::store::{Store, StoreLimits};

/// When it is in a lab whose clock can be set: in November 2026.
pub const NOW: u64 = 1_795_600_000;

/// A server and what belongs to it. Its folder goes when this is dropped.
pub struct Stage {
    /// Who issued its certificate.
    pub ca: LabCa,
    /// Where its files are.
    pub folder: TempDir,
    /// Its clock.
    pub clock: Clock,
    /// The server.
    pub server: MailboxServer,
}

/// What can be chosen of a stage.
#[derive(Clone)]
pub struct StageOptions {
    /// How many connections.
    pub connections: Limits,
    /// The server's deadlines.
    pub deadlines: ServerDeadlines,
    /// The limits of logins.
    pub attempts: AttemptLimits,
    /// The limits of the store.
    pub store: StoreLimits,
    /// What a password's hash costs.
    pub cost: Cost,
    /// How many passwords at once.
    pub passwords: PasswordLimits,
    /// Operators.
    pub operators: BTreeSet<Name>,
    /// The clock.
    pub clock: Clock,
}

impl Default for StageOptions {
    /// The server's own limits; a clock that can be set.
    fn default() -> Self {
        Self {
            connections: Limits::default(),
            deadlines: ServerDeadlines::default(),
            attempts: AttemptLimits::default(),
            store: StoreLimits::default(),
            cost: Cost::LEAST,
            passwords: PasswordLimits::default(),
            operators: BTreeSet::new(),
            clock: Clock::settable(NOW),
        }
    }
}

impl Stage {
    /// A server.
    pub async fn new(options: StageOptions) -> anyhow::Result<Self> {
        let ca = LabCa::new("Mailbox Lab")?;
        let folder = tempfile::tempdir()?;
        let clock = options.clock.clone();
        let path = folder.path().join("mailbox.redb");
        let store = Store::open(&path, options.store, clock.clone())?;
        let components = Components {
            name: LAB_NAME.to_owned(),
            store,
            passwords: Passwords::new(options.cost, options.passwords)?,
            attempts: options.attempts,
            refresh: RefreshLimits::default(),
            operators: options.operators,
            clock: clock.clone(),
            lines_lost: Box::new(|| 0),
        };
        let keys = signing_keys::load_or_make(&folder.path().join("signing-keys.json"))?;
        let service = Arc::new(Service::new(components, keys)?);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let identity = identity(&ca)?;
        let server = MailboxServer::start(
            listener,
            identity,
            service,
            options.connections,
            options.deadlines,
        )?;
        Ok(Self { ca, folder, clock, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The file of the signing keys.
    pub fn signing_keys(&self) -> PathBuf {
        self.folder.path().join("signing-keys.json")
    }

    /// The database's file.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("mailbox.redb")
    }

    /// How a client finds it.
    pub fn endpoint(&self) -> anyhow::Result<Endpoint> {
        endpoint(&self.ca, self.address())
    }

    /// Somebody who registers now.
    pub async fn person(&self, name: &str) -> anyhow::Result<Person> {
        Person::register(self.folder.path().join(name), name, self.endpoint()?).await
    }
}

/// How a client finds a server of this CA at this address.
pub fn endpoint(ca: &LabCa, address: SocketAddr) -> anyhow::Result<Endpoint> {
    Ok(Endpoint::new(address, ServerName::try_from(LAB_NAME)?, ca.roots())?)
}

/// A fresh certificate of the lab.
pub fn identity(ca: &LabCa) -> anyhow::Result<ServerIdentity> {
    identity_of(ca, LAB_NAME)
}

/// The same for another name.
pub fn identity_of(ca: &LabCa, name: &str) -> anyhow::Result<ServerIdentity> {
    let leaf = ca.leaf(name).issue()?;
    Ok(ServerIdentity { chain: leaf.chain(), key: leaf.key() })
}

/// Somebody with an account and a client.
pub struct Person {
    /// The account.
    pub account: Account,
    /// The client.
    pub client: Client,
    /// Where the account's files are.
    pub folder: PathBuf,
}

impl Person {
    /// Registers.
    pub async fn register(folder: PathBuf, name: &str, endpoint: Endpoint) -> anyhow::Result<Self> {
        let name = Name::new(name)?;
        let password = Secret::new(format!("the password of {name}"));
        let account = Account::create(&folder, name.clone(), password.clone())?;
        let mut client = Client::with_login(endpoint, name, password);
        account.register(&mut client).await?;
        Ok(Self { account, client, folder })
    }

    /// The same person at another server, or after a restart of the program.
    pub fn at(self, endpoint: Endpoint) -> anyhow::Result<Self> {
        Self::load(self.folder, endpoint)
    }

    /// Somebody who registered before.
    pub fn load(folder: PathBuf, endpoint: Endpoint) -> anyhow::Result<Self> {
        let account = Account::load(&folder)?;
        let client = Client::with_login(endpoint, account.name().clone(), account.password());
        Ok(Self { account, client, folder })
    }

    /// Sends a letter.
    pub async fn send(
        &mut self,
        to: &str,
        text: &str,
    ) -> Result<Sent, careful_mailbox::account::SendError> {
        let to = Name::new(to).unwrap_or_else(|_| self.account.name().clone());
        self.account.send(&mut self.client, &to, text).await
    }

    /// Reads everything; what was found. If letters are left on the server, why.
    pub async fn read(&mut self) -> Result<Vec<Found>, careful_mailbox::account::AccountError> {
        let (mut found, mut left) = (Vec::new(), None);
        loop {
            let mut reading = self.account.read(&mut self.client).await?;
            let (stopped, more) = (reading.stopped.take(), reading.more);
            found.append(&mut reading.found);
            left = left.or(std::mem::take(&mut reading.left).into_values().next());
            self.account.finish(&mut self.client, reading).await?;
            match stopped {
                Some(error) => return Err(error),
                None if more => {}
                None => return left.map_or(Ok(found), Err),
            }
        }
    }
}
