//! The tests of this lesson: one executable, so that its suites run side by side.

mod cancelled;
mod claims;
mod common;
mod fairness;
mod fate;
mod fuzz_corpus;
mod letters;
mod opponents;
mod peers;
mod process;
mod programs;
mod protocol;
mod readme;
mod recovery;
mod transcript;
