//! Three doors, what Mallory has, and the take-home verifier, which must refuse her.

use careful_tokens::clock::Clock;
use careful_tokens::jwks::KeySet;
use careful_tokens::keys::{KeyId, SigningKey};
use careful_tokens::verifier::Verifier;
use jwt::lab::forge;
use jwt::lab::stage::{AUDIENCE, ISSUER, NOW, Scope, profile};
use serde_json::json;
use trial::Trial;

#[path = "doors.rs"]
mod doors;
#[cfg(test)]
#[path = "naive.rs"]
mod naive;
#[cfg(test)]
#[path = "solution.rs"]
mod solution;
#[cfg(test)]
#[path = "stub.rs"]
mod stub;

use doors::Doors;

const WEBHOOKS: [u8; 32] = [0x91; 32];
const BANK: [u8; 32] = [0xb4; 32];

/// What Mallory has.
pub struct Mallory {
    /// Her own token for the bank, which is genuine.
    pub token: String,
    /// The secret with which webhooks are signed. Partners have it.
    pub webhooks: [u8; 32],
}

/// What the learner writes.
pub type Forge = fn(u8, &Mallory) -> String;

impl Mallory {
    fn new() -> Self {
        Self { token: issued("mallory", AUDIENCE), webhooks: WEBHOOKS }
    }

    /// Opens her shop at this address, and waits until Alice logs in there with the bank's login. What the shop receives
    /// is a genuine token about Alice, for the shop. The bank's login knows its own services, and doesn't let her
    /// pose as one of them.
    pub fn alice_logs_in_at(&self, address: &str) -> Result<String, String> {
        let rest = address.strip_prefix("https://");
        let rest =
            rest.ok_or(format!("expected an address that begins with https://, got {address}"))?;
        let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
        let is_the_banks = host == "bank.test" || host.ends_with(".bank.test");
        match is_the_banks {
            true => Err(format!("{host} is the bank's own: your shop is not reached there")),
            false => Ok(issued("alice", address)),
        }
    }
}

/// What the bank's login issues.
fn issued(subject: &str, audience: &str) -> String {
    let header = json!({ "typ": "at+jwt", "alg": "HS256", "kid": "2026-11" });
    let claims = json!({
        "iss": ISSUER, "sub": subject, "aud": audience, "exp": NOW + 300, "iat": NOW,
        "jti": format!("{subject}-1"), "scope": "read",
    });
    forge::hs256(&BANK, &forge::unsigned(&header, &claims))
}

fn doors() -> Doors {
    Doors { keys: [("webhooks", WEBHOOKS), ("2026-11", BANK)], audience: AUDIENCE }
}

fn verifier() -> Option<Verifier> {
    let key = SigningKey::hs256(KeyId::new("2026-11").ok()?, &BANK).ok()?;
    let keys = KeySet::new([key.verifying()]).ok()?;
    Some(Verifier::new(profile().ok()?, keys, Clock::settable(NOW)))
}

fn opened(forge: Forge, door: u8) -> Result<(), String> {
    let (doors, mallory) = (doors(), Mallory::new());
    let token = forge(door, &mallory);
    let who = match door {
        1 => doors.door_1(&token),
        2 => doors.door_2(&token),
        _ => doors.door_3(&token),
    };
    match who.as_deref() {
        Some("alice") => {}
        Some(other) => return Err(format!("it opens, and takes you for {other}")),
        None => return Err("it stays closed".to_owned()),
    }
    let verifier = verifier().ok_or("the lab has no verifier")?;
    match verifier.verify::<Scope>(&token) {
        Err(_refused) => Ok(()),
        Ok(_) => {
            Err("the take-home verifier takes it, too: that is a fault of the course".to_owned())
        }
    }
}

/// The trial.
pub async fn check(trial: &mut Trial, forge: Forge) {
    trial.goal("door 1 takes you for Alice", async move { opened(forge, 1) }).await;
    trial.goal("door 2 takes you for Alice", async move { opened(forge, 2) }).await;
    trial.goal("door 3 takes you for Alice", async move { opened(forge, 3) }).await;
}

#[cfg(test)]
mod proof {
    use super::*;

    #[test]
    fn the_solution_fails_nothing() {
        assert_eq!(trial::failures(async |trial| check(trial, solution::forge).await), [""; 0]);
    }

    #[test]
    fn the_naive_answer_opens_no_door() {
        let failed = trial::failures(async |trial| check(trial, naive::forge).await);
        let all = [
            "door 1 takes you for Alice",
            "door 2 takes you for Alice",
            "door 3 takes you for Alice",
        ];
        assert_eq!(failed, all);
    }

    #[test]
    fn the_stub_is_unfinished() {
        assert!(trial::is_unfinished(async |trial| check(trial, stub::forge).await));
    }

    #[test]
    fn the_doors_open_for_their_own_users_and_the_verifier_does() {
        let (doors, alice) = (doors(), issued("alice", AUDIENCE));
        for door in [Doors::door_1, Doors::door_2, Doors::door_3] {
            assert_eq!(door(&doors, &alice).as_deref(), Some("alice"));
        }
        assert!(verifier().expect("a verifier").verify::<Scope>(&alice).is_ok());
        let mallory = Mallory::new();
        for own in [
            "https://bank.test",
            "https://accounts.bank.test/shop",
            "https://accounts.bank.test:9",
            "http://x.test",
        ] {
            assert!(mallory.alice_logs_in_at(own).is_err(), "{own}");
        }
    }
}
