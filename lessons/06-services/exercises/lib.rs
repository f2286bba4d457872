//! The exercises of lesson 6: for each, what judges an answer, and the proof that it judges
//! rightly.

#[cfg(test)]
extern crate self as exercises_6;

#[path = "3-what-a-request-decides/check.rs"]
pub mod issuing;
#[path = "2-a-list-that-counts/check.rs"]
pub mod reload;
#[path = "1-who-may-charge/check.rs"]
pub mod rules;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
