//! The server. `mailbox-server --help` says how.

fn main() -> std::process::ExitCode {
    mailbox::programs::server::run(std::env::args_os())
}
