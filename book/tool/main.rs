//! `just book`: builds the book and opens it, with no tool to install.

use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command};

fn main() -> ExitCode {
    let arguments = Command::new("book")
        .about("Builds the book and opens it in the browser")
        .arg(
            Arg::new("no-open")
                .long("no-open")
                .action(ArgAction::SetTrue)
                .help("Build it, and open nothing"),
        )
        .arg(
            Arg::new("figure")
                .long("figure")
                .value_name("NAME")
                .help("Print a figure as SVG, and build nothing"),
        )
        .get_matches();
    let course = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if let Some(name) = arguments.get_one::<String>("figure") {
        return match book::figures::file(&course, name) {
            Ok(svg) => {
                print!("{svg}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let page = match book::build(&course, None) {
        Ok(folder) => folder.join("index.html"),
        Err(error) => {
            eprintln!("error: the book cannot be built: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let page = page.canonicalize().unwrap_or(page);
    println!("The book is at {}", page.display());
    if !arguments.get_flag("no-open")
        && let Err(error) = opener::open(&page)
    {
        println!("No browser opened ({error}): open that file yourself.");
    }
    ExitCode::SUCCESS
}
