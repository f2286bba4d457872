//! Exercises: their files, and the chapter that shows them.

use std::fs;
use std::path::PathBuf;

use exercise::Exercise;

use crate::course::{Course, Lesson};
use crate::{Problem, includes};

/// The files of an exercise, besides the learner's own.
const FILES: [&str; 7] =
    ["exercise.md", "hints.md", "stub.rs", "naive.rs", "solution.rs", "check.rs", "main.rs"];
/// What a chapter shows of it, and in which folds.
const SHOWN: [(&str, &str); 6] = [
    ("exercise.md", ""),
    ("hints.md", "hint_1"),
    ("hints.md", "hint_2"),
    ("hints.md", "hint_3"),
    ("solution.rs", ""),
    ("naive.rs", ""),
];

/// Finds a missing file or hint, an exercise that its chapter doesn't show, and a file that a task names and that
/// isn't there.
pub fn check(course: &Course) -> Vec<Problem> {
    let exercises = match exercise::find(&course.root) {
        Ok(exercises) => exercises,
        Err(error) => {
            let fix = "correct its first lines".to_owned();
            return vec![Problem {
                file: PathBuf::from("lessons"),
                line: 0,
                what: error.to_string(),
                fix,
            }];
        }
    };
    let included = includes::all(course);
    let mut problems = Vec::new();
    for exercise in &exercises {
        let folder =
            exercise.folder.strip_prefix(&course.root).unwrap_or(&exercise.folder).to_owned();
        let mut report = |file: PathBuf, what: String, fix: &str| {
            problems.push(Problem { file, line: 0, what, fix: fix.to_owned() });
        };
        for file in
            FILES.iter().chain(&["yours.rs"]).filter(|file| !exercise.folder.join(file).exists())
        {
            report(folder.join(file), "it is missing".to_owned(), "every exercise has one");
        }
        let hints = exercise
            .hints()
            .map_or(0, |hints| hints.iter().filter(|hint| !hint.is_empty()).count());
        if hints != 3 {
            report(
                folder.join("hints.md"),
                format!("{hints} hints"),
                "write \"## Hint 1\" to \"## Hint 3\"",
            );
        }
        let lesson =
            course.lessons.iter().find(|lesson| lesson.number == u32::from(exercise.number.0));
        let Some(lesson) = lesson else {
            report(folder.clone(), "there is no such lesson".to_owned(), "move it");
            continue;
        };
        for (file, selection) in SHOWN {
            let path = exercise.folder.join(file);
            let shown = included.iter().any(|include| {
                include.text == lesson.chapter
                    && include.file == path
                    && include.selection == selection
            });
            if !shown {
                let what = format!(
                    "it does not show {}:{selection} of exercise {}",
                    file,
                    exercise.name()
                );
                report(lesson.chapter.clone(), what, "include it in the section Do it");
            }
        }
        if !course.binaries.contains(&exercise.bin()) {
            report(
                folder.clone(),
                format!("there is no program {}", exercise.bin()),
                "add it to Cargo.toml",
            );
        }
        for called in functions_named(exercise) {
            let code = code_of(course, lesson, exercise);
            if !code.contains(&format!("fn {called}(")) && !code.contains(&format!("fn {called}<"))
            {
                let what = format!("there is no function {called}");
                report(
                    folder.join("exercise.md"),
                    what,
                    "name one of the exercise or of its lesson",
                );
            }
        }
        for declared in declarations_not_in(exercise, &code_of(course, lesson, exercise)) {
            report(
                folder.join("exercise.md"),
                format!(
                    "this is declared nowhere: {}",
                    declared.lines().next().unwrap_or_default()
                ),
                "show it as the exercise or its lesson has it",
            );
        }
        for named in
            files_named(exercise).into_iter().filter(|named| !exercise.folder.join(named).exists())
        {
            report(
                folder.join("exercise.md"),
                format!("there is no {named}"),
                "name a file of the exercise",
            );
        }
    }
    problems.extend(course.lessons.iter().filter_map(|lesson| minutes(course, lesson, &exercises)));
    problems
}

