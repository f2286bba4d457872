//! Certificates, CA files and private keys in PEM, read strictly.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`Container`] | what people take for PEM, and what to do with it |
//! | [`leaf`] | what a server's certificate says: names, serial number, dates |
//! | [`pem`] | certificates and a private key in PEM: no section is skipped without an error |
//! | [`roots`] | the CA certificates that a client trusts, from a file |
#![warn(missing_docs)]

mod container;
pub mod leaf;
pub mod pem;
pub mod roots;

pub use container::Container;
