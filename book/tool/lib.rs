//! Builds the book, and checks what mdBook does not: it shows an empty block for an anchor that does
//! not exist, and says nothing about dead links (observed with mdBook 0.5.4).
//!
//! | module | what it finds |
//! | --- | --- |
//! | [`includes`] | an include of a missing file, anchor or line |
//! | [`links`] | a dead link or `#fragment` in the built pages |
//! | [`parts`] | a part without a section, a section without a part, a snapshot that no chapter shows |
//! | [`commands`] | a command in the text that does not exist |
//! | [`exercises`] | an exercise without all its files, or that no chapter shows |
//! | [`figures`] | draws the figures |
//! | [`pages`] | writes what a page has beyond mdBook's own |
//! | [`take_home`] | a take-home crate whose README or chapter does not show what is there |

pub mod commands;
pub mod course;
pub mod exercises;
pub mod figures;
pub mod includes;
pub mod links;
pub mod notes;
pub mod pages;
pub mod parts;
pub mod take_home;

use std::fmt;
use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use mdbook_driver::MDBook;

use course::Course;

/// Something to correct in the course.
#[derive(Debug)]
pub struct Problem {
    /// The file, relative to the course.
    pub file: PathBuf,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", shown(&self.file), self.line, self.what, self.fix)
    }
}

/// Builds the book of the course in this folder, into `into` or where book.toml says;
/// returns the folder of the pages.
///
/// # Errors
/// What mdBook reports.
pub fn build(course: &Path, into: Option<&Path>) -> anyhow::Result<PathBuf> {
    let mut book = MDBook::load(course.join("book"))?;
    if let Some(folder) = into {
        book.config.build.build_dir = folder.to_owned();
    }
    // In the place of the command in book.toml, which is the same function in a process of its own.
    book.with_preprocessor(pages::Pages);
    book.build()?;
    Ok(book.build_dir_for("html"))
}

/// Builds the book into `into` and returns every problem found.
///
/// # Errors
/// The book cannot be built, or a file cannot be read.
pub fn check(course: &Path, into: &Path) -> anyhow::Result<Vec<Problem>> {
    let mut problems = check_sources(course)?;
    let pages = build(course, Some(into)).context("the book cannot be built")?;
    problems.extend(links::check(&pages)?);
    Ok(problems)
}

/// Every problem that shows without building the book.
///
/// # Errors
/// A file cannot be read.
pub fn check_sources(course: &Path) -> anyhow::Result<Vec<Problem>> {
    let course = Course::read(course).context("cannot read the course")?;
    let mut problems = includes::check(&course);
    problems.extend(parts::check(&course));
    problems.extend(notes::check(&course));
    problems.extend(commands::check(&course));
    problems.extend(take_home::check(&course));
    problems.extend(exercises::check(&course));
    Ok(problems)
}

/// The path without `.` and `..`, whether or not it exists.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(normal.pop()),
            other => normal.push(other),
        }
    }
    normal
}

/// A path as messages show it, with `/` on every system.
fn shown(path: &Path) -> String {
    path.display().to_string().replace('\\', "/")
}
