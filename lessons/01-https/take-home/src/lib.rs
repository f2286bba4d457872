//! HTTPS with reqwest, as you would ship it.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`client`] | a client builder whose defaults are safe for an API that you know |
//! | [`body`] | reading an answer with a limit on its size |
#![warn(missing_docs)]

pub mod body;
pub mod client;
