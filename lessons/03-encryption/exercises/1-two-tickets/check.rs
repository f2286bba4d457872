//! A cinema whose nonces start again after a crash, and one that has a `Sealer`.

use careful_encryption::context::Context;
use careful_encryption::sealing::{KeyId, Sealer, SecretKey};
use encryption::lab::careless;
use encryption::lab::gcm::OneBlock;
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

/// What travels.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    /// The number under which it was sealed.
    pub nonce: [u8; 12],
    /// Its ciphertext and its tag.
    pub sealed: OneBlock,
    /// Its text, if you bought it.
    pub text: Option<[u8; 16]>,
}

/// What the learner writes.
pub type Forge = fn(&[Ticket]) -> Option<Ticket>;

const WANTED: [u8; 16] = *b"mallory:manager ";
const OWN: [u8; 16] = *b"mallory:seat 12 ";

/// A cinema that counts its nonces.
struct Cinema {
    key: [u8; 32],
}

impl Cinema {
    fn new(key: u8) -> Self {
        Self { key: [key; 32] }
    }

    /// A ticket under this number; `text` is known if it's the learner's own.
    fn sell(&self, number: u8, text: [u8; 16]) -> Ticket {
        let mut nonce = [0; 12];
        nonce[11] = number;
        let sealed = careless::seal(&self.key, &nonce, &text).unwrap_or_default();
        let sealed = OneBlock::new(&sealed).expect("one block");
        Ticket { nonce, sealed, text: (text == OWN).then_some(text) }
    }

    fn sell_all<const N: usize>(&self, sold: [(u8, [u8; 16]); N]) -> Vec<Ticket> {
        sold.map(|(number, text)| self.sell(number, text)).to_vec()
    }

    /// What stands in a ticket that the cinema takes.
    fn opens(&self, ticket: &Ticket) -> Option<Vec<u8>> {
        let sealed = [ticket.sealed.ciphertext.bytes(), ticket.sealed.tag.bytes()].concat();
        careless::open(&self.key, &ticket.nonce, &sealed).ok()
    }

    fn takes(&self, forged: Option<Ticket>) -> Result<(), String> {
        let forged = forged.ok_or("expected a ticket, got None")?;
        match self.opens(&forged) {
            Some(text) if text == WANTED => Ok(()),
            Some(text) => Err(format!("it opens, and says \"{}\"", text.escape_ascii())),
            None => Err("the cinema refuses it, because the tag is not valid".to_owned()),
        }
    }
}

/// The trial.
pub async fn check(trial: &mut Trial, forge: Forge) {
    trial
        .goal(
            "the cinema takes your ticket, after a crash between two tickets of others",
            async move {
                let cinema = Cinema::new(31);
                let tickets = cinema.sell_all([
                    (1, *b"alice:seat 3    "),
                    (2, *b"bob:seat 4      "),
                    (3, OWN),
                    (4, *b"carol:seat 5    "),
                    (2, *b"dave:seat 6     "),
                    (5, *b"erin:seat 7     "),
                ]);
                cinema.takes(forge(&tickets))
            },
        )
        .await;
    trial
        .goal("and after a crash that hit your own, the last of them", async move {
            let cinema = Cinema::new(32);
            let tickets = cinema.sell_all([
                (7, *b"alice:seat 3    "),
                (8, *b"bob:seat 4      "),
                (9, *b"carol:seat 5    "),
                (8, OWN),
            ]);
            cinema.takes(forge(&tickets))
        })
        .await;
    trial
        .goal("one ticket that is seen twice is no pair", async move {
            let cinema = Cinema::new(33);
            let tickets = cinema.sell_all([
                (1, *b"alice:seat 3    "),
                (1, *b"alice:seat 3    "),
                (2, OWN),
                (3, *b"bob:seat 4      "),
                (3, *b"carol:seat 5    "),
            ]);
            cinema.takes(forge(&tickets))
        })
        .await;
    trial
        .goal("from a hundred tickets of a Sealer you forge nothing, and say so", async move {
            let sealer = Sealer::new(KeyId(*b"cinema-1"), &SecretKey::random());
            let ticket = |number: u8| {
                let text = if number == 0 { OWN } else { *b"somebody:seat 3 " };
                let message = sealer.seal(&Context::new("ticket"), &text).unwrap_or_default();
                let nonce = message.get(9..21).and_then(|nonce| nonce.try_into().ok());
                Some(Ticket {
                    nonce: nonce?,
                    sealed: OneBlock::new(message.get(21..)?)?,
                    text: (number == 0).then_some(text),
                })
            };
            let tickets: Vec<Ticket> = (0..100).filter_map(ticket).collect();
            match forge(&tickets) {
                None => Ok(()),
                Some(_) => {
                    Err("expected None, because no two nonces are equal, got a ticket".to_owned())
                }
            }
        })
        .await;
}

#[cfg(test)]
mod proof {
    use super::*;

    #[test]
    fn the_solution_fails_nothing() {
        assert_eq!(trial::failures(async |trial| check(trial, solution::forge).await), [""; 0]);
    }

    #[test]
    fn the_naive_answer_fails_all_that_the_chapter_did_not_make_so() {
        let failed = trial::failures(async |trial| check(trial, naive::forge).await);
        assert_eq!(
            failed,
            [
                "the cinema takes your ticket, after a crash between two tickets of others",
                "and after a crash that hit your own, the last of them",
                "one ticket that is seen twice is no pair",
                "from a hundred tickets of a Sealer you forge nothing, and say so",
            ]
        );
    }

    #[test]
    fn the_stub_is_unfinished() {
        assert!(trial::is_unfinished(async |trial| check(trial, stub::forge).await));
    }
}
