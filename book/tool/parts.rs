//! Parts, sections and snapshots: each part of a lesson has a section in its chapter, and
//! the other way round; each snapshot is shown.
//!
//! A part's section is a heading with the part's name as its id and the class `part`:
//! `## Listen {#listen .part}`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag};

use crate::course::{Course, Lesson};
use crate::{Problem, includes, shown};

/// Finds parts without a section, sections without a part, lessons without a chapter and
/// snapshots that no chapter shows.
pub fn check(course: &Course) -> Vec<Problem> {
    let mut problems: Vec<Problem> =
        course.lessons.iter().flat_map(|lesson| sections(course, lesson)).collect();
    let included: BTreeSet<PathBuf> =
        includes::all(course).into_iter().map(|include| include.file).collect();
    for folder in &course.unlisted {
        problems.push(Problem {
            file: PathBuf::from("Cargo.toml"),
            line: 0,
            what: format!("{} has a manifest, and is not a member of the workspace", shown(folder)),
            fix: "add it to the members, or move it away".to_owned(),
        });
    }
    problems.extend(includes::all(course).iter().filter_map(header_of_a_snapshot));
    for snapshot in course.lessons.iter().flat_map(|lesson| &lesson.snapshots) {
        if !included.contains(&course.root.join(snapshot)) {
            problems.push(Problem {
                file: snapshot.clone(),
                line: 0,
                what: "no chapter shows this snapshot".to_owned(),
                fix: "include it from its line 4 on, or delete it".to_owned(),
            });
        }
    }
    problems
}

/// A snapshot's first three lines are insta's own.
fn header_of_a_snapshot(include: &includes::Include) -> Option<Problem> {
    let is_snapshot = include.file.extension().is_some_and(|ending| ending == "snap");
    let first = include.selection.split(':').next().and_then(|first| first.parse::<usize>().ok());
    (is_snapshot && first.is_none_or(|first| first < 4)).then(|| Problem {
        file: include.text.clone(),
        line: include.line,
        what: format!("shows the header of a snapshot: {}", include.selection),
        fix: "include it from its line 4 on: FILE.snap:4:".to_owned(),
    })
}

fn sections(course: &Course, lesson: &Lesson) -> Vec<Problem> {
    let report = |line, what: String, fix: &str| Problem {
        file: lesson.chapter.clone(),
        line,
        what,
        fix: fix.to_owned(),
    };
    let Some(text) = course.texts.iter().find(|text| text.file == lesson.chapter) else {
        let what = format!("{} has no chapter", shown(&lesson.folder));
        return vec![report(0, what, "write this file, and name it in SUMMARY.md")];
    };
    let mut problems = Vec::new();
    let name = lesson.chapter.file_name().unwrap_or_default().to_string_lossy();
    let row = format!("just lesson {}", lesson.number);
    for (place, wanted, fix) in [
        ("book/src/SUMMARY.md", format!("({name})"), "without a line there, mdBook leaves it out"),
        ("README.md", format!("| {} |", lesson.number), "add a row to the table of lessons"),
        ("README.md", row, "add a row to the table of lessons"),
    ] {
        let named = course
            .texts
            .iter()
            .any(|text| text.file.as_path() == Path::new(place) && text.markdown.contains(&wanted));
        if !named {
            problems.push(Problem {
                file: PathBuf::from(place),
                line: 0,
                what: format!("lesson {} is missing: expected \"{wanted}\"", lesson.number),
                fix: fix.to_owned(),
            });
        }
    }
    // The chapter before leads here.
    let before = course.lessons.iter().rev().find(|before| before.number < lesson.number);
    let leads = |before: &&Lesson| {
        let text = course.texts.iter().find(|text| text.file == before.chapter)?;
        let next = text.markdown.lines().find(|line| line.starts_with("**Next:**"))?;
        (!next.contains(&format!("({name})"))).then(|| before.chapter.clone())
    };
    if let Some(file) = before.as_ref().and_then(leads) {
        problems.push(Problem {
            file,
            line: 0,
            what: format!("its **Next:** does not lead to ({name})"),
            fix: "correct the link".to_owned(),
        });
    }
    let mut found = Vec::new();
    for (event, range) in
        Parser::new_ext(&text.markdown, Options::ENABLE_HEADING_ATTRIBUTES).into_offset_iter()
    {
        let Event::Start(Tag::Heading { id, classes, .. }) = event else { continue };
        if !classes.iter().any(|class| &**class == "part") {
            continue;
        }
        let line = text.markdown[..range.start].lines().count() + 1;
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        if !lesson.parts.contains(&id) {
            let what = format!(
                "the section #{id} stands for no part: there are {}",
                lesson.parts.join(", ")
            );
            problems.push(report(line, what, "correct the id, or remove the class part"));
        }
        found.push(id);
    }
    let in_order: Vec<&String> = lesson.parts.iter().filter(|part| found.contains(part)).collect();
    let as_found: Vec<&String> = found.iter().filter(|part| lesson.parts.contains(part)).collect();
    if in_order != as_found {
        let what =
            format!("the sections come as {as_found:?}, the parts of main.rs as {in_order:?}");
        problems.push(report(0, what, "move the sections, or the parts"));
    }
    for part in lesson.parts.iter().filter(|part| !found.contains(*part)) {
        let what = format!("the part {part} has no section");
        problems.push(report(0, what, &format!("add a heading that ends in {{#{part} .part}}")));
    }
    problems
}
