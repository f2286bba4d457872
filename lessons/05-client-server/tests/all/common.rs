//! What the tests of this lesson have in common.

use std::error::Error;

use careful_encryption::password::Cost;
use careful_mailbox::client::{Client, ClientError};
use careful_mailbox::protocol::{Name, Refusal, Request, Response, Secret};
use mailbox::lab::stage::{Person, StageOptions};

pub type TestResult = Result<(), Box<dyn Error>>;

/// A stage whose passwords cost next to nothing, for tests that have nothing to do with that cost.
pub fn quick() -> StageOptions {
    StageOptions { cost: Cost { memory: 64, passes: 1, lanes: 1 }, ..StageOptions::default() }
}

pub fn name(name: &str) -> Name {
    Name::new(name).expect("a name")
}

pub fn refusal<T>(answer: Result<T, ClientError>) -> Option<Refusal> {
    match answer {
        Err(ClientError::Refused { because, .. }) => Some(because),
        _ => None,
    }
}

/// The tokens of a login: to use, and to refresh.
pub async fn tokens(client: &mut Client, of: &Person) -> Result<(Secret, Secret), Box<dyn Error>> {
    let (name, password) = (of.account.name().clone(), of.account.password());
    match client.call(&Request::LogIn { name, password }).await? {
        Response::Tokens { access, refresh, .. } => Ok((access, refresh)),
        _ => Err("tokens".into()),
    }
}
