//! Which files of a crate are its own: what git tracks, and nothing else that lies next to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// The files below `folder`, by their paths in it. Where `root` is not a clone (an unpacked archive), all of
/// them.
///
/// # Errors
/// A file that git does not know, or a symbolic link: what it leads to may be anything.
pub fn below(folder: &Path, root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let files = if is_clone(root) {
        let unknown = git(folder, &["ls-files", "--others", "--exclude-standard", "-z"])?;
        if let Some(unknown) = unknown.split('\0').find(|name| !name.is_empty()) {
            bail!(
                "git does not know {}: `git add` it if it belongs to the crate, or move it away",
                folder.join(unknown).display()
            );
        }
        let tracked = git(folder, &["ls-files", "-z"])?;
        tracked.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect()
    } else {
        let mut all = Vec::new();
        walk(folder, Path::new(""), &mut all)?;
        all
    };
    for file in &files {
        let path = folder.join(file);
        let about = fs::symlink_metadata(&path);
        if !about.with_context(|| format!("cannot read {}", path.display()))?.is_file() {
            bail!("{} is no regular file", path.display());
        }
    }
    Ok(files)
}

fn walk(top: &Path, below: &Path, all: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let folder = top.join(below);
    for entry in
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry?;
        let name = below.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true if name == Path::new("target") => {}
            true => walk(top, &name, all)?,
            false => all.push(name),
        }
    }
    Ok(())
}

/// Whether git is there and this folder is the top of a clone, not a folder in somebody else's.
pub fn is_clone(root: &Path) -> bool {
    git(root, &["rev-parse", "--show-cdup"]).is_ok_and(|up| up.is_empty())
}

/// What git says about the repository that a folder is in.
///
/// # Errors
/// There is no git, or it fails.
pub fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut git = Command::new("git");
    // Such as GIT_DIR, which git sets for its hooks: it would answer about another repository.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            git.env_remove(name);
        }
    }
    let done = git.args(arguments).current_dir(folder).output().context("cannot run git")?;
    if !done.status.success() {
        bail!("git failed: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(String::from_utf8(done.stdout).context("git: not UTF-8")?.trim_end_matches('\n').to_owned())
}
