//! TLS sockets with tokio-rustls, as you would run them.
//!
//! | module | what you take home |
//! | --- | --- |
//! | [`identity`] | a certificate chain and its key from PEM files, with checked permissions |
//! | [`config`] | TLS 1.3 for a server and a client, with a protocol that both check |
//! | [`server`] | an accept loop with limits, deadlines and a clean shutdown |
//! | [`stream`] | connecting under a deadline, and closing so that nothing is lost |
//!
//! [`echo`] is the service of this lesson. [`lab`] holds what looks at connections and what
//! attacks them; nothing in there is to be taken home.

pub mod config;
pub mod echo;
pub mod identity;
pub mod lab;
pub mod server;
pub mod stream;
