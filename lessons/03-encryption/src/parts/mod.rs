//! The parts of this lesson, in the order of its chapter.

pub mod bind;
pub mod nonce_reuse;
pub mod password;
pub mod public_key;
pub mod rotate;
pub mod seal;
pub mod sign;
pub mod stream;
pub mod tamper;

use std::fmt::Write;

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
