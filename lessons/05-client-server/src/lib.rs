//! The laboratory of lesson 5, and its two programs.

pub mod lab;
pub mod programs;
