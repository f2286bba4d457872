//! The tests of this crate: one executable.

mod vectors;
