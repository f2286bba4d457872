//! The tests of this lesson: one executable, so that its suites run side by side.

mod claims;
mod memory;
mod peers;
mod transcript;
mod vectors;
