//! The laboratory of lesson 0: a payment server on an open wire, which exists to be attacked.

pub mod lab;
