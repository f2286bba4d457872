//! What the server answers to whom.
//!
//! The mistakes this prevents: a request that is carried out before it is known who asks; an answer
//! that tells an attacker why; work that is spent before a limit is looked at.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use careful_encryption::public_key::{Classical, PublicKey};
use careful_tokens::claims::Claims;
use careful_tokens::clock::Clock;
use careful_tokens::denylist::DenyList;
use careful_tokens::issuer::Issuer;
use careful_tokens::jwks::{KeySet, KeySetError};
use careful_tokens::keys::SigningKey;
use careful_tokens::profile::{Profile, ProfileError, TokenType};
use careful_tokens::refresh::{RefreshLimits, RefreshStore};
use careful_tokens::verifier::Verifier;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::attempts::{AttemptLimits, Attempts};
use crate::log_budget::LogBudget;
use crate::passwords::{PasswordError, Passwords};
use crate::protocol::{
    Bytes, MAX_DELETE, MAX_SEALED, Name, Refusal, Request, Response, Secret, Status,
};
use crate::store::{Account, NewMessage, Store, StoreError};

/// How long an access token lives.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// Access tokens that may be on the deny list at once.
const MAX_DENIED: usize = 100_000;
/// Log lines in a second about those without a login. A day of them, at 200 bytes each, is 170 MB.
const STRANGERS_LINES: u32 = 10;
/// Log lines in a second about requests that were carried out.
const ACCOUNTS_LINES: u32 = 100;
/// The scope of an operator's tokens.
const OPERATOR: &str = "mailbox operator";

/// Why there is no service.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// The profile of the tokens.
    #[error("the server's name cannot stand in tokens")]
    Profile(#[from] ProfileError),
    /// Two signing keys have one id.
    #[error("the signing keys cannot be used")]
    Keys(#[from] KeySetError),
    /// There is no signing key.
    #[error("expected a signing key, found none")]
    NoKey,
}

/// What is counted, for [`Status`].
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that are open.
    pub connections: AtomicU64,
    /// See [`Status`].
    pub requests: AtomicU64,
    /// See [`Status`].
    pub refused: AtomicU64,
    /// See [`Status`].
    pub stored: AtomicU64,
    /// See [`Status`].
    pub failed_logins: AtomicU64,
    /// See [`Status`].
    pub dropped: AtomicU64,
}

#[derive(Serialize, Deserialize)]
struct Scope {
    scope: String,
}

/// Who signs access tokens, and who verifies them: replaced together.
struct Tokens {
    issuer: Issuer,
    verifier: Verifier,
}

/// The service, shared by all connections.
pub struct Service {
    store: Store,
    passwords: Passwords,
    attempts: Attempts,
    profile: Profile,
    clock: Clock,
    tokens: RwLock<Arc<Tokens>>,
    denied: Arc<DenyList>,
    refresh: RefreshStore,
    operators: BTreeSet<Name>,
    counters: Counters,
    strangers: LogBudget,
    accounts: LogBudget,
}

/// What a service is made of.
pub struct Components {
    /// Its name, in the tokens that it issues for itself.
    pub name: String,
    /// Accounts and messages.
    pub store: Store,
    /// Passwords.
    pub passwords: Passwords,
    /// Limits of failed logins.
    pub attempts: AttemptLimits,
    /// Limits of refresh tokens.
    pub refresh: RefreshLimits,
    /// Who may ask for the counters.
    pub operators: BTreeSet<Name>,
    /// The time.
    pub clock: Clock,
}

