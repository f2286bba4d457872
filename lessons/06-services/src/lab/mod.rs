//! Services of a bank, those who attack them, and what makes their certificates.

pub mod careless;
pub mod client;
pub mod pki;
pub mod proxy;
pub mod service;

/// The services of the bank, by their identities.
pub const CHECKOUT: &str = "spiffe://bank.test/checkout";
pub const PHOTOS: &str = "spiffe://bank.test/photos";
pub const LEDGER: &str = "spiffe://bank.test/ledger";
pub const GATEWAY: &str = "spiffe://bank.test/gateway";

/// The name under which others connect to the ledger.
pub const LEDGER_NAME: &str = "ledger.bank.test";
