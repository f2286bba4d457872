//! `just take NAME FOLDER`: writes a take-home crate, and those that it needs, into a folder of yours.
//!
//! What it writes builds on its own and inside your workspace: versions, features and lints are written
//! out, because `workspace = true` would look for them in your `Cargo.toml`.

mod course;
mod manifest;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use crate::course::{Course, Crate};

const USAGE: &str = "just take NAME FOLDER, or: cargo run --bin take -- NAME FOLDER";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["--help" | "-h"] => list(),
        [name, folder] => take(name, Path::new(folder)),
        [_] => Err(anyhow::anyhow!("expected a folder to write to: {USAGE}")),
        _ => Err(anyhow::anyhow!("expected a name and a folder: {USAGE}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell it to when standard error is closed, too.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> anyhow::Result<()> {
    let course = Course::read(&course::root())?;
    say(&format!("The take-home crates. To take one: {USAGE}\n\n{}", lines(&course)))
}

/// Each crate, with a line about it.
fn lines(course: &Course) -> String {
    let width = course.crates.iter().map(|taken| taken.name.len()).max().unwrap_or(0);
    let line = |taken: &Crate| format!("  {:width$}  {}\n", taken.name, taken.description);
    course.crates.iter().map(line).collect()
}

fn take(name: &str, folder: &Path) -> anyhow::Result<()> {
    let course = Course::read(&course::root())?;
    let Some(wanted) = course.find(name) else {
        bail!("there is no take-home crate {name}. There are:\n{}", lines(&course).trim_end());
    };
    let all = course.with_what_it_needs(wanted);
    // Decided, and said, before anything is written.
    let (kept, new): (Vec<&Crate>, Vec<&Crate>) =
        all.iter().partition(|taken| folder.join(&taken.name).exists());
    let mut plan = String::new();
    for taken in &kept {
        let _ = writeln!(plan, "keeps   {} (it is there)", shown(&folder.join(&taken.name)));
    }
    for taken in &new {
        let _ = writeln!(plan, "writes  {}", shown(&folder.join(&taken.name)));
    }
    say(&plan)?;

    let staged = tempfile::tempdir().context("cannot make a temporary folder")?;
    for taken in &all {
        course.write(taken, &staged.path().join(&taken.name))?;
    }
    for taken in &new {
        let made = staged.path().join(&taken.name);
        prune_lock(&made)?;
    }
    let failed = || format!("cannot write to the folder {}", shown(folder));
    std::fs::create_dir_all(folder).with_context(failed)?;
    // Copied whole into a folder that goes if anything fails, and then moved to its name.
    let copied =
        tempfile::Builder::new().prefix(".take-").tempdir_in(folder).with_context(failed)?;
    for taken in &new {
        let whole = copied.path().join(&taken.name);
        copy(&staged.path().join(&taken.name), &whole)
            .and_then(|()| std::fs::rename(&whole, folder.join(&taken.name)))
            .with_context(|| format!("{}: {} was not written", failed(), taken.name))?;
    }
    say(&next_steps(&course, wanted, folder, new.is_empty()))
}

/// Removes from the lock file what this crate does not need. cargo does that whenever it resolves.
fn prune_lock(made: &Path) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let resolve = |offline: &[&str]| {
        Command::new(&cargo)
            .args(["metadata", "--format-version", "1"])
            .args(offline)
            .current_dir(made)
            .output()
            .context("cannot run cargo")
    };
    // Without the network, if what is needed is here already.
    if resolve(&["--offline"])?.status.success() {
        return Ok(());
    }
    let resolved = resolve(&[])?;
    if !resolved.status.success() {
        bail!(
            "cargo cannot resolve the crate, so nothing was written:\n{}",
            String::from_utf8_lossy(&resolved.stderr)
        );
    }
    Ok(())
}

fn next_steps(course: &Course, wanted: &Crate, folder: &Path, nothing_new: bool) -> String {
    if nothing_new {
        return "Nothing was written. To take it again, move the old folder away.\n".to_owned();
    }
    let name = &wanted.name;
    let mut text = format!(
        "\nIn the Cargo.toml of your package (correct the path, if it is not next to the folder):\n\n  \
         {name} = {{ path = \"{}/{name}\" }}\n",
        folder
            .file_name()
            .map_or_else(|| ".".to_owned(), |last| last.to_string_lossy().into_owned())
    );
    if !course.profile(wanted).is_empty() {
        let _ = write!(
            text,
            "\nIn the Cargo.toml of your workspace, the lines of {name}/profile.toml: without them, \
             ciphers\nare about a hundred times slower in debug builds.\n"
        );
    }
    let _ =
        write!(text, "\nThen read {name}/README.md: it says what to change before you ship it.\n");
    text
}

/// Copies a folder to where nothing is.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => drop(std::fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}

/// A path with `/` on every system.
fn shown(path: &Path) -> String {
    path.components().collect::<PathBuf>().display().to_string().replace('\\', "/")
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}
