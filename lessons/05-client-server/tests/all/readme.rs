//! The shortest programs of the take-home crates, which their READMEs begin with: they compile here, and
//! those that need no network and no file of yours run.

#[path = "../../take-home/examples/careful-mailbox.rs"]
#[allow(dead_code, reason = "it is compiled, and not run")]
mod careful_mailbox_program;

/// The first words after `mailbox`, where the book leaves just out.
const BARE: [&str; 5] = ["--as", "new-password", "new-key", "end-logins", "delete"];

/// Every command of the two programs that a page shows, with or without just; a word in capitals is somebody's
/// own.
#[test]
fn every_command_of_the_book_is_one_that_the_programs_take()
-> Result<(), Box<dyn std::error::Error>> {
    let course = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut pages = vec![format!("{course}/README.md")];
    for entry in std::fs::read_dir(format!("{course}/book/src"))? {
        pages.push(entry?.path().display().to_string());
    }
    let mut found = 0;
    for page in pages.iter().filter(|page| page.ends_with(".md")) {
        let text = std::fs::read_to_string(page)?;
        // Code spans, and whole lines of blocks.
        let spans = text.split('`').chain(text.lines());
        for span in spans {
            let words: Vec<&str> = span.split_whitespace().collect();
            let (command, rest) = match words[..] {
                ["just", "server", ref rest @ ..] | ["mailbox-server", ref rest @ ..] => {
                    (mailbox::programs::server::command(), rest)
                }
                ["just", "client", ref rest @ ..] => (mailbox::programs::client::command(), rest),
                ["mailbox", first, ..] if BARE.contains(&first) => {
                    (mailbox::programs::client::command(), &words[1..])
                }
                _ => continue,
            };
            let rest = rest.iter().map(|word| word.trim_matches('"').to_lowercase());
            let taken = command.try_get_matches_from(["x".to_owned()].into_iter().chain(rest));
            let help = |error: &clap::Error| error.kind() == clap::error::ErrorKind::DisplayHelp;
            assert!(taken.as_ref().map_or_else(help, |_| true), "{page}: {span}: {taken:?}");
            found += 1;
        }
    }
    assert!(found > 15, "{found} commands were found");
    Ok(())
}
