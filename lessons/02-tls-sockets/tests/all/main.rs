//! The tests of this lesson: one executable, so that its suites run side by side.

mod claims;
mod explain;
mod peers;
mod readme;
mod small_loop;
mod transcript;
