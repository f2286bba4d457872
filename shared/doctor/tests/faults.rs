//! Each fault is found when it is provoked.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

fn course() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn doctor(of: &Path, change: impl FnOnce(&mut Command)) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doctor"));
    command.arg(of);
    change(&mut command);
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

/// The line of a check, and the one below it.
fn line(text: &str, check: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(check));
    format!("{}\n{}", lines.next().unwrap_or_default(), lines.next().unwrap_or_default())
}

#[test]
fn this_machine_is_ready() {
    let (output, text) = doctor(&course(), |_| {});
    assert!(output.status.success(), "{text}");
    for check in ["Rust", "C compiler", "disk", "loopback", "localhost", "clock", "crates"] {
        assert!(line(&text, check).contains(" ok "), "{text}");
    }
    assert!(text.ends_with("This machine is ready.\n"), "{text}");
}

#[test]
fn without_rust_it_says_where_to_get_it() {
    let (output, text) = doctor(&course(), |command| {
        command.env("PATH", "");
    });
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        line(&text, "Rust").contains("TO DO") && line(&text, "Rust").contains("rustup.rs"),
        "{text}"
    );
    if cfg!(unix) {
        assert!(line(&text, "C compiler").contains("TO DO"), "{text}");
    }
}

#[test]
fn missing_crates_are_found_without_a_network() {
    let empty = tempdir("no-crates");
    let (output, text) = doctor(&course(), |command| {
        command.env("CARGO_HOME", &empty);
    });
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        line(&text, "crates").contains("TO DO") && line(&text, "crates").contains("just fetch"),
        "{text}"
    );
}

#[test]
fn a_clock_that_is_behind_is_found_by_the_files() {
    let folder = tempdir("clock");
    let readme = folder.join("README.md");
    fs::write(&readme, "of the future").expect("a file");
    let file = fs::File::options().write(true).open(&readme).expect("a file");
    file.set_modified(SystemTime::now() + Duration::from_secs(3 * 86_400)).expect("a time");
    let (output, text) = doctor(&folder, |_| {});
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(line(&text, "clock").contains("files of the course are newer"), "{text}");
}

#[test]
fn an_older_rust_a_proxy_and_lessons_that_are_not_built_are_named() {
    let folder = tempdir("old");
    fs::write(folder.join("Cargo.toml"), "[workspace.package]\nrust-version = \"9.99\"\n")
        .expect("a file");
    fs::create_dir_all(folder.join("lessons/00-open-wire")).expect("a folder");
    let (_, text) = doctor(&folder, |command| {
        command.env("https_proxy", "http://proxy.test:3128");
    });
    assert!(
        line(&text, "Rust").contains("9.99 is needed")
            && line(&text, "Rust").contains("rustup update"),
        "{text}"
    );
    assert!(line(&text, "proxy").contains("https_proxy"), "{text}");
    assert!(line(&text, "built").contains("lesson-0"), "{text}");
}

#[test]
fn a_lesson_whose_source_is_newer_than_its_program_is_named() {
    let folder = tempdir("stale");
    fs::write(folder.join("Cargo.toml"), "[workspace.package]\nrust-version = \"1.80\"\n")
        .expect("a file");
    for lesson in ["00-open-wire", "01-https"] {
        fs::create_dir_all(folder.join("lessons").join(lesson).join("src")).expect("a folder");
        fs::create_dir_all(folder.join("lessons").join(lesson).join("exercises"))
            .expect("a folder");
    }
    let debug = folder.join("target/debug");
    fs::create_dir_all(&debug).expect("a folder");
    let touch = |path: std::path::PathBuf, age: u64| {
        let file = fs::File::create(path).expect("a file");
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("a time");
    };
    for name in ["lesson-0", "lesson-1"] {
        touch(debug.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)), 100);
    }
    touch(folder.join("lessons/00-open-wire/src/main.rs"), 200);
    touch(folder.join("lessons/01-https/src/main.rs"), 200);
    touch(folder.join("lessons/00-open-wire/exercises/yours.rs"), 1);
    let built = || {
        let (_, text) = doctor(&folder, |command| {
            command.env_remove("CARGO_TARGET_DIR");
        });
        line(&text, "built")
    };
    assert!(built().contains("every lesson is built"), "{}", built());
    touch(folder.join("lessons/01-https/src/main.rs"), 50);
    let said = built();
    assert!(said.contains("changed since built: lesson-1"), "{said}");
}

#[test]
fn a_peer_that_is_not_there_is_no_fault() {
    let (output, text) = doctor(&course(), |_| {});
    assert!(text.contains("openssl"), "{text}");
    assert!(output.status.success(), "{text}");
}

fn tempdir(name: &str) -> std::path::PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}
