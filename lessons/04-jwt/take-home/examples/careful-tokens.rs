use std::error::Error;

use careful_tokens::claims::NoMore;
use careful_tokens::clock::Clock;
use careful_tokens::issuer::Issuer;
use careful_tokens::jwks::KeySet;
use careful_tokens::keys::{KeyId, SigningKey};
use careful_tokens::profile::{Profile, TokenType};
use careful_tokens::verifier::Verifier;

fn main() -> Result<(), Box<dyn Error>> {
    let profile =
        Profile::new("https://login.bank.test", "https://accounts.bank.test", TokenType::ACCESS)?;
    let key = SigningKey::ed25519(KeyId::new("2026-11")?)?;
    let verifier = Verifier::new(profile.clone(), KeySet::new([key.verifying()])?, Clock::system());
    let token = Issuer::new(profile, key, Clock::system()).issue("alice", &NoMore {})?;
    let claims = verifier.verify::<NoMore>(token.expose())?;
    assert_eq!(claims.sub, "alice");
    Ok(())
}
