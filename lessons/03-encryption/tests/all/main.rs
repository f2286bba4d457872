//! The tests of this lesson: one executable, so that its suites run side by side.

mod attacks;
mod memory;
mod peers;
mod readme;
mod transcript;
mod vectors;
