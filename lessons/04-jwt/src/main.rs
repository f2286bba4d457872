//! Lesson 4: tokens.

mod parts;

use std::process::ExitCode;

use shared::Lesson;

fn main() -> ExitCode {
    Lesson::new(4, "Authentication with tokens")
        .part("issue", "a token, byte by byte", 8, parts::issue::run)
        .part("verify", "34 tokens, two verifiers: where they differ", 18, parts::verify::run)
        .part("none", "a token that says it is unsigned", 4, parts::none::run)
        .part("confusion", "a public key, taken for a secret", 8, parts::confusion::run)
        .part("weak-secret", "a secret that can be guessed", 6, parts::weak_secret::run)
        .part("kid", "a key id that leads to the attacker's key", 8, parts::kid::run)
        .part(
            "wrong-audience",
            "a genuine token, in the wrong place",
            8,
            parts::wrong_audience::run,
        )
        .part("rotate", "a new key, while tokens are on their way", 10, parts::rotate::run)
        .part("revoke", "to end what was issued", 10, parts::revoke::run)
        .part("bearer", "a token on the network, and a stolen one", 10, parts::bearer::run)
        .main()
}
