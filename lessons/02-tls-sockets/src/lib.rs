//! The laboratory of lesson 2: what looks at connections, and what attacks them.

pub mod lab;
