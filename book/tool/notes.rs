//! The speaker notes: one for each part, on a page of their own, and folded next to the part in its chapter.

use std::path::{Path, PathBuf};

use crate::Problem;
use crate::course::{Course, Lesson};

/// The page with all of them, relative to the course.
pub const PAGE: &str = "book/src/speaker-notes.md";

/// A note.
pub struct Note {
    /// The lesson's number.
    pub lesson: u32,
    /// The part's name.
    pub part: String,
    /// What it says, in Markdown.
    pub text: String,
    /// The line of its heading, from 1.
    pub line: usize,
}

/// The notes on this page: `## Lesson N: …`, and in it `### PART`.
pub fn notes(markdown: &str) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    let mut lesson = None;
    let mut in_note = false;
    for (number, line) in markdown.lines().enumerate() {
        if let Some(heading) = line.strip_prefix("## ") {
            let number = heading.strip_prefix("Lesson ").and_then(|rest| rest.split(':').next());
            lesson = number.and_then(|number| number.parse().ok());
            in_note = false;
        } else if let (Some(part), Some(lesson)) = (line.strip_prefix("### "), lesson) {
            let (part, line) = (part.trim().to_owned(), number + 1);
            notes.push(Note { lesson, part, text: String::new(), line });
            in_note = true;
        } else if let (true, Some(note)) = (in_note, notes.last_mut()) {
            note.text.push_str(line);
            note.text.push('\n');
        }
    }
    notes
}

/// What folds open next to a part.
pub fn fold(notes: &[Note], lesson: &Lesson, part: &str) -> Option<String> {
    let note = notes.iter().find(|note| note.lesson == lesson.number && note.part == part)?;
    Some(format!(
        "\n<details class=\"speaker\">\n<summary>For the instructor: {part}</summary>\n\n{}\n\n</details>\n",
        note.text.trim()
    ))
}

/// The id in the heading of a part's section.
pub fn part_of_heading(line: &str) -> Option<&str> {
    line.strip_prefix("## ")?.split_once("{#")?.1.strip_suffix(" .part}")
}

/// Finds parts without a note, notes without a part, and notes that say nothing.
pub fn check(course: &Course) -> Vec<Problem> {
    let Some(page) = course.texts.iter().find(|text| text.file.as_path() == Path::new(PAGE)) else {
        return Vec::new();
    };
    let notes = notes(&page.markdown);
    let problem = |line, what: String, fix: &str| Problem {
        file: PathBuf::from(PAGE),
        line,
        what,
        fix: fix.to_owned(),
    };
    let mut problems = Vec::new();
    for lesson in &course.lessons {
        let of_lesson = || notes.iter().filter(|note| note.lesson == lesson.number);
        let named: Vec<&str> = of_lesson().map(|note| note.part.as_str()).collect();
        if named != lesson.parts {
            let what = format!(
                "the notes of lesson {} are for {named:?}, and its parts are {:?}",
                lesson.number, lesson.parts
            );
            problems.push(problem(0, what, "write a note for each part, in their order"));
        }
        let empty = of_lesson().filter(|note| note.text.trim().is_empty());
        problems.extend(empty.map(|note| {
            problem(note.line, format!("the note for {} says nothing", note.part), "write it")
        }));
    }
    let numbers: Vec<u32> = course.lessons.iter().map(|lesson| lesson.number).collect();
    let strangers = notes.iter().filter(|note| !numbers.contains(&note.lesson));
    problems.extend(strangers.map(|note| {
        let what =
            format!("there is no lesson {}, whose part {} has a note", note.lesson, note.part);
        problem(note.line, what, "correct the lesson's number")
    }));
    problems
}
