//! The client. `mailbox --help` says how.

fn main() -> std::process::ExitCode {
    mailbox::programs::client::run(std::env::args_os())
}
