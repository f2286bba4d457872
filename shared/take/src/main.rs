//! `just take NAME FOLDER`: writes a take-home crate, and those that it needs, into a folder of yours.
//!
//! What it writes builds on its own and inside your workspace: versions, features and lints are written
//! out, because `workspace = true` would look for them in your `Cargo.toml`.

mod course;
mod manifest;
mod sources;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use crate::course::{Course, Crate};

const USAGE: &str = "just take NAME FOLDER, or: cargo run --bin take -- NAME FOLDER";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match &arguments[..] {
        [] => list(),
        [only] if only == "--help" || only == "-h" => list(),
        [name, folder] => take(&name.to_string_lossy(), Path::new(folder)),
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
    check_target(&course, folder)?;
    let all = course.with_what_it_needs(wanted);
    // Decided, and said, before anything is written.
    let mut plan = String::new();
    let mut new: Vec<&Crate> = Vec::new();
    let mut kept_another = false;
    for taken in &all {
        let place = folder.join(&taken.name);
        // A link that leads nowhere is there, too.
        if std::fs::symlink_metadata(&place).is_ok() {
            let (about, other) = what_is_there(&course, taken, &place)?;
            let _ = writeln!(plan, "keeps   {} ({about})", shown(&place));
            kept_another |= other;
        } else {
            let _ = writeln!(plan, "writes  {}", shown(&place));
            new.push(taken);
        }
    }
    if kept_another && !new.is_empty() {
        plan.push_str(
            "What is kept is not as the course has it now. If a new crate does not build with it, move the old one away and \
             take it again.\n",
        );
    }
    say(&plan)?;

    // Within the course: cargo obeys a `.cargo/config.toml` in every folder above, and those above the system's
    // temporary folder may be anybody's.
    let target = course::root().join("target");
    let staged = std::fs::create_dir_all(&target)
        .and_then(|()| tempfile::Builder::new().prefix("take-").tempdir_in(&target))
        .with_context(|| format!("cannot make a folder in {}", shown(&target)))?;
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

/// Refuses folders that cannot be meant.
fn check_target(course: &Course, folder: &Path) -> anyhow::Result<()> {
    if folder.as_os_str().is_empty() {
        bail!("expected a folder to write to: {USAGE}");
    }
    let last = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if course.find(&last).is_some() {
        bail!(
            "expected a folder for the crates, got the name of one, {last}: take one crate at a \
             time, into the folder above it"
        );
    }
    let absolute = std::path::absolute(folder).with_context(|| shown(folder))?;
    // Of a folder that is not there yet, the nearest one above it that is.
    let there = absolute.ancestors().find_map(|above| above.canonicalize().ok());
    let root = course::root().canonicalize().context("cannot find the course")?;
    if there.is_some_and(|there| there.starts_with(&root)) {
        bail!(
            "{} is inside the course, whose workspace the crate would not build in: name a folder \
             of your own, such as ../my-service/crates",
            shown(folder)
        );
    }
    Ok(())
}

/// What a folder holds that has a crate's name: where that was taken from, and whether that is another state of
/// the course.
fn what_is_there(course: &Course, taken: &Crate, folder: &Path) -> anyhow::Result<(String, bool)> {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    if !manifest.contains(&format!("name = \"{}\"", taken.name)) {
        bail!(
            "{} is there, and is not the crate {}: move it away, and take it again. Nothing was \
             written",
            shown(folder),
            taken.name
        );
    }
    let origin = manifest.lines().next().and_then(|line| line.strip_prefix("# "));
    let other = origin != Some(&course.origin);
    let from = origin.and_then(|origin| origin.strip_prefix("Taken from "));
    Ok((
        from.map_or_else(|| "it is there".to_owned(), |from| format!("it is there, from {from}")),
        other,
    ))
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
    let name = &wanted.name;
    let last = folder.file_name().map_or_else(|| ".".into(), |last| last.to_string_lossy());
    let mut text = String::new();
    if nothing_new {
        text.push_str("Nothing was written. To take it again, move the old folder away.\n");
    }
    let _ = write!(
        text,
        "\nIn the Cargo.toml of your package, which is next to the folder {last} (write ../{last} in a \
         package\nbelow, such as a member of a workspace):\n\n  {name} = {{ path = \"{last}/{name}\" }}\n"
    );
    if !course.profile(wanted).is_empty() {
        let _ = write!(
            text,
            "\nIn the Cargo.toml of your workspace, the lines of {}/profile.toml, but for those that \
             are there\nalready: without them, ciphers and password hashes are about a hundred times \
             slower in debug builds.\n",
            shown(&folder.join(name))
        );
    }
    let _ = write!(
        text,
        "\nThen read {}/README.md: it says what to change before you ship it.\n",
        shown(&folder.join(name))
    );
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
