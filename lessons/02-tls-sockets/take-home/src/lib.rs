//! TLS sockets with tokio-rustls, as you would run them.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`provider`] | the one place that chooses the cryptography |
//! | [`identity`] | a certificate chain and its key from PEM files, with checked permissions |
//! | [`config`] | TLS 1.3 for a server and a client, with a protocol that both check |
//! | [`server`] | an accept loop with limits, deadlines and a clean shutdown |
//! | [`stream`] | connecting under a deadline, and closing so that nothing is lost |
#![warn(missing_docs)]

pub mod config;
pub mod identity;
pub mod provider;
pub mod server;
pub mod stream;
