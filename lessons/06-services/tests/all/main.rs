//! The tests of this lesson: one executable, so that its suites run side by side.

mod acme;
mod claims;
mod hostile_bytes;
mod peers;
mod readme;
mod renewer;
mod token;
mod transcript;
