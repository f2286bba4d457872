//! A payment server on an open wire. The lessons after this one replace it piece by piece.
//!
//! | module | what it is | replaced by |
//! | --- | --- | --- |
//! | [`ledger`] | accounts and payments, passwords as plain text | lesson 5: Argon2id |
//! | [`client`] | the client's side of the protocol | lesson 1: HTTPS |
//! | [`bank`] | the bank, and the false one | lesson 5 |
//! | [`service`] | a service of text lines, over plain TCP or over TLS | lesson 2 |
//! | [`tls`] | the smallest TLS set-up, for the last part | lesson 2 |

pub mod bank;
pub mod client;
pub mod ledger;
pub mod service;
pub mod tls;
