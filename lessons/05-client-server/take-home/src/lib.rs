//! The sealed mailbox: a server that stores letters which it cannot read, and a client.
//!
//! Built from the take-home libraries of the lessons before: the TLS server of lesson 2, the boxes
//! of lesson 3, the tokens of lesson 4.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`protocol`] | requests and answers |
//! | [`frames`] | frames with limits and deadlines |
//! | [`sealed`] | a letter from end to end |
//! | [`store`] | a durable store with group commit |
//! | [`passwords`] | password hashes off the async threads |
//! | [`attempts`] | failed and good logins, limited |
//! | [`log_budget`] | how many log lines others can cause |
//! | [`tls`] | a certificate that can be replaced |
//! | [`signing_keys`] | token keys in a file |
//! | [`service`] | what the server answers to whom |
//! | [`server`] | the server |
//! | [`client`] | a client: requests, tokens, reconnecting |
//! | [`account`] | a client's account: keys, pinned keys of others, counts |
#![warn(missing_docs)]

pub mod account;
pub mod attempts;
pub mod client;
pub mod frames;
pub mod log_budget;
pub mod passwords;
pub mod protocol;
pub mod sealed;
pub mod server;
pub mod service;
pub mod signing_keys;
pub mod store;
pub mod tls;
