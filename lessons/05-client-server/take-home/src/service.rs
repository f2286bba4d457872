//! What the server answers to whom.
//!
//! The mistakes this prevents: a request that is carried out before it is known who asks; an answer
//! that tells an attacker why; work that is spent before a limit is looked at; a theft after which the
//! owner has no way back.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use careful_encryption::public_key::{Classical, PublicKey};
use careful_tokens::claims::Claims;
use careful_tokens::clock::Clock;
use careful_tokens::denylist::DenyList;
use careful_tokens::issuer::Issuer;
use careful_tokens::jwks::{KeySet, KeySetError};
use careful_tokens::keys::SigningKey;
use careful_tokens::profile::{Profile, ProfileError, TokenType};
use careful_tokens::refresh::{RefreshLimits, RefreshReason, RefreshStore};
use careful_tokens::verifier::Verifier;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::attempts::{AttemptLimits, Attempts};
use crate::log_budget::LogBudget;
use crate::passwords::{PasswordError, Passwords};
use crate::protocol::{
    Bytes, MAX_DELETE, MAX_SEALED, Name, Refusal, Request, Response, Secret, Status,
};
use crate::store::{Account, AccountChange, Generation, NewMessage, Store, StoreError};

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
    #[error("the server's name cannot be used in tokens")]
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
    pub reused_tokens: AtomicU64,
    /// See [`Status`].
    pub dropped: AtomicU64,
    /// See [`Status`].
    pub certificate_expires: AtomicU64,
}

#[derive(Serialize, Deserialize)]
struct Scope {
    scope: String,
    /// The account's [`Generation`] when the token was issued.
    generation: String,
}

/// Who asks, as a token proves it.
struct Caller {
    name: Name,
    account: Account,
    claims: Claims<Scope>,
}

/// Whose a refresh token is: of an account as it was at the login. Whatever ends all logins, or frees the name for
/// another owner, changes the generation, and with it ends a login that is just being made.
struct Login {
    name: Name,
    generation: Generation,
}

impl Login {
    fn parse(subject: &str) -> Option<Self> {
        let (name, generation) = subject.split_once(' ')?;
        Some(Self { name: Name::new(name).ok()?, generation: Generation::parse(generation)? })
    }
}

/// As [`RefreshStore`] has it: no name has a space.
impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.generation)
    }
}

/// Who signs access tokens, and who verifies them: replaced together.
struct Tokens {
    ids: Vec<String>,
    issuer: Issuer,
    verifier: Verifier,
}

/// The service, shared by all connections.
pub struct Service {
    name: String,
    store: Store,
    passwords: Passwords,
    attempts: Attempts,
    profile: Profile,
    clock: Clock,
    tokens: RwLock<Arc<Tokens>>,
    denied: Arc<DenyList>,
    refresh: RefreshStore,
    operators: BTreeSet<Name>,
    lines_lost: LinesLost,
    started: Instant,
    counters: Counters,
    strangers: LogBudget,
    accounts: LogBudget,
}

/// How many log lines could not be written so far.
pub type LinesLost = Box<dyn Fn() -> u64 + Send + Sync>;

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
    /// For [`Status`].
    pub lines_lost: LinesLost,
}

/// The answer to a request, and what only the server may know.
#[derive(Debug)]
pub struct Answer {
    /// For the client.
    pub response: Response,
    /// Why it was refused, for the log.
    pub why: Option<&'static str>,
    /// Which account asked, as a password or token proved; or which one somebody tried to log in to, if there
    /// is one of that name.
    pub account: Option<Name>,
    /// Whether a password or token proved who asks.
    pub proved: bool,
}

