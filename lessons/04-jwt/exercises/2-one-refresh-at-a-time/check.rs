//! A login server whose refresh tokens are used once, as the take-home store's are, and many tasks of one client.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::JoinSet;
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

/// How long an access token is valid, in seconds.
const LIFETIME: u64 = 600;

/// What a login or a refresh brings.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// To be shown to services.
    pub access: String,
    /// To be used once.
    pub refresh: String,
    /// From then on the access token is not valid any more. In seconds, as [`Login::now`].
    pub expires: u64,
}

/// Why there are no new tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The refresh token was used before: the login is over.
    LoggedOut,
    /// The login server can't be asked just now. The refresh token was not used.
    Unavailable,
}

/// The connection to the login server. Clones are the same connection.
#[derive(Clone, Default)]
pub struct Login(Arc<Server>);

#[derive(Default)]
struct Server {
    state: Mutex<State>,
    /// With `slow`, an answer waits for this.
    go_on: Notify,
}

#[derive(Default)]
struct State {
    now: u64,
    /// How many tokens were issued; the last one's number is valid.
    issued: u64,
    refreshes: u32,
    logged_out: bool,
    slow: bool,
    down: bool,
}

impl Login {
    /// What time it is, in seconds.
    pub fn now(&self) -> u64 {
        self.state().now
    }

    /// Uses a refresh token. The server has taken it when this is first polled, whether or not somebody waits for the
    /// answer.
    pub async fn refresh(&self, refresh: &str) -> Result<Tokens, Refused> {
        let (answer, slow) = {
            let mut state = self.state();
            state.refreshes += 1;
            let slow = state.slow;
            (answer(&mut state, refresh), slow)
        };
        match slow {
            true => self.0.go_on.notified().await,
            false => tokio::task::yield_now().await,
        }
        answer
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first_tokens(&self) -> Tokens {
        issue(&mut self.state())
    }

    fn let_expire(&self) {
        self.state().now += LIFETIME;
    }

    /// Whether a service takes this token now.
    fn is_valid(&self, access: &str) -> bool {
        let state = self.state();
        let expires =
            access.strip_prefix("access-").and_then(|expires| expires.parse::<u64>().ok());
        expires.is_some_and(|expires| state.now < expires)
    }
}

fn answer(state: &mut State, refresh: &str) -> Result<Tokens, Refused> {
    if state.down {
        return Err(Refused::Unavailable);
    }
    if state.logged_out || refresh != format!("refresh-{}", state.issued) {
        state.logged_out = true;
        return Err(Refused::LoggedOut);
    }
    Ok(issue(state))
}

fn issue(state: &mut State) -> Tokens {
    state.issued += 1;
    let expires = state.now + LIFETIME;
    Tokens {
        access: format!("access-{expires}"),
        refresh: format!("refresh-{}", state.issued),
        expires,
    }
}

/// What the learner writes.
pub trait Source: Sized + Send + Sync + 'static {
    /// After a login that has brought these tokens.
    fn new(login: Login, tokens: Tokens) -> Self;
    /// An access token that is valid now.
    fn token(&self) -> impl Future<Output = Result<String, Refused>> + Send;
}

fn started<S: Source>() -> (Login, Arc<S>) {
    let login = Login::default();
    let tokens = login.first_tokens();
    (login.clone(), Arc::new(S::new(login, tokens)))
}

/// Asks for a token, which must be valid, and says how many refreshes there were.
async fn valid<S: Source>(login: &Login, source: &S) -> Result<u32, String> {
    let token =
        source.token().await.map_err(|refused| format!("expected a token, got {refused:?}"))?;
    match login.is_valid(&token) {
        true => Ok(login.state().refreshes),
        false => Err(format!("expected a token that is valid now, got {token}, which has expired")),
    }
}

fn expect(what: &str, expected: u32, refreshes: u32) -> Result<(), String> {
    match refreshes == expected {
        true => Ok(()),
        false => Err(format!("{what}: expected refreshes: {expected}, got {refreshes}")),
    }
}

/// Lets all tasks of this runtime go on, until the server was asked.
async fn until_asked(login: &Login) {
    while login.state().refreshes == 0 {
        tokio::task::yield_now().await;
    }
}

