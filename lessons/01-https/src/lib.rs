//! The laboratory of lesson 1: a bank behind HTTPS, and its opponents.

pub mod lab;
