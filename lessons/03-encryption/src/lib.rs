//! The laboratory of lesson 3: what attacks sealed messages.

pub mod lab;
