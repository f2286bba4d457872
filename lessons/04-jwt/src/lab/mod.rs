//! What attacks tokens, and who falls for it. Nothing in here is to be taken home.

pub mod careless;
pub mod cases;
pub mod dictionary;
pub mod forge;
pub mod mutual;
pub mod service;
pub mod stage;
pub mod web;
