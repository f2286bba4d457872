//! For tests only: locks the transcript of every part of a lesson.
//!
//! Values that change on each run are printed as they are, and stand in `[brackets]` in the snapshot
//! and in the book. The filters that all lessons need are below; a lesson brings its own.

mod alone;
pub mod measure;
mod page;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

pub use alone::alone;
pub use page::Page;

/// What changes between runs or between systems: what it looks like, and what the snapshot shows in
/// its place.
pub type Filter = (&'static str, &'static str);

/// The filters that every lesson has, applied in this order.
const FILTERS: &[Filter] = &[
    // Ports: chosen by the system.
    (r"127\.0\.0\.1:\d{2,5}", "127.0.0.1:[port]"),
    (r"\b(localhost|[a-z-]+\.test):\d{2,5}", "$1:[port]"),
    // Clocks: UNIX time in the errors of rustls about validity.
    (r"\b[12]\d{9}\b", "[time]"),
    (r"\(\d+(\s+)seconds", "([seconds]${1}seconds"),
    // What the operating system says, which each of them words in its own way.
    (
        r"(?m)^(   (?:error|because) +)\S.*(?:\n {18}.*)*?\s*\(os\s+error\s+\d+\)",
        "$1[what the system says] (os error [number])",
    ),
];

/// insta's settings for every snapshot of the course: where it is, a header of exactly three lines (the
/// book includes a snapshot from its fourth line on), and the filters, those of all lessons first.
pub fn settings(package: &str, filters: &[Filter]) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(package).join("tests/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (pattern, shown) in FILTERS.iter().chain(filters) {
        settings.add_filter(pattern, *shown);
    }
    settings
}

/// Runs each part of a lesson's binary and compares its transcript with
/// `tests/snapshots/PART.snap`.
///
/// `binary` is `env!("CARGO_BIN_EXE_lesson-N")`, `package` is
/// `env!("CARGO_MANIFEST_DIR")`, and `filters` are those that this lesson alone needs.
///
/// # Panics
/// When a part fails or prints something else, or when parts, files in `src/parts` and
/// snapshots are not the same set.
pub fn check_lesson(binary: &str, package: &str, filters: &[Filter]) {
    check_lesson_with(binary, package, filters, &[]);
}

/// The same, with more arguments for some parts.
///
/// # Panics
/// See [`check_lesson`].
pub fn check_lesson_with(
    binary: &str,
    package: &str,
    filters: &[Filter],
    arguments: &[(&str, &[&str])],
) {
    let parts = parts(binary);
    let names: BTreeSet<String> = parts.iter().cloned().collect();
    assert_eq!(
        names,
        stems(package, "src/parts", ".rs"),
        "{}: the parts that src/main.rs names (left) and the files in src/parts (right)",
        shown(package)
    );

    let parts: Vec<String> = parts.into_iter().filter(|part| !is_skipped(binary, part)).collect();
    let with = |part: &'_ str| {
        let more = arguments
            .iter()
            .filter(|(of, _)| *of == part)
            .flat_map(|(_, more)| more.iter().copied());
        std::iter::once(part).chain(more).map(str::to_owned).collect::<Vec<String>>()
    };
    let outputs = std::thread::scope(|scope| {
        let runs: Vec<_> = parts
            .iter()
            .map(|part| {
                let arguments = with(part);
                scope.spawn(move || {
                    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                    run(binary, &arguments)
                })
            })
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("the thread that ran a part"))
            .collect::<Vec<_>>()
    });
    let settings = settings(package, filters);
    for (part, output) in parts.iter().zip(&outputs) {
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "part {part} failed: {errors}");
        let text = String::from_utf8(output.stdout.clone()).expect("a transcript in UTF-8");
        let too_long = text
            .lines()
            .find(|line| line.chars().count() > 80 && line.split_whitespace().count() > 2);
        assert_eq!(too_long, None, "part {part}: a line of more than 80 columns");
        settings.bind(|| insta::assert_snapshot!(part.as_str(), text));
    }
    let locked = stems(package, "tests/snapshots", ".snap");
    assert!(names.is_subset(&locked), "parts {names:?}, snapshots {locked:?}");
}

/// A package's folder, as messages show it.
fn shown(package: &str) -> String {
    let folder = Path::new(package).file_name().unwrap_or_default();
    format!("lessons/{}", folder.to_string_lossy())
}

/// Whether `SKIP_PARTS` names the part, as `lesson-1/trust`: for a system that lacks what it needs.
fn is_skipped(binary: &str, part: &str) -> bool {
    let lesson = Path::new(binary).file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("{lesson}/{part}");
    let skipped = std::env::var("SKIP_PARTS").unwrap_or_default();
    let is_skipped = skipped.split_whitespace().any(|skipped| skipped == name);
    if is_skipped {
        // Not eprintln!, which the test harness keeps to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED {name}, as SKIP_PARTS says");
    }
    is_skipped
}

/// The parts that the binary's `--list` names, in order.
pub fn parts(binary: &str) -> Vec<String> {
    let list = run(binary, &["--list"]);
    let list = String::from_utf8(list.stdout).expect("a list in UTF-8");
    list.lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// Runs a lesson's binary as a pipe sees it: no terminal, no input.
pub fn run(binary: &str, arguments: &[&str]) -> Output {
    let command = &mut Command::new(binary);
    command.args(arguments).stdin(Stdio::null());
    for _ in 0..3 {
        match command.output() {
            // ERROR_INTERNAL_ERROR: wine 8 gives it now and then when several programs start at once. None has
            // started then.
            Err(error) if cfg!(windows) && error.raw_os_error() == Some(1359) => {
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
            ran => return ran.unwrap_or_else(|error| panic!("cannot run {binary}: {error}")),
        }
    }
    panic!("cannot run {binary}: the system has an internal error")
}

/// The names of the files in a folder, without their ending, as parts are named.
fn stems(package: &str, folder: &str, ending: &str) -> BTreeSet<String> {
    let folder = Path::new(package).join(folder);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(ending).map(|stem| stem.replace('_', "-")))
        .filter(|stem| stem != "mod")
        .collect()
}
