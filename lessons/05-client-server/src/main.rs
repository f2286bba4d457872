//! Lesson 5: the sealed mailbox.

mod parts;

use std::process::ExitCode;

use mailbox::lab::child::AS_SERVER;
use shared::Lesson;

fn main() -> ExitCode {
    // The part `crash` starts this program again, as a server that it can kill.
    let arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == AS_SERVER) {
        return mailbox::programs::server::run(arguments.into_iter().skip(1));
    }
    Lesson::new(5, "The sealed mailbox")
        .part("deliver", "a letter, and who saw what of it", 20, parts::deliver::run)
        .part("stolen", "tokens in the wrong hands", 15, parts::stolen::run)
        .part("spying-server", "the server is the attacker", 18, parts::spying_server::run)
        .part("hostile", "clients that follow no rules", 20, parts::hostile::run)
        .part("crash", "the server is killed, and nothing is lost", 17, parts::crash::run)
        .part(
            "rotate",
            "a new certificate and new keys, while clients are there",
            15,
            parts::rotate::run,
        )
        .part("shutdown", "the server stops, and finishes first", 15, parts::shutdown::run)
        .main()
}
