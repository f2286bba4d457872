//! The exercises of lesson 3: for each, what judges an answer, and the proof that it judges rightly.
//!
//! An answer that fails here is not a learner's: `yours.rs` belongs to the programs alone.

#[cfg(test)]
extern crate self as exercises_3;

#[path = "3-a-count-that-survives/check.rs"]
pub mod count;
#[path = "1-two-tickets/check.rs"]
pub mod two_tickets;
#[path = "2-where-it-belongs/check.rs"]
pub mod where_it_belongs;
