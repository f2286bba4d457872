//! Exercise 3.1: write `forge`.

use exercises_3::two_tickets::Ticket;

/// A ticket that says `mallory:manager `, made from those that were sold; none if no two of them have one nonce.
pub fn forge(tickets: &[Ticket]) -> Option<Ticket> {
    todo!()
}
