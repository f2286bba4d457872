//! The manifest of a taken crate: all that it inherits from the course's workspace, written out.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use toml::Value;

use crate::course::{Course, Crate};

/// What is written of the package. `autoexamples` is not: here the lesson's tests compile the examples,
/// there cargo does.
const PACKAGE: [&str; 8] =
    ["name", "description", "version", "edition", "rust-version", "license", "publish", "readme"];

/// The whole `Cargo.toml`.
pub fn write_out(course: &Course, taken: &Crate) -> anyhow::Result<String> {
    let workspace = &course.workspace["workspace"];
    let mut text = format!("# {}\n\n[package]\n", course.origin);
    let package = taken.manifest["package"].as_table().context("no package")?;
    for key in PACKAGE {
        let value = package.get(key).with_context(|| format!("{}: no {key}", taken.name))?;
        let inherited = value.get("workspace").is_some();
        let value = if inherited { &workspace["package"][key] } else { value };
        let _ = writeln!(text, "{key} = {value}");
    }
    for kind in ["dependencies", "dev-dependencies"] {
        let Some(table) = taken.manifest.get(kind).and_then(Value::as_table) else { continue };
        let _ = write!(text, "\n[{kind}]\n");
        for name in table.keys() {
            let _ = writeln!(text, "{name} = {}", dependency(course, workspace, name)?);
        }
    }
    for (tool, lints) in workspace["lints"].as_table().context("no lints")? {
        let _ = write!(text, "\n[lints.{tool}]\n");
        for (lint, level) in lints.as_table().into_iter().flatten() {
            let _ = writeln!(text, "{lint} = {level}");
        }
    }
    Ok(text)
}

/// A dependency as the workspace's table has it, with the version that the course is tested with.
fn dependency(course: &Course, workspace: &Value, name: &str) -> anyhow::Result<String> {
    if course.find(name).is_some() {
        return Ok(format!("{{ path = \"../{name}\" }}"));
    }
    let in_table = workspace["dependencies"].get(name);
    let in_table = in_table.with_context(|| format!("{name} is not in the workspace's table"))?;
    let required = in_table.get("version").unwrap_or(in_table).as_str();
    let required = required.with_context(|| format!("{name} has no version in the table"))?;
    let version = course.version(name, required)?;
    let more = in_table.as_table().into_iter().flatten().filter(|(key, _)| *key != "version");
    let more: String = more.map(|(key, value)| format!(", {key} = {value}")).collect();
    Ok(match more.is_empty() {
        true => format!("\"{version}\""),
        false => format!("{{ version = \"{version}\"{more} }}"),
    })
}

/// Where a crate comes from, in a line.
pub fn origin(workspace: &Value, root: &Path) -> String {
    let version = workspace["package"]["version"].as_str().unwrap_or_default();
    let mut text =
        format!("Taken from the course \"Secure network communications in Rust\", {version}");
    if let Some(commit) = git(root, &["rev-parse", "--short=12", "HEAD"]) {
        let _ = write!(text, ", commit {commit}");
        let changed = git(root, &["status", "--porcelain", "--untracked-files=no"]);
        if changed.is_some() {
            text.push_str(" with changes");
        }
    }
    if let Some(address) = workspace["package"].get("repository").and_then(Value::as_str) {
        let _ = write!(text, ", {address}");
    }
    text
}

/// What git says, if it is there and says something.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let done = Command::new("git").args(arguments).current_dir(root).output().ok()?;
    let said = String::from_utf8(done.stdout).ok()?.trim().to_owned();
    (done.status.success() && !said.is_empty()).then_some(said)
}
