//! The answer that most people find first, after the one without any lock, is a lock that is held while the refresh runs. One
//! task refreshes, the others wait, and in every test it works, until a task is canceled in the middle. Its future is
//! dropped, the lock with it, and the answer that was on its way goes nowhere. The next task uses the old refresh token
//! again, and everybody is logged out. It happens once in a thousand cancellations, and nobody can reproduce it.

use exercises_4::one_refresh::{Login, Refused, Source, Tokens};
use tokio::sync::Mutex;

pub struct TokenSource {
    login: Login,
    tokens: Mutex<Tokens>,
}

impl Source for TokenSource {
    fn new(login: Login, tokens: Tokens) -> Self {
        Self { login, tokens: Mutex::new(tokens) }
    }

    async fn token(&self) -> Result<String, Refused> {
        let mut tokens = self.tokens.lock().await;
        if self.login.now() >= tokens.expires {
            *tokens = self.login.refresh(&tokens.refresh).await?;
        }
        Ok(tokens.access.clone())
    }
}