/// The trial.
pub async fn check<S: Source>(trial: &mut Trial) {
    trial
        .honest("a valid token is used again, and nobody is asked", async {
            let (login, source) = started::<S>();
            valid(&login, &*source).await?;
            expect("twice within its lifetime", 0, valid(&login, &*source).await?)
        })
        .await;
    trial
        .honest("an expired one is replaced, once for each lifetime", async {
            let (login, source) = started::<S>();
            for lifetime in 1..=3 {
                login.let_expire();
                expect("after it expired", lifetime, valid(&login, &*source).await?)?;
                expect("and right after that", lifetime, valid(&login, &*source).await?)?;
            }
            Ok(())
        })
        .await;
    trial
        .honest("when the login server is down, the next task asks again", async {
            let (login, source) = started::<S>();
            login.let_expire();
            login.state().down = true;
            if source.token().await != Err(Refused::Unavailable) {
                return Err("expected the error Unavailable while it's down".to_owned());
            }
            login.state().down = false;
            expect("when it's up again", 2, valid(&login, &*source).await?)
        })
        .await;
    trial
        .attack(
            "twenty tasks ask at once for the token that has just expired",
            "How many of them look before the first one has refreshed?",
            async {
                let (login, source) = started::<S>();
                login.let_expire();
                login.state().slow = true;
                let begun = Arc::new(AtomicU32::new(0));
                let mut tasks = JoinSet::new();
                for _ in 0..20 {
                    let (login, source, begun) = (login.clone(), source.clone(), begun.clone());
                    tasks.spawn(async move {
                        begun.fetch_add(1, Ordering::SeqCst);
                        valid(&login, &*source).await
                    });
                }
                // All of them have looked before the first answer comes.
                while begun.load(Ordering::SeqCst) < 20 || login.state().refreshes == 0 {
                    tokio::task::yield_now().await;
                }
                for _ in 0..200 {
                    tokio::task::yield_now().await;
                }
                login.state().slow = false;
                login.0.go_on.notify_waiters();
                login.0.go_on.notify_one();
                let failed = tasks.join_all().await.into_iter().find_map(Result::err);
                let refreshes = login.state().refreshes;
                failed.or((refreshes != 1).then(|| format!("{refreshes} refreshes; expected one.")))
            },
        )
        .await;
    trial
        .attack(
            "a task is given up while it refreshes, and the next one asks",
            "The server has taken the refresh token. Where is its answer now?",
            async {
                let (login, source) = started::<S>();
                login.let_expire();
                login.state().slow = true;
                let given_up = source.clone();
                let task = tokio::spawn(async move { given_up.token().await });
                until_asked(&login).await;
                task.abort();
                let _ = task.await;
                login.state().slow = false;
                login.0.go_on.notify_one();
                valid(&login, &*source).await.err().map(|said| format!("The next task: {said}."))
            },
        )
        .await;
    trial
        .attack(
            "the server is slow, and nineteen more tasks lose their patience",
            "Who goes on with the refresh when the one who began it is gone?",
            async {
                let (login, source) = started::<S>();
                login.let_expire();
                login.state().slow = true;
                let mut tasks = JoinSet::new();
                for _ in 0..20 {
                    let source = source.clone();
                    tasks.spawn(async move { source.token().await });
                }
                until_asked(&login).await;
                tasks.shutdown().await;
                login.state().slow = false;
                login.0.go_on.notify_waiters();
                login.0.go_on.notify_one();
                match valid(&login, &*source).await {
                    Ok(1) => None,
                    Ok(refreshes) => Some(format!("{refreshes} refreshes; expected one.")),
                    Err(said) => Some(format!("The next task: {said}.")),
                }
            },
        )
        .await;
}

#[cfg(test)]
mod proof {
    use super::*;

    /// Without a lock: each task looks, and then refreshes.
    struct WithoutALock(Login, Mutex<Tokens>);

    impl Source for WithoutALock {
        fn new(login: Login, tokens: Tokens) -> Self {
            Self(login, Mutex::new(tokens))
        }

        async fn token(&self) -> Result<String, Refused> {
            let known = || self.1.lock().unwrap_or_else(PoisonError::into_inner);
            let tokens = known().clone();
            if self.0.now() < tokens.expires {
                return Ok(tokens.access);
            }
            let fresh = self.0.refresh(&tokens.refresh).await?;
            *known() = fresh.clone();
            Ok(fresh.access)
        }
    }

    #[test]
    fn the_solution_fails_nothing() {
        let failed = trial::failures(async |trial| check::<solution::TokenSource>(trial).await);
        assert_eq!(failed, [""; 0]);
    }

    #[test]
    fn the_naive_answer_loses_what_nobody_waits_for() {
        let failed = trial::failures(async |trial| check::<naive::TokenSource>(trial).await);
        assert_eq!(
            failed,
            [
                "a task is given up while it refreshes, and the next one asks",
                "the server is slow, and nineteen more tasks lose their patience",
            ]
        );
    }

    #[test]
    fn without_a_lock_twenty_tasks_end_the_login() {
        let failed = trial::failures(async |trial| check::<WithoutALock>(trial).await);
        assert_eq!(
            failed,
            [
                "twenty tasks ask at once for the token that has just expired",
                "a task is given up while it refreshes, and the next one asks",
                "the server is slow, and nineteen more tasks lose their patience",
            ]
        );
    }

    #[test]
    fn the_stub_is_unfinished() {
        assert!(trial::is_unfinished(async |trial| check::<stub::TokenSource>(trial).await));
    }
}
