//! The answer that most people find first does what the chapter does. It assumes that the first two tickets are the pair, and
//! that one of them is your own. In the chapter's transcript both were true, because the lesson made them so. In the cinema,
//! the crash may have happened anywhere, and chance decides whose tickets share a nonce. It also never asks whether there is
//! a pair at all, so against a `Sealer` it "forges" something that nobody accepts.

use encryption::lab::gcm::{self, OneBlock, hash_key};
use exercises_3::two_tickets::Ticket;

pub fn forge(tickets: &[Ticket]) -> Option<Ticket> {
    let [first, second, ..] = tickets else { return None };
    let h = hash_key(&first.sealed, &second.sealed);
    let text = first.text.or(second.text)?;
    let forged = gcm::forge(&first.sealed, text, *b"mallory:manager ", h);
    Some(Ticket { nonce: first.nonce, sealed: OneBlock::new(&forged)?, text: None })
}
