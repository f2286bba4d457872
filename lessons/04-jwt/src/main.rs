//! Lesson 4: tokens.

mod parts;

use std::process::ExitCode;

use shared::Lesson;

fn main() -> ExitCode {
    Lesson::new(4, "Authentication with tokens")
        .part("issue", "a token, byte by byte", parts::issue::run)
        .part("verify", "34 tokens, two verifiers: where they differ", parts::verify::run)
        .part("none", "a token that says it is unsigned", parts::none::run)
        .part("confusion", "a public key, taken for a secret", parts::confusion::run)
        .part("weak-secret", "a secret that can be guessed", parts::weak_secret::run)
        .part("kid", "a key id that leads to the attacker's key", parts::kid::run)
        .part("wrong-audience", "a genuine token, in the wrong place", parts::wrong_audience::run)
        .part("rotate", "a new key, while tokens are on their way", parts::rotate::run)
        .part("revoke", "to end what was issued", parts::revoke::run)
        .part("bearer", "a token on the network, and a stolen one", parts::bearer::run)
        .main()
}
