//! Lesson 1: HTTPS with reqwest.

mod parts;
mod serve;

use std::process::ExitCode;

use shared::Lesson;

fn main() -> ExitCode {
    Lesson::new(1, "HTTPS with reqwest")
        .part("get", "a request, and what the wire saw of it", 8, parts::get::run)
        .part("trust", "whose certificates you accept", 12, parts::trust::run)
        .part("names", "every mistake in a certificate, and its exact error", 12, parts::names::run)
        .part("mitm", "an interceptor, and who lets it in", 8, parts::mitm::run)
        .part("redirect", "from https to http, with your secrets", 8, parts::redirect::run)
        .part(
            "patience",
            "servers that stall, and servers that never stop",
            10,
            parts::patience::run,
        )
        .part("versions", "TLS 1.3, TLS 1.2, and a minimum", 4, parts::versions::run)
        .server(serve::run)
        .main()
}
