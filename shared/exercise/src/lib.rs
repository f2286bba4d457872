//! `cargo exercise`: the list, a trial, hints, the solution, and the learner's progress.
//!
//! An exercise is a folder `lessons/NN-…/exercises/M-name`, and its number is `N.M`. Nothing lists them elsewhere.

pub mod agenda;
pub mod catalog;
pub mod progress;

pub use catalog::{Exercise, find};
pub use progress::{Progress, Record};
