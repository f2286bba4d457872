//! Lesson 3: data encryption.

mod parts;

use std::process::ExitCode;

use shared::Lesson;

fn main() -> ExitCode {
    Lesson::new(3, "Data encryption")
        .part("seal", "a sealed message, byte by byte", parts::seal::run)
        .part("bind", "a message that opens in one place only", parts::bind::run)
        .part("tamper", "a change without the key, and what notices it", parts::tamper::run)
        .part(
            "nonce-reuse",
            "one nonce, twice: texts are read, and forged",
            parts::nonce_reuse::run,
        )
        .part("password", "a key from a password", parts::password::run)
        .part("stream", "a file larger than memory", parts::stream::run)
        .part("rotate", "a new key, and the old messages", parts::rotate::run)
        .part("public-key", "for somebody whose public key you have", parts::public_key::run)
        .part("sign", "who said it", parts::sign::run)
        .main()
}