/// A request that is refused: what the client is told, and what the log is told.
struct Refused(Refusal, &'static str);

impl Service {
    /// With these signing keys, the newest last.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub fn new(parts: Components, keys: Vec<SigningKey>) -> Result<Self, ServiceError> {
        let Components { name, store, passwords, attempts, refresh, operators, clock } = parts;
        let profile = Profile::new(&name, &name, TokenType::ACCESS)?.lifetime(TOKEN_LIFETIME)?;
        let denied = Arc::new(DenyList::new(MAX_DENIED));
        let tokens = tokens(&profile, keys, &clock, &denied)?;
        Ok(Self {
            store,
            passwords,
            attempts: Attempts::new(attempts, clock.clone()),
            profile,
            refresh: RefreshStore::new(refresh, clock.clone()),
            clock,
            tokens: RwLock::new(tokens),
            denied,
            operators,
            counters: Counters::default(),
            strangers: LogBudget::new(STRANGERS_LINES),
            accounts: LogBudget::new(ACCOUNTS_LINES),
        })
    }

    /// Signs and verifies with other keys from now on, the newest last. Tokens of a key that is
    /// still among them are still accepted.
    ///
    /// # Errors
    /// See [`ServiceError`]: then the old ones stay.
    pub fn replace_keys(&self, keys: Vec<SigningKey>) -> Result<(), ServiceError> {
        let new = tokens(&self.profile, keys, &self.clock, &self.denied)?;
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// The log lines that whoever has no login can cause.
    pub fn strangers_log(&self) -> &LogBudget {
        &self.strangers
    }

    /// The log lines that those with an account can cause.
    pub fn accounts_log(&self) -> &LogBudget {
        &self.accounts
    }

    /// What is counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The answer to a request, and what the log is told of a refusal.
    pub async fn answer(
        &self,
        peer: IpAddr,
        request: Request,
        id: &str,
    ) -> (Response, Option<&'static str>) {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        match self.carry_out(peer, request).await {
            Ok(response) => (response, None),
            Err(Refused(because, why)) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                (Response::Refused { because, request: id.to_owned() }, Some(why))
            }
        }
    }

    // ANCHOR: carry_out
    async fn carry_out(&self, peer: IpAddr, request: Request) -> Result<Response, Refused> {
        match request {
            Request::Ping {} => Ok(Response::Pong {}),
            Request::Register { name, password, key } => {
                self.register(peer, name, password, key).await
            }
            Request::LogIn { name, password } => self.log_in(peer, name, password).await,
            Request::Refresh { refresh } => self.refreshed(&refresh),
            Request::LogOut { token, refresh } => {
                let claims = self.authenticate(&token)?;
                self.refresh.log_out(refresh.expose());
                let tokens = self.tokens();
                let denied = tokens.verifier.deny(&claims);
                denied.map_err(|_| Refused(Refusal::Busy, "the deny list is full"))?;
                Ok(Response::LoggedOut {})
            }
            Request::Key { token, name } => {
                self.authenticate(&token)?;
                let account = self.store.account(name.clone()).await?;
                let account = account.ok_or(Refused(Refusal::NoAccount, "no such account"))?;
                Ok(Response::Key { name, key: account.key })
            }
            Request::Send { token, to, id, sealed } => {
                let from = subject(&self.authenticate(&token)?)?;
                if sealed.0.len() > MAX_SEALED {
                    return Err(Refused(Refusal::BadRequest, "a message over the limit"));
                }
                let message = NewMessage { from, to, id, sealed: sealed.0 };
                let again = self.store.put(message).await?;
                self.counters.stored.fetch_add(u64::from(!again), Ordering::Relaxed);
                Ok(Response::Stored { again })
            }
            Request::Fetch { token, after } => {
                let of = subject(&self.authenticate(&token)?)?;
                let (messages, more) = self.store.messages(of, after).await?;
                Ok(Response::Messages { messages, more })
            }
            Request::Delete { token, numbers } => {
                let of = subject(&self.authenticate(&token)?)?;
                if numbers.len() > MAX_DELETE {
                    return Err(Refused(Refusal::BadRequest, "too many numbers to delete"));
                }
                Ok(Response::Deleted { count: self.store.delete(of, numbers).await? })
            }
            Request::Status { token } => {
                let claims = self.authenticate(&token)?;
                match claims.more.scope == OPERATOR {
                    true => Ok(Response::Status(self.status())),
                    false => Err(Refused(Refusal::Forbidden, "not an operator")),
                }
            }
        }
    }
    // ANCHOR_END: carry_out

    async fn register(
        &self,
        peer: IpAddr,
        name: Name,
        password: Secret,
        key: Bytes,
    ) -> Result<Response, Refused> {
        if PublicKey::<Classical>::from_bytes(&key.0).is_err() {
            return Err(Refused(Refusal::BadRequest, "no public key"));
        }
        // A registration costs a hash: it counts as an attempt of its address, whatever its end.
        if !self.attempts.begin_without_account(peer) {
            return Err(Refused(Refusal::TooManyAttempts, "too many attempts"));
        }
        let password = self.passwords.hash(password).await?;
        self.store.register(name, Account { password, key }).await?;
        Ok(Response::Registered {})
    }

    // ANCHOR: log_in
    async fn log_in(
        &self,
        peer: IpAddr,
        name: Name,
        password: Secret,
    ) -> Result<Response, Refused> {
        // Counted first: the hash is the work that a flood of logins would have us do.
        if !self.attempts.begin(&name, peer) {
            return Err(Refused(Refusal::TooManyAttempts, "too many attempts"));
        }
        let account = self.store.account(name.clone()).await?;
        let hash = account.map(|account| account.password);
        let checked = self.passwords.check(password, hash).await;
        if checked == Err(PasswordError::Busy) {
            // Nothing was guessed: a flood of logins must not use up the attempts of others.
            self.attempts.succeeded(&name, peer);
        }
        if !checked? {
            self.counters.failed_logins.fetch_add(1, Ordering::Relaxed);
            return Err(Refused(Refusal::Unauthorized, "a wrong name or password"));
        }
        self.attempts.succeeded(&name, peer);
        let refresh = self.refresh.log_in(name.as_str());
        let refresh = refresh.map_err(|_| Refused(Refusal::Full, "too many logins"))?;
        self.access(name.as_str(), refresh.expose())
    }
    // ANCHOR_END: log_in

    fn refreshed(&self, refresh: &Secret) -> Result<Response, Refused> {
        match self.refresh.refresh(refresh.expose()) {
            Ok(next) => self.access(&next.subject, next.token.expose()),
            Err(_refused) => Err(Refused(Refusal::Unauthorized, "a refresh token")),
        }
    }

    fn access(&self, subject: &str, refresh: &str) -> Result<Response, Refused> {
        let operator = self.operators.iter().any(|name| name.as_str() == subject);
        let scope = if operator { OPERATOR } else { "mailbox" }.to_owned();
        let token = self.tokens().issuer.issue(subject, &Scope { scope });
        let token = token.map_err(|_| Refused(Refusal::Unavailable, "no token was signed"))?;
        Ok(Response::Tokens {
            access: Secret::new(token.expose()),
            refresh: Secret::new(refresh),
            seconds: TOKEN_LIFETIME.as_secs(),
        })
    }

    // ANCHOR: authenticate
    /// Who asks: for every request that touches a mailbox, before anything else.
    fn authenticate(&self, token: &Secret) -> Result<Claims<Scope>, Refused> {
        let verified = self.tokens().verifier.verify(token.expose());
        verified.map_err(|refused| {
            if self.strangers.allows() {
                tracing::info!(reason = %refused.reason(), "access token");
            }
            Refused(Refusal::Unauthorized, "an access token")
        })
    }
    // ANCHOR_END: authenticate

    fn tokens(&self) -> Arc<Tokens> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn status(&self) -> Status {
        let Counters { connections, requests, refused, stored, failed_logins, dropped } =
            &self.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            connections: get(connections),
            requests: get(requests),
            refused: get(refused),
            stored: get(stored),
            failed_logins: get(failed_logins),
            dropped: get(dropped),
        }
    }
}

