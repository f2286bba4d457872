//! The course on disk: its take-home crates, and what is written of each.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use toml::{Table, Value};

use crate::{manifest, sources};

/// What stays here: the manifest is written out, the list of crates is the course's own check.
const NOT_COPIED: [&str; 2] = ["Cargo.toml", "crates.txt"];
/// What every crate gets from the top of the repository.
const FROM_THE_TOP: [&str; 4] = ["LICENSE-MIT", "LICENSE-APACHE", "clippy.toml", "rustfmt.toml"];

/// The course.
pub struct Course {
    root: PathBuf,
    pub workspace: Table,
    lock: Table,
    lock_text: String,
    /// In the order of the workspace's members.
    pub crates: Vec<Crate>,
    /// Where it all comes from, in a line.
    pub origin: String,
}

/// A take-home crate.
pub struct Crate {
    pub name: String,
    pub description: String,
    folder: PathBuf,
    pub manifest: Table,
}

/// The top of the repository, from wherever this program is started.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Course {
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let workspace = table(&root.join("Cargo.toml"))?;
        let lock_text = text(&root.join("Cargo.lock"))?;
        let lock = lock_text.parse().context("Cargo.lock")?;
        let members = workspace["workspace"]["members"].as_array().context("no members")?;
        let mut crates = Vec::new();
        for member in members.iter().filter_map(Value::as_str) {
            let is_taken =
                member.split('/').nth(2).is_some_and(|name| name.starts_with("take-home"));
            if is_taken {
                crates.push(Crate::read(root.join(member))?);
            }
        }
        let origin = manifest::origin(&workspace["workspace"], root);
        Ok(Self { root: root.to_owned(), workspace, lock, lock_text, crates, origin })
    }

    pub fn find(&self, name: &str) -> Option<&Crate> {
        self.crates.iter().find(|taken| taken.name == name)
    }

    /// The crate, and the take-home crates that it or its tests need, itself last.
    pub fn with_what_it_needs<'a>(&'a self, wanted: &'a Crate) -> Vec<&'a Crate> {
        let mut all: Vec<&Crate> = Vec::new();
        for needed in wanted.needs().filter_map(|name| self.find(name)) {
            for needed in self.with_what_it_needs(needed) {
                if !all.iter().any(|known| known.name == needed.name) {
                    all.push(needed);
                }
            }
        }
        all.push(wanted);
        all
    }

    /// Writes a crate into a folder that is not there, with the course's whole lock file.
    pub fn write(&self, taken: &Crate, to: &Path) -> anyhow::Result<()> {
        for file in sources::below(&taken.folder, &self.root)? {
            if !NOT_COPIED.iter().any(|not| file == Path::new(not)) {
                let place = to.join(&file);
                let above = place.parent().unwrap_or(to);
                fs::create_dir_all(above)
                    .with_context(|| format!("cannot make {}", above.display()))?;
                copy_without_anchors(&taken.folder.join(&file), &place)?;
            }
        }
        for file in FROM_THE_TOP {
            copy_file(&self.root.join(file), &to.join(file))?;
        }
        let write = |file: &str, text: &str| {
            fs::write(to.join(file), text).with_context(|| format!("cannot write {file}"))
        };
        write("Cargo.toml", &manifest::write_out(self, taken)?)?;
        write("Cargo.lock", &self.lock_text)?;
        let profile = self.profile(taken);
        if !profile.is_empty() {
            write("profile.toml", &profile)?;
        }
        Ok(())
    }

    /// The `[profile]` lines that a workspace with this crate needs.
    pub fn profile(&self, taken: &Crate) -> String {
        let built = self.packages_below(&taken.name);
        // What else is in the table is fast enough.
        if !built.contains("aes-gcm") {
            return String::new();
        }
        let packages = self.workspace["profile"]["dev"]["package"].as_table();
        let needed = packages.into_iter().flatten().filter(|(name, _)| built.contains(*name));
        let lines = needed.filter_map(|(name, settings)| {
            let level = settings.get("opt-level")?.as_integer()?;
            Some(format!("[profile.dev.package.{name}]\nopt-level = {level}\n"))
        });
        lines.collect()
    }

    /// The version of a package in the lock file that is compatible with the one required: there may be
    /// others, which other packages need.
    pub fn version(&self, package: &str, required: &str) -> anyhow::Result<&str> {
        let found = self.locked().filter(|locked| locked["name"].as_str() == Some(package));
        let mut versions = found.filter_map(|locked| locked.get("version")?.as_str());
        versions
            .find(|version| compatible(version) == compatible(required))
            .with_context(|| format!("Cargo.lock has no {package} {required}"))
    }

    fn locked(&self) -> impl Iterator<Item = &Value> {
        self.lock["package"].as_array().into_iter().flatten()
    }

    /// The names of all packages that the lock file has below this one, itself included.
    fn packages_below(&self, name: &str) -> BTreeSet<String> {
        let (mut found, mut next) = (BTreeSet::new(), vec![name.to_owned()]);
        while let Some(name) = next.pop() {
            let here = self.locked().filter(|locked| locked["name"].as_str() == Some(&name));
            let below = here.filter_map(|locked| locked.get("dependencies")?.as_array()).flatten();
            let below = below.filter_map(|text| text.as_str()?.split(' ').next());
            let below: Vec<String> = below.map(str::to_owned).collect();
            if found.insert(name) {
                next.extend(below);
            }
        }
        found
    }
}

