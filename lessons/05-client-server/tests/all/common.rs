//! What the tests of this lesson have in common.

use std::error::Error;
use std::sync::Arc;

use careful_encryption::password::Cost;
use careful_mailbox::client::{Client, ClientError};
use careful_mailbox::protocol::{Name, Refusal, Request, Response, Secret};
use mailbox::lab::spy::{Spy, Tamper};
use mailbox::lab::stage::{Person, Stage, StageOptions, endpoint};

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

/// The same person at a server that does what it is asked, and for these requests doesn't say so.
pub async fn silent_about(
    stage: &Stage,
    person: Person,
    what: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> Result<(Spy, Person), Box<dyn Error>> {
    let tamper: Tamper = Arc::new(move |request, answer| match what(request) {
        true => Response::Refused { because: Refusal::Unavailable, request: String::new() },
        false => answer,
    });
    let spy = Spy::before(stage, tamper).await?;
    let person = person.at(endpoint(&stage.ca, spy.address())?)?;
    Ok((spy, person))
}