/// A chapter says how long its parts and its exercises take, if both are known.
fn minutes(course: &Course, lesson: &Lesson, exercises: &[Exercise]) -> Option<Problem> {
    let theirs = exercises.iter().filter(|exercise| u32::from(exercise.number.0) == lesson.number);
    let practice: u32 = theirs.map(|exercise| exercise.minutes).sum();
    let expected = match practice {
        0 => return None,
        practice => {
            format!("**Time:** {} minutes, and {practice} for the exercises.", lesson.minutes)
        }
    };
    let chapter = course.texts.iter().find(|text| text.file == lesson.chapter)?;
    (!chapter.markdown.contains(&expected)).then(|| Problem {
        file: lesson.chapter.clone(),
        line: 0,
        what: format!("it does not say \"{expected}\""),
        fix: "the minutes are those of main.rs and of each exercise.md".to_owned(),
    })
}

/// What a task shows of types and signatures, `pub …`, and this code doesn't have like this, comments and attributes apart.
fn declarations_not_in(exercise: &Exercise, code: &str) -> Vec<String> {
    let bare = |text: &str| {
        let lines = text.lines().map(str::trim);
        let lines: Vec<&str> =
            lines.filter(|line| !line.starts_with("//") && !line.starts_with("#[")).collect();
        lines.join("\n")
    };
    let (text, code) = (exercise.read("exercise.md").unwrap_or_default(), bare(code));
    let listings = text.split("```rust,noplayground\n").skip(1);
    let listings = listings.filter_map(|rest| rest.split("\n```").next());
    let shown = listings.flat_map(|listing| listing.split("\n\n")).map(bare);
    shown.filter(|shown| shown.starts_with("pub ") && !code.contains(shown)).collect()
}

/// The functions that a task calls in its code spans: `wire.send(…)`, `forge::json(…)`.
fn functions_named(exercise: &Exercise) -> Vec<String> {
    let text = exercise.read("exercise.md").unwrap_or_default();
    // Whole programs and commands stand in blocks.
    let prose: String = text.split("```").step_by(2).collect();
    let spans = prose.split('`').skip(1).step_by(2).filter_map(|span| span.split_once('('));
    let name = |(before, _): (&str, &str)| {
        let name = before.rsplit(|byte: char| !byte.is_alphanumeric() && byte != '_').next()?;
        // A name that begins with a capital letter is a type's, or a variant's.
        let is_a_function = name.starts_with(|first: char| first.is_lowercase());
        is_a_function.then(|| name.to_owned())
    };
    spans.filter_map(name).collect()
}

/// The code of an exercise and of its lesson's laboratory.
fn code_of(course: &Course, lesson: &Lesson, exercise: &Exercise) -> String {
    let lab = course.root.join(&lesson.folder).join("src/lab");
    let folders = [exercise.folder.clone(), lab];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
    let paths = files.filter_map(|entry| Some(entry.ok()?.path()));
    let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// The Rust files in a task's code spans.
fn files_named(exercise: &Exercise) -> Vec<String> {
    let text = exercise.read("exercise.md").unwrap_or_default();
    let spans = text.split('`').skip(1).step_by(2);
    spans.filter(|span| span.ends_with(".rs")).map(str::to_owned).collect()
}

/// The exercises whose `yours.rs` isn't the stub. A learner's own clone has them; a commit must not.
///
/// # Errors
/// A file can't be read.
pub fn begun(course: &Course) -> std::io::Result<Vec<String>> {
    let mut begun = Vec::new();
    for exercise in exercise::find(&course.root)? {
        if fs::read(exercise.yours())? != fs::read(exercise.folder.join("stub.rs"))? {
            begun.push(exercise.name());
        }
    }
    Ok(begun)
}