impl Crate {
    fn read(folder: PathBuf) -> anyhow::Result<Self> {
        let manifest = table(&folder.join("Cargo.toml"))?;
        let of_package = |key: &str| {
            let value = manifest["package"].get(key).and_then(Value::as_str);
            value.map(str::to_owned).with_context(|| format!("{}: no {key}", folder.display()))
        };
        let (name, description) = (of_package("name")?, of_package("description")?);
        Ok(Self { name, description, folder, manifest })
    }

    /// Its tables of dependencies, each with its heading; also those of one system alone.
    pub fn dependencies(&self) -> Vec<(String, &Table)> {
        let systems = self.manifest.get("target").and_then(Value::as_table).into_iter().flatten();
        let systems = systems.filter_map(|(system, tables)| {
            Some((format!("target.'{system}'."), tables.as_table()?))
        });
        let everywhere = std::iter::once((String::new(), &self.manifest));
        let mut all = Vec::new();
        for (before, tables) in everywhere.chain(systems) {
            for kind in ["dependencies", "dev-dependencies"] {
                if let Some(table) = tables.get(kind).and_then(Value::as_table) {
                    all.push((format!("{before}{kind}"), table));
                }
            }
        }
        all
    }

    fn needs(&self) -> impl Iterator<Item = &str> {
        self.dependencies().into_iter().flat_map(|(_, table)| table.keys().map(String::as_str))
    }
}

/// The numbers that two compatible versions share: the first that isn't 0, and the zeros before it.
fn compatible(version: &str) -> Vec<&str> {
    let mut numbers = version.split('.');
    let mut shared = Vec::new();
    for number in numbers.by_ref() {
        shared.push(number);
        if number != "0" {
            break;
        }
    }
    shared
}

/// Copies a text without the marks by which the book shows a piece of it.
fn copy_without_anchors(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mark = |line: &&str| {
        let line =
            line.trim_start().trim_start_matches("//").trim_start_matches("<!--").trim_start();
        line.starts_with("ANCHOR: ") || line.starts_with("ANCHOR_END: ")
    };
    let text = text(from)?;
    let kept: String = text.split_inclusive('\n').filter(|line| !mark(line)).collect();
    fs::write(to, kept).with_context(|| format!("cannot write {}", to.display()))
}

fn copy_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

fn text(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn table(file: &Path) -> anyhow::Result<Table> {
    text(file)?.parse().with_context(|| format!("cannot parse {}", file.display()))
}