/// A request that is refused: what the client is told, and what the log is told.
#[derive(Clone, Copy)]
struct Refused(Refusal, &'static str);

/// What is found out about the client while a request is carried out.
#[derive(Default)]
struct Who {
    account: Option<Name>,
    proved: bool,
}

impl Who {
    fn is(&mut self, name: &Name) {
        self.account = Some(name.clone());
        self.proved = true;
    }
}

impl Service {
    /// With these signing keys, the newest last.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub fn new(parts: Components, keys: Vec<SigningKey>) -> Result<Self, ServiceError> {
        let Components { name, store, passwords, attempts, refresh, operators, clock, lines_lost } =
            parts;
        let profile = Profile::new(&name, &name, TokenType::ACCESS)?.lifetime(TOKEN_LIFETIME)?;
        let denied = Arc::new(DenyList::new(MAX_DENIED));
        let tokens = tokens(&profile, keys, &clock, &denied)?;
        Ok(Self {
            name,
            store,
            passwords,
            attempts: Attempts::new(attempts, clock.clone()),
            profile,
            refresh: RefreshStore::new(refresh, clock.clone()),
            clock,
            tokens: RwLock::new(tokens),
            denied,
            operators,
            lines_lost,
            started: Instant::now(),
            counters: Counters::default(),
            strangers: LogBudget::new(STRANGERS_LINES),
            accounts: LogBudget::new(ACCOUNTS_LINES),
        })
    }

    /// Signs and verifies with other keys from now on, the newest last. Tokens of a key that is
    /// still among them are still accepted. Whether they are others than those in use.
    ///
    /// # Errors
    /// See [`ServiceError`]: then the old ones stay.
    pub fn replace_keys(&self, keys: Vec<SigningKey>) -> Result<bool, ServiceError> {
        let new = tokens(&self.profile, keys, &self.clock, &self.denied)?;
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        let others = tokens.ids != new.ids;
        *tokens = new;
        Ok(others)
    }

    /// Its name, as in its certificate and its tokens.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The log lines that those without a login can cause.
    pub fn strangers_log(&self) -> &LogBudget {
        &self.strangers
    }

    /// The log lines that those with an account can cause.
    pub fn accounts_log(&self) -> &LogBudget {
        &self.accounts
    }

    /// Log lines that were left out, because there were too many at once.
    pub fn lines_left_out(&self) -> u64 {
        self.strangers.left_out() + self.accounts.left_out() + store_log().left_out()
    }

    /// What is counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The answer to a request of a client at this address. `id` is the request's in the log.
    pub async fn answer(&self, peer: IpAddr, request: Request, id: &str) -> Answer {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let mut who = Who::default();
        let (response, why) = match self.carry_out(peer, request, &mut who).await {
            Ok(response) => (response, None),
            Err(Refused(because, why)) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                (Response::Refused { because, request: id.to_owned() }, Some(why))
            }
        };
        let Who { account, proved } = who;
        Answer { response, why, account, proved }
    }

    // ANCHOR: carry_out
    async fn carry_out(
        &self,
        peer: IpAddr,
        request: Request,
        who: &mut Who,
    ) -> Result<Response, Refused> {
        match request {
            Request::Ping {} => Ok(Response::Pong {}),
            Request::Register { name, password, key } => {
                self.register(peer, name, password, key, who).await
            }
            Request::LogIn { name, password } => self.log_in(peer, name, password, who).await,
            Request::Refresh { refresh } => self.refreshed(peer, &refresh, who).await,
            Request::LogOut { refresh, token } => self.log_out(&refresh, token, who).await,
            Request::ChangePassword { token, password, new } => {
                let caller = self.caller_with_password(peer, &token, password, who).await?;
                let new = self.passwords.hash(peer, new).await?;
                self.end_logins(&caller, Some(new), None).await
            }
            Request::ChangeKey { token, password, key } => {
                check_key(&key)?;
                let caller = self.caller_with_password(peer, &token, password, who).await?;
                self.end_logins(&caller, None, Some(key)).await
            }
            Request::EndLogins { token } => {
                let caller = self.authenticate(&token, who).await?;
                self.end_logins(&caller, None, None).await
            }
            Request::DeleteAccount { token, password } => {
                let caller = self.caller_with_password(peer, &token, password, who).await?;
                let Caller { name, account, .. } = caller;
                // Anybody could register the name, and would be an operator.
                if self.operators.contains(&name) {
                    return Err(Refused(Refusal::Forbidden, "an operator's account"));
                }
                self.store.remove_account(name.clone(), account.generation).await?;
                let login = Login { name, generation: account.generation };
                Ok(Response::Ended { logins: self.refresh.log_out_everywhere(&login.to_string()) })
            }
            Request::Key { token, name } => {
                self.authenticate(&token, who).await?;
                let account = self.store.account(name.clone()).await?;
                let account = account.ok_or(Refused(Refusal::NoAccount, "no such account"))?;
                Ok(Response::Key { name, key: account.key })
            }
            Request::Send { token, to, id, sealed } => {
                let from = self.authenticate(&token, who).await?.name;
                if sealed.0.len() > MAX_SEALED {
                    return Err(Refused(Refusal::BadRequest, "a message over the limit"));
                }
                let message = NewMessage { from, to, id, sealed: sealed.0 };
                let again = self.store.put(message).await?;
                self.counters.stored.fetch_add(u64::from(!again), Ordering::Relaxed);
                Ok(Response::Stored { again })
            }
            Request::Fetch { token, after } => {
                let of = self.authenticate(&token, who).await?.name;
                let (messages, more) = self.store.messages(of, after).await?;
                Ok(Response::Messages { messages, more })
            }
            Request::Delete { token, numbers } => {
                let of = self.authenticate(&token, who).await?.name;
                if numbers.len() > MAX_DELETE {
                    return Err(Refused(Refusal::BadRequest, "too many numbers to delete"));
                }
                Ok(Response::Deleted { count: self.store.delete(of, numbers).await? })
            }
            Request::Status { token } => {
                let caller = self.authenticate(&token, who).await?;
                match caller.claims.more.scope == OPERATOR {
                    true => Ok(Response::Status(self.status().await?)),
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
        who: &mut Who,
    ) -> Result<Response, Refused> {
        check_key(&key)?;
        // A registration costs a hash: it counts as an attempt of its network, whatever its end.
        if !self.attempts.begin_without_account(peer) {
            return Err(Refused(Refusal::TooManyAttempts, "too many attempts"));
        }
        let password = self.passwords.hash(peer, password).await?;
        let generation = new_generation()?;
        let account = Account { password, key, generation };
        self.store.register(name.clone(), account).await?;
        who.is(&name);
        Ok(Response::Registered {})
    }

    // ANCHOR: log_in
    async fn log_in(
        &self,
        peer: IpAddr,
        name: Name,
        password: Secret,
        who: &mut Who,
    ) -> Result<Response, Refused> {
        let account = self.check_password(peer, &name, password, who).await?;
        // Of this generation: while the password was hashed, all logins may have been ended.
        let login = Login { name: name.clone(), generation: account.generation };
        let refresh = self.refresh.log_in(&login.to_string());
        let refresh = refresh.map_err(|_| Refused(Refusal::Full, "too many logins"))?;
        self.access(&name, account.generation, refresh.expose())
    }

    /// The account, if this is its password. The work is the same if there is no such account.
    async fn check_password(
        &self,
        peer: IpAddr,
        name: &Name,
        password: Secret,
        who: &mut Who,
    ) -> Result<Account, Refused> {
        let account = self.store.account(name.clone()).await?;
        // What was typed is named in the log only if it is a name: it may be a password.
        who.account = account.as_ref().map(|_| name.clone());
        // Counted first: the hash is the work that a flood of logins would have us do.
        if !self.attempts.begin(name, peer) {
            return Err(Refused(Refusal::TooManyAttempts, "too many attempts"));
        }
        let hash = account.as_ref().map(|account| account.password.clone());
        match (self.passwords.check(peer, password, hash).await, account) {
            (Ok(true), Some(account)) => {
                self.attempts.succeeded(name, peer);
                who.is(name);
                Ok(account)
            }
            (Ok(_), _) => {
                self.counters.failed_logins.fetch_add(1, Ordering::Relaxed);
                Err(Refused(Refusal::Unauthorized, "a wrong name or password"))
            }
            (Err(error), _) => {
                // Nothing was guessed: a flood of logins must not use up the attempts of others.
                if error == PasswordError::Busy {
                    self.attempts.not_made(name, peer);
                }
                Err(error.into())
            }
        }
    }
    // ANCHOR_END: log_in

    // ANCHOR: refreshed
    async fn refreshed(
        &self,
        peer: IpAddr,
        refresh: &Secret,
        who: &mut Who,
    ) -> Result<Response, Refused> {
        if !self.attempts.begin_refresh(peer) {
            return Err(Refused(Refusal::TooManyAttempts, "too many refreshes"));
        }
        let next = match self.refresh.refresh(refresh.expose()) {
            Ok(next) => next,
            Err(refused) => {
                let login = refused.subject().and_then(Login::parse);
                who.account = login.as_ref().map(|login| login.name.clone());
                if let (RefreshReason::Reused, Some(login)) = (refused.reason(), &login) {
                    self.copied(login).await;
                }
                return Err(Refused(Refusal::Unauthorized, "a refresh token"));
            }
        };
        let login = Login::parse(&next.subject);
        let Login { name, generation } =
            login.ok_or(Refused(Refusal::Unauthorized, "a subject"))?;
        let account = self.store.account(name.clone()).await?;
        let account = account.ok_or(Refused(Refusal::Unauthorized, "no such account"))?;
        // Another password, another key, or another owner of the name.
        if account.generation != generation {
            return Err(Refused(Refusal::Unauthorized, "a login that was ended"));
        }
        who.is(&name);
        if !self.attempts.refreshed(&name) {
            return Err(Refused(Refusal::TooManyAttempts, "too many refreshes"));
        }
        self.access(&name, account.generation, next.token.expose())
    }

    /// A refresh token came twice: two have it, and nobody knows which of them is the owner. So all
    /// logins of the account end, with their access tokens.
    async fn copied(&self, Login { name, generation }: &Login) {
        self.counters.reused_tokens.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(account = %name, "a refresh token was used twice: somebody has a copy");
        let ended = async {
            let account = self.store.account(name.clone()).await?;
            let account = account.ok_or(Refused(Refusal::NoAccount, "no such account"))?;
            // Of a login that was ended before, nothing is left to be ended.
            if account.generation != *generation {
                return Ok(0);
            }
            self.end_all(name, &account, None, None).await
        };
        if let Err(Refused(_, why)) = ended.await {
            tracing::error!(account = %name, why, "its access tokens live on until they expire");
        }
    }
    // ANCHOR_END: refreshed

    /// By the refresh token alone: a client whose access token has expired must be able to log out.
    async fn log_out(
        &self,
        refresh: &Secret,
        token: Option<Secret>,
        who: &mut Who,
    ) -> Result<Response, Refused> {
        let ended = self.refresh.log_out(refresh.expose());
        let caller = match &token {
            Some(token) => self.authenticate(token, who).await.ok(),
            None => None,
        };
        if ended.is_none() && caller.is_none() {
            return Err(Refused(Refusal::Unauthorized, "neither token is of a login"));
        }
        if let Some(Caller { claims, .. }) = caller {
            let denied = self.tokens().verifier.deny(&claims);
            denied.map_err(|_| Refused(Refusal::Busy, "the deny list is full"))?;
        }
        Ok(Response::LoggedOut {})
    }

    /// Ends all logins, for another password or key perhaps.
    async fn end_logins(
        &self,
        caller: &Caller,
        password: Option<String>,
        key: Option<Bytes>,
    ) -> Result<Response, Refused> {
        let logins = self.end_all(&caller.name, &caller.account, password, key).await?;
        Ok(Response::Ended { logins })
    }

    async fn end_all(
        &self,
        name: &Name,
        account: &Account,
        password: Option<String>,
        key: Option<Bytes>,
    ) -> Result<usize, Refused> {
        let (from, to) = (account.generation, new_generation()?);
        let change = AccountChange { from, to, password, key };
        self.store.change_account(name.clone(), change).await?;
        let login = Login { name: name.clone(), generation: from };
        Ok(self.refresh.log_out_everywhere(&login.to_string()))
    }

    fn access(
        &self,
        name: &Name,
        generation: Generation,
        refresh: &str,
    ) -> Result<Response, Refused> {
        let scope = if self.operators.contains(name) { OPERATOR } else { "mailbox" }.to_owned();
        let scope = Scope { scope, generation: generation.to_string() };
        let token = self.tokens().issuer.issue(name.as_str(), &scope);
        let token = token.map_err(|_| Refused(Refusal::Unavailable, "no token was signed"))?;
        Ok(Response::Tokens {
            access: Secret::new(token.expose()),
            refresh: Secret::new(refresh),
            seconds: TOKEN_LIFETIME.as_secs(),
        })
    }

    // ANCHOR: authenticate
    /// Who asks: for every request that touches a mailbox, before anything else.
    async fn authenticate(&self, token: &Secret, who: &mut Who) -> Result<Caller, Refused> {
        let unauthorized = Refused(Refusal::Unauthorized, "an access token");
        let verified = self.tokens().verifier.verify::<Scope>(token.expose());
        let claims = verified.map_err(|refused| {
            if self.strangers.allows() {
                tracing::info!(reason = %refused.reason(), "access token");
            }
            unauthorized
        })?;
        let name = Name::new(&claims.sub).map_err(|_| unauthorized)?;
        // Since it was issued, the account may have been deleted, or all of its logins ended.
        let account = self.store.account(name.clone()).await?.ok_or(unauthorized)?;
        if account.generation.to_string() != claims.more.generation {
            return Err(unauthorized);
        }
        who.is(&name);
        Ok(Caller { name, account, claims })
    }
    // ANCHOR_END: authenticate

    /// Who asks, with the password as well: a stolen token is not enough for what lasts.
    async fn caller_with_password(
        &self,
        peer: IpAddr,
        token: &Secret,
        password: Secret,
        who: &mut Who,
    ) -> Result<Caller, Refused> {
        let caller = self.authenticate(token, who).await?;
        self.check_password(peer, &caller.name, password, who).await?;
        Ok(caller)
    }

    fn tokens(&self) -> Arc<Tokens> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn status(&self) -> Result<Status, Refused> {
        let waiting = self.store.waiting().await?;
        let Counters {
            connections,
            requests,
            refused,
            stored,
            failed_logins,
            reused_tokens,
            dropped,
            certificate_expires,
        } = &self.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(Status {
            uptime: self.started.elapsed().as_secs(),
            certificate_expires: get(certificate_expires),
            connections: get(connections),
            requests: get(requests),
            refused: get(refused),
            stored: get(stored),
            waiting,
            failed_logins: get(failed_logins),
            reused_tokens: get(reused_tokens),
            dropped: get(dropped),
            lines_lost: (self.lines_lost)(),
            lines_left_out: self.lines_left_out(),
        })
    }
}

fn check_key(key: &Bytes) -> Result<(), Refused> {
    let checked = PublicKey::<Classical>::from_bytes(&key.0);
    checked.map(drop).map_err(|_| Refused(Refusal::BadRequest, "no public key"))
}

fn new_generation() -> Result<Generation, Refused> {
    Generation::random().ok_or(Refused(Refusal::Unavailable, "no random bytes"))
}

fn tokens(
    profile: &Profile,
    mut keys: Vec<SigningKey>,
    clock: &Clock,
    denied: &Arc<DenyList>,
) -> Result<Arc<Tokens>, ServiceError> {
    let ids = keys.iter().map(|key| key.id().to_string()).collect();
    let set = KeySet::new(keys.iter().map(SigningKey::verifying))?;
    let newest = keys.pop().ok_or(ServiceError::NoKey)?;
    let verifier = Verifier::new(profile.clone(), set, clock.clone());
    let verifier = verifier.with_deny_list(denied.clone());
    let issuer = Issuer::new(profile.clone(), newest, clock.clone());
    Ok(Arc::new(Tokens { ids, issuer, verifier }))
}

/// The log lines that a broken disk can cause: every request meets it.
fn store_log() -> &'static LogBudget {
    static LINES: OnceLock<LogBudget> = OnceLock::new();
    LINES.get_or_init(|| LogBudget::new(STRANGERS_LINES))
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken => Self(Refusal::Taken, "the name is in use"),
            StoreError::NoAccount => Self(Refusal::NoAccount, "no such account"),
            StoreError::Changed => Self(Refusal::Unauthorized, "changed meanwhile"),
            StoreError::Conflict => Self(Refusal::Conflict, "an id with other content"),
            StoreError::Full(what) => Self(Refusal::Full, what),
            StoreError::Busy => Self(Refusal::Busy, "too many jobs wait for the disk"),
            error @ (StoreError::Database(_) | StoreError::Closed | StoreError::Broken) => {
                if store_log().allows() {
                    tracing::error!(error = %careful_errors::ErrorChain(&error), "store");
                }
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
