//! Take-home crates: each README begins with the program that the tests compile, and a chapter shows what
//! the crate brings along and what to change before it ships.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::course::{Course, TakeHome, Text};
use crate::{Problem, includes};

/// Finds READMEs that are missing or begin with another program, and crates that no chapter shows.
pub fn check(course: &Course) -> Vec<Problem> {
    let included: BTreeSet<PathBuf> =
        includes::all(course).into_iter().map(|include| include.file).collect();
    let mut found: Vec<Problem> =
        course.take_home.iter().flat_map(|taken| problems(course, taken, &included)).collect();
    found.extend(course.texts.iter().flat_map(|text| dead_modules(course, text)));
    found
}

/// Modules of take-home crates that a text names in code, such as `careful_tls::server`, and that are not
/// there.
fn dead_modules(course: &Course, text: &Text) -> Vec<Problem> {
    let named = Regex::new(r"`(careful_[a-z_]+)(?:::([a-z_]+))?").expect("a valid expression");
    let mut problems = Vec::new();
    for (index, line) in text.markdown.lines().enumerate() {
        for found in named.captures_iter(line) {
            let name = found[1].replace('_', "-");
            let taken = course.take_home.iter().find(|taken| taken.name == name);
            let there = taken.is_some_and(|taken| {
                let source = course.root.join(&taken.folder).join("src");
                let is_named_in = |code: &str, item: &str| {
                    code.contains(&format!("pub mod {item};"))
                        || code.contains(&format!("fn {item}("))
                        || code.contains(&format!("fn {item}<"))
                };
                let code = fs::read_to_string(source.join("lib.rs")).unwrap_or_default();
                found.get(2).is_none_or(|item| is_named_in(&code, item.as_str()))
            });
            if !there {
                problems.push(Problem {
                    file: text.file.clone(),
                    line: index + 1,
                    what: format!("{}` names what is in no take-home crate", &found[0]),
                    fix: "correct it".to_owned(),
                });
            }
        }
    }
    problems
}

fn problems(course: &Course, taken: &TakeHome, included: &BTreeSet<PathBuf>) -> Vec<Problem> {
    let readme = taken.folder.join("README.md");
    let report = |file: &Path, what: &str, fix: &str| Problem {
        file: file.to_owned(),
        line: 0,
        what: what.to_owned(),
        fix: fix.to_owned(),
    };
    let mut problems = Vec::new();
    let text = fs::read_to_string(course.root.join(&readme)).unwrap_or_default();
    if !text.starts_with(&format!("# {}\n", taken.name)) {
        problems.push(report(
            &readme,
            "the README does not begin with the crate's name",
            "write it",
        ));
    }
    let program = text.split_once("```rust\n").and_then(|(_, rest)| rest.split_once("```"));
    let program = program.map_or("", |(program, _)| program);
    let example = taken.folder.join(format!("examples/{}.rs", taken.name));
    let compiled = fs::read_to_string(course.root.join(&example)).unwrap_or_default();
    if program.is_empty() || program != compiled {
        let what = "the README's first program is not the one in examples/";
        problems.push(report(&readme, what, "copy it from there: that one is compiled"));
    }
    let examples = fs::read_dir(course.root.join(taken.folder.join("examples")));
    let examples = examples.into_iter().flatten().flatten();
    let examples: Vec<String> =
        examples.map(|example| fs::read_to_string(example.path()).unwrap_or_default()).collect();
    let blocks = text.split("```rust\n").skip(2).filter_map(|rest| rest.split_once("```"));
    for (program, _) in blocks {
        if !examples.iter().any(|example| example == program) {
            let what = "a later program of the README is not one in examples/";
            problems.push(report(&readme, what, "copy it from there: that one is compiled"));
        }
    }
    for shown in [readme, taken.folder.join("crates.txt")] {
        if !included.contains(&course.root.join(&shown)) {
            problems.push(report(
                &shown,
                "no chapter shows it",
                "include it in the lesson's chapter",
            ));
        }
    }
    problems
}
