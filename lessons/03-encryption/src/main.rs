//! Lesson 3: data encryption.

mod parts;

use std::process::ExitCode;

use shared::Lesson;

fn main() -> ExitCode {
    Lesson::new(3, "Data encryption")
        .part("seal", "a sealed message, byte by byte", 12, parts::seal::run)
        .part("bind", "a message that opens in one place only", 10, parts::bind::run)
        .part("tamper", "a change without the key, and what notices it", 8, parts::tamper::run)
        .part("nonce-reuse", "one nonce, used twice", 20, parts::nonce_reuse::run)
        .part("password", "a key from a password", 12, parts::password::run)
        .part("stream", "a file larger than memory", 14, parts::stream::run)
        .part("rotate", "a new key, and the old messages", 16, parts::rotate::run)
        .part("public-key", "for somebody whose public key you have", 14, parts::public_key::run)
        .part("sign", "who said it", 14, parts::sign::run)
        .main()
}
