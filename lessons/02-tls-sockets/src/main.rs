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
        .part(
            "bytes",
            "every byte of a handshake, decrypted, with its meaning",
            15,
            parts::bytes::run,
        )
        .part("capture", "a file that Wireshark opens, decrypted", 5, parts::capture::run)
        .part("errors", "every failure, as both sides see it", 15, parts::errors::run)
        .part("truncate", "a message cut short, and close_notify", 10, parts::truncate::run)
        .part("downgrade", "an attacker who wants TLS 1.2", 10, parts::downgrade::run)
        .part("resume", "tickets, and why 0-RTT stays off", 13, parts::resume::run)
        .option("message", "NAME", "bytes", "explain this message alone, by its name or number")
        .option("html", "FILE", "bytes", "write the explanation to this new file, as a page")
        .option("recording", "FILE", "bytes", "explain this recording, instead of a new connection")
        .option(
            "save",
            "FILE",
            "bytes",
            "save the connection to this new file, to be explained again",
        )
        .option("pcap", "FILE", "capture", "write the capture to this new file")
        .server(serve::run)
        .with_key_log()
        .main()
}
