//! The parts of this lesson, in the order of its chapter.

pub mod header;
pub mod identity;
pub mod issue;
pub mod mutual;
pub mod one_silent_client;
pub mod renew;
pub mod replace_ca;
pub mod revoke;
