//! Lesson 0: the open wire.

mod parts;
mod serve;

use std::process::ExitCode;

use shared::Lesson;

fn main() -> ExitCode {
    Lesson::new(0, "The open wire")
        .part("listen", "a tap reads the password", parts::listen::run)
        .part(
            "tamper",
            "the wire changes the payee, and both ends are satisfied",
            parts::tamper::run,
        )
        .part("replay", "the same bytes, sent again, pay again", parts::replay::run)
        .part("impersonate", "a false server takes the password", parts::impersonate::run)
        .part(
            "map",
            "the same four attacks against TLS, and which lesson gives what",
            parts::map::run,
        )
        .server(serve::run)
        .main()
}
