//! The tests of this crate: one executable.

mod claims;
mod vectors;
