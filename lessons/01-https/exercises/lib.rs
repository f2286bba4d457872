//! The exercises of lesson 1: for each, what judges an answer, and the proof that it judges rightly.

#[cfg(test)]
extern crate self as exercises_1;

#[path = "1-not-off-the-premises/check.rs"]
pub mod premises;
#[path = "2-once-more-but-not-twice/check.rs"]
pub mod retry;
