//! The laboratory of lesson 4: a bank that takes tokens, and what attacks them.

pub mod lab;
