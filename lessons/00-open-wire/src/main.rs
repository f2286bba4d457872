//! Lesson 0: the open wire.

mod parts;
mod serve;

use std::process::ExitCode;

use shared::Lesson;

fn main() -> ExitCode {
    Lesson::new(0, "The open wire")
        .part("listen", "a tap reads the password", 5, parts::listen::run)
        .part(
            "tamper",
            "the wire changes the payee, and both ends are satisfied",
            5,
            parts::tamper::run,
        )
        .part("replay", "the same bytes, sent again, pay again", 5, parts::replay::run)
        .part("impersonate", "a false server takes the password", 5, parts::impersonate::run)
        .part(
            "map",
            "the same four attacks against TLS, and which lesson gives what",
            12,
            parts::map::run,
        )
        .option("pcap", "FILE", "listen", "write what the tap saw to this new file, for Wireshark")
        .server(serve::run)
        .main()
}
