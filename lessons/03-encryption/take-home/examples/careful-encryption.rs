use std::error::Error;

use careful_encryption::context::Context;
use careful_encryption::sealing::{KeyId, Sealer, SecretKey};

fn main() -> Result<(), Box<dyn Error>> {
    let sealer = Sealer::new(KeyId::random(), &SecretKey::random());
    // The message opens for this context and for no other.
    let context = Context::new("a note").with("alice");
    let message = sealer.seal(&context, b"lunch at one?")?;
    assert_eq!(sealer.open(&context, &message)?, b"lunch at one?");
    Ok(())
}
