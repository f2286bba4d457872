//! Includes: `{{#include FILE}}`, `{{#include FILE:ANCHOR}}`, `{{#include
//! FILE:FIRST:LAST}}`.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::course::Course;
use crate::{Problem, normal, shown};

/// An include in a text.
pub struct Include {
    /// The text's file, relative to the course.
    pub text: PathBuf,
    /// The line of the directive, from 1.
    pub line: usize,
    /// The included file.
    pub file: PathBuf,
    /// What is behind the file: an anchor, or lines.
    pub selection: String,
}

/// Every include of the course's texts.
pub fn all(course: &Course) -> Vec<Include> {
    let directive = Regex::new(r"\{\{#(?:rustdoc_)?include\s+([^}:]+)(?::([^}]*))?\}\}")
        .expect("a valid expression");
    let mut includes = Vec::new();
    for text in &course.texts {
        let folder = course.root.join(&text.file).parent().map(Path::to_owned).unwrap_or_default();
        for (index, line) in text.markdown.lines().enumerate() {
            // A backslash before it shows the directive as text.
            for found in directive
                .captures_iter(line)
                .filter(|found| !line[..found.get(0).map_or(0, |m| m.start())].ends_with('\\'))
            {
                includes.push(Include {
                    text: text.file.clone(),
                    line: index + 1,
                    file: normal(&folder.join(found[1].trim())),
                    selection: found.get(2).map_or("", |group| group.as_str()).trim().to_owned(),
                });
            }
        }
    }
    includes
}

/// Finds includes of what does not exist, or is empty.
pub fn check(course: &Course) -> Vec<Problem> {
    all(course).iter().filter_map(|include| problem(course, include)).collect()
}

fn problem(course: &Course, include: &Include) -> Option<Problem> {
    let name = shown(include.file.strip_prefix(&course.root).unwrap_or(&include.file));
    let report = |what: String, fix: &str| {
        Some(Problem { file: include.text.clone(), line: include.line, what, fix: fix.to_owned() })
    };
    let Ok(content) = fs::read_to_string(&include.file) else {
        return report(
            format!("includes the missing file {}", name),
            "correct the path, or add the file",
        );
    };
    let Some(selected) = select(&content, &include.selection) else {
        let what = format!("includes the missing anchor {} of {}", include.selection, name);
        return report(what, "mark it with ANCHOR: and ANCHOR_END: there");
    };
    if selected.iter().all(|line| line.trim().is_empty()) {
        return report(format!("includes nothing of {}", name), "correct the lines or the anchor");
    }
    None
}

/// The lines that an include selects: all, those between two numbers, or those of an anchor, if it is there.
pub fn select<'a>(content: &'a str, selection: &str) -> Option<Vec<&'a str>> {
    let lines: Vec<&str> = content.lines().collect();
    match selection {
        "" => Some(lines),
        numbers if numbers.chars().all(|c| c.is_ascii_digit() || c == ':') => {
            Some(by_numbers(&lines, numbers))
        }
        anchor => by_anchor(&lines, anchor),
    }
}

fn by_numbers<'a>(lines: &[&'a str], numbers: &str) -> Vec<&'a str> {
    let (first, last) = numbers.split_once(':').unwrap_or((numbers, numbers));
    let first = first.parse::<usize>().unwrap_or(1).max(1);
    let last = last.parse::<usize>().unwrap_or(lines.len()).min(lines.len());
    lines.get(first - 1..last).unwrap_or_default().to_vec()
}

fn by_anchor<'a>(lines: &[&'a str], anchor: &str) -> Option<Vec<&'a str>> {
    let marks = |kind: &str| {
        let mark = Regex::new(&format!(r"\b{kind}:\s*{}(?:\s*-->)?\s*$", regex::escape(anchor)))
            .expect("a valid expression");
        lines.iter().position(|line| mark.is_match(line))
    };
    let (start, end) = (marks("ANCHOR")?, marks("ANCHOR_END")?);
    Some(lines.get(start + 1..end)?.to_vec())
}
