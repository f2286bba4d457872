//! What `book.toml` names: writes the pages for an `mdbook` of the reader's own.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match book::pages::answer(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: the pages can't be written: {error:#}");
            ExitCode::FAILURE
        }
    }
}
