//! Lesson 2: TLS sockets.

mod parts;
mod serve;

use std::process::ExitCode;

use shared::Lesson;

fn main() -> ExitCode {
    Lesson::new(2, "TLS sockets")
        .part(
            "certificates",
            "root, intermediate, leaf, field by field",
            12,
            parts::certificates::run,
        )
        .part("connect", "a server and a client of your own", 15, parts::connect::run)
        .part("wire", "the handshake, record by record, in TLS 1.3 and 1.2", 15, parts::wire::run)
        .part("errors", "every failure, as both sides see it", 15, parts::errors::run)
        .part("truncate", "a message cut short, and close_notify", 10, parts::truncate::run)
        .part("downgrade", "an attacker who wants TLS 1.2", 10, parts::downgrade::run)
        .part("resume", "tickets, and why 0-RTT stays off", 13, parts::resume::run)
        .server(serve::run)
        .with_key_log()
        .main()
}
