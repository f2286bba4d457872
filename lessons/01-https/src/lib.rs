//! HTTPS with reqwest, as you would ship it.
//!
//! | module | what you take home |
//! | --- | --- |
//! | [`client`] | a client builder with every default of this lesson set |
//! | [`roots`] | a loader of CA certificates that fails on empty and broken files |
//! | [`pem`] | certificates in PEM, read strictly |
//! | [`body`] | reading an answer with a limit on its size |
//! | [`ErrorChain`] | an error with all its causes |
//! | [`server`] | a small HTTPS server with limits and deadlines; lesson 2 makes it a product's |
//!
//! [`bank`] is the service that the lesson talks to. [`lab`] holds the opponents:
//! interceptors, servers that stall and servers that send you elsewhere. Nothing in there
//! is to be taken home.

pub mod bank;
pub mod body;
pub mod client;
pub mod lab;
pub mod pem;
pub mod roots;
pub mod server;

pub use shared::ErrorChain;
