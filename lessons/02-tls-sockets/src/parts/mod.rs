//! The parts of this lesson, in the order of its chapter.

pub mod bytes;
pub mod capture;
pub mod certificates;
pub mod connect;
pub mod downgrade;
pub mod errors;
pub mod resume;
pub mod truncate;
pub mod wire;
