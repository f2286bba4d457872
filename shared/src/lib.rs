//! What every lesson stands on, small enough to read in half an hour.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`lesson`] | the command line of a lesson: its parts, `--list`, `--pause` |
//! | [`transcript`] | the narrator, whose verbs check the claims that they print |
//! | [`ca`] | a certificate authority made at run time, and every bad certificate by builder |
//! | [`loopback`] | the accept loop of every server and relay |
//! | [`wiretap`] | a relay between client and server that records, or attacks |
//! | [`tls_records`] | what an eavesdropper can read in recorded TLS |
//! | [`crypto_provider`](mod@crypto_provider) | the one place that chooses the cryptography |
//!
//! This crate is the laboratory: it makes keys, records secrets and attacks connections.
//! What a product can use is in the libraries of the lessons.

pub mod ca;
pub mod crypto_provider;
pub mod lesson;
pub mod loopback;
pub mod pcapng;
pub mod tls_records;
pub mod transcript;
pub mod wiretap;

pub use ca::{Identity, LabCa};
pub use crypto_provider::crypto_provider;
pub use lesson::Lesson;
pub use loopback::{ClosedPort, LoopbackServer};
pub use rcgen::CertificateRevocationList;
pub use transcript::Transcript;
pub use wiretap::{Direction, Wiretap};
