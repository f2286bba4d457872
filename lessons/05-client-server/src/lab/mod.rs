//! The stage of the lesson, and its opponents. Nothing in here is to be taken home.

pub mod careless;
pub mod child;
pub mod log;
pub mod spy;
pub mod stage;
pub mod stranger;
pub mod token;