fn tokens(
    profile: &Profile,
    mut keys: Vec<SigningKey>,
    clock: &Clock,
    denied: &Arc<DenyList>,
) -> Result<Arc<Tokens>, ServiceError> {
    let set = KeySet::new(keys.iter().map(SigningKey::verifying))?;
    let newest = keys.pop().ok_or(ServiceError::NoKey)?;
    let verifier = Verifier::new(profile.clone(), set, clock.clone());
    let verifier = verifier.with_deny_list(denied.clone());
    let issuer = Issuer::new(profile.clone(), newest, clock.clone());
    Ok(Arc::new(Tokens { issuer, verifier }))
}

/// Whose token it is.
fn subject(claims: &Claims<Scope>) -> Result<Name, Refused> {
    Name::new(&claims.sub).map_err(|_| Refused(Refusal::Unauthorized, "a subject"))
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken => Self(Refusal::Taken, "the name is in use"),
            StoreError::NoAccount => Self(Refusal::NoAccount, "no such account"),
            StoreError::Conflict => Self(Refusal::Conflict, "an id with other content"),
            StoreError::Full(what) => Self(Refusal::Full, what),
            StoreError::Busy => Self(Refusal::Busy, "too many jobs wait for the disk"),
            error @ (StoreError::Database(_) | StoreError::Closed | StoreError::Broken) => {
                tracing::error!(error = %careful_errors::ErrorChain(&error), "store");
                Self(Refusal::Unavailable, "the store")
            }
        }
    }
}

impl From<PasswordError> for Refused {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Length => Self(Refusal::BadRequest, "a password's length"),
            PasswordError::Busy => Self(Refusal::Busy, "too many passwords wait"),
            PasswordError::System => Self(Refusal::Unavailable, "a password's hash"),
        }
    }
}
