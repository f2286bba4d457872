//! The tests of this lesson: one executable, so that its suites run side by side.

mod claims;
mod peers;
mod readme;
mod small_loop;
mod transcript;
