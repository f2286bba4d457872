//! Certificates, CA files and private keys in PEM, read strictly.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`leaf`] | what a server's certificate says: names, serial number, dates |
//! | [`pem`] | certificates and a private key in PEM: no section is skipped without an error |
//! | [`roots`] | the CA certificates that a client trusts, from a file |
#![warn(missing_docs)]

pub mod leaf;
pub mod pem;
pub mod roots;
