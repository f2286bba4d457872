//! Exercise 4.2: write `TokenSource`.

use exercises_4::one_refresh::{Login, Refused, Source, Tokens};

pub struct TokenSource {
    // Yours to choose.
}

impl Source for TokenSource {
    /// After a login that has brought these tokens.
    fn new(login: Login, tokens: Tokens) -> Self {
        todo!()
    }

    /// An access token that is valid now.
    async fn token(&self) -> Result<String, Refused> {
        todo!()
    }
}
