//! The exercises of lesson 4: for each, what judges an answer, and the proof that it judges rightly.

#[cfg(test)]
extern crate self as exercises_4;

#[path = "2-one-refresh-at-a-time/check.rs"]
pub mod one_refresh;
#[path = "1-three-doors/check.rs"]
pub mod three_doors;
