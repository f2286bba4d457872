//! The manifest of a taken crate: all that it inherits from the course's workspace, written out.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use toml::Value;

use crate::course::{Course, Crate};
use crate::sources::{git, is_clone};

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
    if let Some(features) = taken.manifest.get("features").and_then(Value::as_table) {
        text.push_str("\n[features]\n");
        for (feature, of) in features {
            let _ = writeln!(text, "{feature} = {of}");
        }
    }
    for (heading, table) in taken.dependencies() {
        let _ = write!(text, "\n[{heading}]\n");
        for (name, own) in table {
            let written = dependency(course, workspace, name, own)?;
            let _ = writeln!(text, "{name} = {written}");
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

/// A dependency as the workspace's table has it, with the version that the course is tested with, and with what this
/// crate's `own` manifest adds: more features, and whether it is optional.
fn dependency(
    course: &Course,
    workspace: &Value,
    name: &str,
    own: &Value,
) -> anyhow::Result<String> {
    let features = own.get("features").and_then(Value::as_array).cloned().unwrap_or_default();
    let optional = own.get("optional").cloned();
    if course.find(name).is_some() {
        let mut more = String::new();
        if !features.is_empty() {
            let _ = write!(more, ", features = {}", Value::Array(features));
        }
        if let Some(optional) = optional {
            let _ = write!(more, ", optional = {optional}");
        }
        return Ok(format!("{{ path = \"../{name}\"{more} }}"));
    }
    let in_table = workspace["dependencies"].get(name);
    let in_table = in_table.with_context(|| format!("{name} is not in the workspace's table"))?;
    let required = in_table.get("version").unwrap_or(in_table).as_str();
    let required = required.with_context(|| format!("{name} has no version in the table"))?;
    let version = course.version(name, required)?;
    let mut settings = in_table.as_table().cloned().unwrap_or_default();
    if !features.is_empty() {
        let of_table = settings.entry("features").or_insert_with(|| Value::Array(Vec::new()));
        let of_table = of_table.as_array_mut().context("features are a list")?;
        for feature in features {
            if !of_table.contains(&feature) {
                of_table.push(feature);
            }
        }
    }
    if let Some(optional) = optional {
        settings.insert("optional".to_owned(), optional);
    }
    let more = settings.iter().filter(|(key, _)| *key != "version");
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
    // Without git, or outside a clone, the version has to do.
    if is_clone(root)
        && let Ok(commit) = git(root, &["rev-parse", "--short=12", "HEAD"])
    {
        let _ = write!(text, ", commit {commit}");
        let unchanged = git(root, &["status", "--porcelain", "--untracked-files=no"]);
        if !unchanged.is_ok_and(|changes| changes.is_empty()) {
            text.push_str(" with changes");
        }
    }
    if let Some(address) = workspace["package"].get("repository").and_then(Value::as_str) {
        let _ = write!(text, ", {address}");
    }
    text
}
