//! What attacks sealed messages. Nothing in here is to be taken home.

pub mod careless;
pub mod gcm;
