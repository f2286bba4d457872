//! A lock allows one refresh at a time, and a task that nobody drops runs it to its end.

use std::sync::Arc;

use exercises_4::one_refresh::{Login, Refused, Source, Tokens};
use tokio::sync::Mutex;

pub struct TokenSource {
    login: Login,
    tokens: Arc<Mutex<Tokens>>,
}

impl Source for TokenSource {
    fn new(login: Login, tokens: Tokens) -> Self {
        Self { login, tokens: Arc::new(Mutex::new(tokens)) }
    }

    async fn token(&self) -> Result<String, Refused> {
        let (login, tokens) = (self.login.clone(), self.tokens.clone());
        let fresh = tokio::spawn(async move {
            let mut tokens = tokens.lock().await;
            if login.now() >= tokens.expires {
                *tokens = login.refresh(&tokens.refresh).await?;
            }
            Ok(tokens.access.clone())
        });
        fresh.await.unwrap_or(Err(Refused::Unavailable))
    }
}
