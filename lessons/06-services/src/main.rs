//! Lesson 6: services that know each other.

mod parts;

use std::process::ExitCode;

use shared::Lesson;

fn main() -> ExitCode {
    Lesson::new(6, "Services that know each other")
        .part("mutual", "two certificates, and what each side says", 15, parts::mutual::run)
        .part("identity", "which service is calling", 15, parts::identity::run)
        .part("header", "an identity in a header, behind a proxy", 12, parts::header::run)
        .part("issue", "a request that proves a key and nothing else", 12, parts::issue::run)
        .part("renew", "short lives, renewed while everything runs", 20, parts::renew::run)
        .part("revoke", "a stolen key, and what it still opens", 15, parts::revoke::run)
        .part("replace-ca", "a new root, in the right order", 10, parts::replace_ca::run)
        .part(
            "one-silent-client",
            "a handshake in the wrong place",
            8,
            parts::one_silent_client::run,
        )
        .main()
}
