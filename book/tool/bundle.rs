//! `just bundle`: the course for a USB stick: the repository as it is committed, the crates that it is built from, the
//! built book, and how to begin. One archive, and its checksum.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail, ensure};
use aws_lc_rs::digest;

const BEGIN: &str = "\
Secure network communications in Rust, without internet
=======================================================

You need Rust 1.89 or later and a C compiler; https://rustup.rs has Rust, and its
standalone installers work without internet.

    cd course
    cargo run --offline --manifest-path shared/doctor/Cargo.toml
    cargo run --offline --bin lesson-0
    cargo test --offline

The first command says whether something is missing. The book is book-html/index.html;
book-html/print.html is all of it on one page, to be printed.

With just (https://just.systems), just lesson 0 is the same as the longer line.
";

fn main() -> ExitCode {
    let course = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let into = std::env::args().nth(1).map_or_else(|| course.join("target/bundle"), PathBuf::from);
    match bundle(&course, &into) {
        Ok((archive, size, sum)) => {
            println!("{}: {} MB\nSHA-256 {sum}", archive.display(), size / 1_000_000);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: no bundle was made: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The archive, its size in bytes and its checksum.
fn bundle(course: &Path, into: &Path) -> anyhow::Result<(PathBuf, u64, String)> {
    let course = course.canonicalize()?;
    fs::create_dir_all(into)
        .with_context(|| format!("cannot make the folder {}", into.display()))?;
    let into = into.canonicalize()?;
    let (archive, checksum) = (into.join("course.tar.gz"), into.join("course.tar.gz.sha256"));
    for file in [&archive, &checksum] {
        ensure!(!file.exists(), "{} exists: move it away, or name another folder", file.display());
    }
    let staging = into.join("staging");
    if staging.exists() {
        fs::remove_dir_all(&staging).context("an earlier, unfinished bundle cannot be removed")?;
    }
    let root = staging.join("course");
    fs::create_dir_all(&root)?;

    eprintln!("the repository, as it is committed");
    let committed = staging.join("committed.tar");
    let committed = committed.to_str().context("a path in UTF-8")?;
    run(Command::new("git")
        .args(["archive", "--format=tar", "--output", committed, "HEAD"])
        .current_dir(&course))?;
    run(Command::new("tar").args(["-xf", committed]).current_dir(&root))?;
    fs::remove_file(committed)?;

    eprintln!("the crates");
    let vendored = Command::new(env!("CARGO"))
        .args(["vendor", "--locked", "--versioned-dirs", "vendor"])
        .current_dir(&root)
        .stdin(Stdio::null())
        .output()
        .context("cargo vendor")?;
    let said = String::from_utf8_lossy(&vendored.stderr).into_owned();
    ensure!(vendored.status.success(), "cargo vendor failed: {}", said.trim());
    let config = root.join(".cargo/config.toml");
    let with_alias = fs::read_to_string(&config).unwrap_or_default();
    let source = String::from_utf8(vendored.stdout).context("what cargo vendor says")?;
    ensure!(source.contains("vendored-sources"), "cargo vendor said no source: {source}");
    fs::write(
        &config,
        format!(
            "{with_alias}\n# The crates are in vendor, so nothing needs the network.\n{source}"
        ),
    )?;

    eprintln!("the book");
    book::build(&course, Some(&root.join("book-html")))?;
    fs::write(staging.join("BEGIN.txt"), BEGIN)?;

    eprintln!("the archive");
    let name = archive.to_str().context("a path in UTF-8")?;
    run(Command::new("tar").args(["-czf", name, "BEGIN.txt", "course"]).current_dir(&staging))?;
    let sum = sha256(&archive)?;
    fs::write(&checksum, format!("{sum}  course.tar.gz\n"))?;
    fs::remove_dir_all(&staging).context("the staging folder cannot be removed")?;
    let size = fs::metadata(&archive)?.len();
    Ok((archive, size, sum))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("{program} ended with {status}"),
        Err(error) => Err(error).with_context(|| format!("{program} does not run")),
    }
}

fn sha256(file: &Path) -> anyhow::Result<String> {
    let mut file = fs::File::open(file)?;
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            length => hash.update(&piece[..length]),
        }
    }
    Ok(hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}
