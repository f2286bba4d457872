//! A small issuer of short-lived certificates for services.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`request`] | a certificate request (CSR), made and checked: it proves who has the key, and decides nothing else |
//! | [`enrollment`] | one-time tokens, by which a new service gets its first certificate |
//! | [`issuer`] | certificates whose name, purpose and life the issuer decides; revocation lists |
#![warn(missing_docs)]

pub mod enrollment;
pub mod issuer;
pub mod request;
