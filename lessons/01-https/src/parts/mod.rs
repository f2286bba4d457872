//! The parts of this lesson, in the order of its chapter.

pub mod get;
pub mod mitm;
pub mod names;
pub mod patience;
pub mod redirect;
pub mod trust;
pub mod versions;
