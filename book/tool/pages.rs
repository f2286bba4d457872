//! What a page of the book has beyond mdBook's own: the name of each listing's file, transcripts that look like a
//! terminal, figures, and the parts of a chapter with their minutes.
//!
//! It's a preprocessor, which mdBook starts as `book.toml` says, and which [`crate::build`] calls in its own process. It
//! has to come before mdBook's `links`, because the name of a file is gone once its text is there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use mdbook_driver::book::{Book, BookItem};
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};
use regex::Regex;

use crate::course::{Course, Lesson};
use crate::notes::{self, Note};
use crate::{figures, includes, normal, shown};

/// The preprocessor.
pub struct Pages;

impl Preprocessor for Pages {
    fn name(&self) -> &'static str {
        "pages"
    }

    fn run(&self, context: &PreprocessorContext, mut book: Book) -> anyhow::Result<Book> {
        let root = normal(&std::path::absolute(context.root.join(".."))?);
        // A course that is no workspace has no lessons either.
        let lessons = Course::read(&root).map(|course| course.lessons).unwrap_or_default();
        let repository = repository(&root);
        let notes = fs::read_to_string(root.join(notes::PAGE)).unwrap_or_default();
        let notes = notes::notes(&notes);
        let mut failed = None;
        book.for_each_mut(|item| {
            let BookItem::Chapter(chapter) = item else { return };
            let Some(path) = &chapter.source_path else { return };
            let file = Path::new("book/src").join(path);
            let page =
                Page { root: &root, file: &file, repository: repository.as_deref(), notes: &notes };
            let lesson = lessons.iter().find(|lesson| lesson.chapter == file);
            match page.written(&chapter.content, lesson) {
                Ok(content) => chapter.content = content,
                Err(error) => failed = Some(error.context(shown(&file))),
            }
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(book),
        }
    }
}

/// Where the course is published, if the workspace says.
fn repository(root: &Path) -> Option<String> {
    let manifest: toml::Table = fs::read_to_string(root.join("Cargo.toml")).ok()?.parse().ok()?;
    let address = manifest.get("workspace")?.get("package")?.get("repository")?.as_str()?;
    Some(address.trim_end_matches('/').to_owned())
}

/// A page that is being written.
pub struct Page<'a> {
    /// The course's folder.
    pub root: &'a Path,
    /// The page's file, relative to it.
    pub file: &'a Path,
    /// The address that a listing's name leads to.
    pub repository: Option<&'a str>,
    /// The speaker notes.
    pub notes: &'a [Note],
}

impl Page<'_> {
    /// The page's Markdown, as mdBook goes on with it.
    ///
    /// # Errors
    /// A figure that doesn't exist or can't be drawn. An include that can't be resolved stays as it is, because
    /// [`includes::check`] says more about it.
    pub fn written(&self, markdown: &str, lesson: Option<&Lesson>) -> anyhow::Result<String> {
        let lines: Vec<&str> = markdown.lines().collect();
        let mut page = String::with_capacity(markdown.len());
        let mut at = 0;
        let mut in_block = false;
        while at < lines.len() {
            if let Some(block) = (!in_block).then(|| self.included(&lines[at..])).flatten() {
                page.push_str(&block);
                at += 3;
                continue;
            }
            if let Some((entry, height)) = (!in_block).then(|| to_tick(&lines[at..])).flatten() {
                page.push_str(&entry);
                at += height;
                continue;
            }
            let line = lines[at];
            if line.trim_start().starts_with("```") {
                in_block = !in_block;
            }
            match figure_name(line).filter(|_| !in_block) {
                Some(name) => page.push_str(&figures::figure(self.root, name)?),
                None => page.push_str(line),
            }
            page.push('\n');
            let part = notes::part_of_heading(line).filter(|_| !in_block);
            let note =
                lesson.zip(part).and_then(|(lesson, part)| notes::fold(self.notes, lesson, part));
            page.push_str(&note.unwrap_or_default());
            // The paragraph that begins with the chapter's requirements ends at the next empty line.
            let paragraph = lines[..=at].rsplit(|line| line.is_empty()).next().unwrap_or_default();
            let ends = lines.get(at + 1).is_none_or(|next| next.is_empty());
            if let (Some(lesson), true) = (lesson, ends)
                && paragraph.first().is_some_and(|first| first.starts_with("**Before you start:**"))
            {
                page.push_str(&contents(self.root, lesson)?);
            }
            at += 1;
        }
        Ok(page)
    }

    /// A block that is nothing but an include, with its text and the name of its file.
    fn included(&self, lines: &[&str]) -> Option<String> {
        let [fence, include, "```", ..] = lines else { return None };
        let language = fence.strip_prefix("```")?;
        let directive = include.strip_prefix("{{#include ")?.strip_suffix("}}")?;
        let (path, selection) = directive.trim().split_once(':').unwrap_or((directive.trim(), ""));
        let folder = self.root.join(self.file).parent().map(Path::to_owned)?;
        let path = normal(&folder.join(path));
        let content = fs::read_to_string(&path).ok()?;
        let selected = includes::select(&content, selection)?;
        let name = PathBuf::from(shown(path.strip_prefix(self.root).unwrap_or(&path)));
        if path.extension().is_some_and(|ending| ending == "snap") {
            return Some(transcript(&name, &selected));
        }
        let caption = match self.repository {
            Some(address) => format!("<a href=\"{address}/blob/main/{0}\">{0}</a>", name.display()),
            None => name.display().to_string(),
        };
        Some(format!(
            "<div class=\"listing\">\n<p class=\"file\">{caption}</p>\n\n```{language}\n{}\n```\n\n</div>\n",
            to_the_margin(&selected).join("\n")
        ))
    }
}

/// An entry of a checklist, `- [ ] …`, whose box is labeled by its text; and how many lines it has.
fn to_tick(lines: &[&str]) -> Option<(String, usize)> {
    let first = lines.first()?.strip_prefix("- [ ] ")?;
    let rest = lines[1..].iter().take_while(|line| line.starts_with("  "));
    let words: Vec<&str> = std::iter::once(first).chain(rest.map(|line| line.trim())).collect();
    let entry = format!("- <label><input type=\"checkbox\"> {}</label>\n", words.join(" "));
    Some((entry, words.len()))
}

/// The name in a line `{{#figure NAME}}`.
pub fn figure_name(line: &str) -> Option<&str> {
    line.strip_prefix("{{#figure ")?.strip_suffix("}}")
}

/// The lines without the indentation that all of them have, and without the marks of anchors.
fn to_the_margin<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let mark = Regex::new(r"\bANCHOR(_END)?:").expect("a valid expression");
    let lines: Vec<&str> = lines.iter().copied().filter(|line| !mark.is_match(line)).collect();
    let full = lines.iter().filter(|line| !line.trim().is_empty());
    let indented = full.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    lines.iter().map(|line| line.get(indented..).unwrap_or_default()).collect()
}

/// What a program printed. Its labels are marked, and say what they mean without the mark, too.
fn transcript(file: &Path, lines: &[&str]) -> String {
    let name = file.file_stem().unwrap_or_default().to_string_lossy().replace('_', " ");
    let mut html = format!(
        "<pre class=\"transcript\" tabindex=\"0\" role=\"group\" aria-label=\"Output: {name}\">"
    );
    let end = lines.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |last| last + 1);
    let mut in_step = false;
    for line in lines[..end].iter().skip_while(|line| line.trim().is_empty()) {
        in_step = starts_a_step(line) || (in_step && continues_a_step(line));
        if in_step {
            html.push_str(&format!("<b>{}</b>\n", escaped(line)));
        } else {
            html.push_str(&labeled(line));
            html.push('\n');
        }
    }
    html.push_str("</pre>\n");
    html
}

/// Labels that say what was expected, and those that say what went wrong for somebody.
const GOOD: [&str; 3] = ["ok", "refused", "wire hides"];
const BAD: [&str; 2] = ["attack works", "wire shows"];

/// A number, a dot, and a sentence.
fn starts_a_step(line: &str) -> bool {
    line.split_once(". ").is_some_and(|(number, _)| {
        !number.is_empty() && number.chars().all(|digit| digit.is_ascii_digit())
    })
}

/// The rest of a step's sentence is indented as a label is, but no label has a word in its last two columns.
fn continues_a_step(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("   ").filter(|rest| !rest.starts_with(' ')) else {
        return false;
    };
    rest.split_at_checked(15).is_none_or(|(start, _)| !start.ends_with("  "))
}

/// A line of a transcript, with its label marked.
fn labeled(line: &str) -> String {
    let Some((label, value)) = line.strip_prefix("   ").and_then(|rest| rest.split_at_checked(15))
    else {
        return escaped(line);
    };
    let class = match label.trim_end() {
        label if GOOD.contains(&label) => "g",
        label if BAD.contains(&label) => "a",
        _ => return escaped(line),
    };
    let label_width = label.trim_end().len();
    format!(
        "   <i class=\"{class}\">{}</i>{}{}",
        &label[..label_width],
        &label[label_width..],
        escaped(value)
    )
}

/// The parts of a lesson and its exercises, with their minutes.
fn contents(root: &Path, lesson: &Lesson) -> anyhow::Result<String> {
    let mut entries: Vec<String> = lesson
        .minutes_of
        .iter()
        .map(|(part, minutes)| format!("[{part}](#{part}) {minutes}"))
        .collect();
    for exercise in exercise::find(root).context("the exercises")? {
        if u32::from(exercise.number.0) == lesson.number {
            let name = exercise.name();
            let heading = anchor(&format!("Exercise {name}: {}", exercise.title));
            entries.push(format!("[exercise {name}](#{heading}) {}", exercise.minutes));
        }
    }
    if entries.is_empty() {
        return Ok(String::new());
    }
    Ok(format!("\n**In this chapter**, with minutes: {}.\n", entries.join(", ")))
}

/// The id that mdBook gives to a heading.
fn anchor(heading: &str) -> String {
    let kept = |letter: char| match letter {
        ' ' => Some('-'),
        letter if letter.is_alphanumeric() || "-_".contains(letter) => {
            Some(letter.to_ascii_lowercase())
        }
        _ => None,
    };
    heading.chars().filter_map(kept).collect()
}

/// Text as HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Answers mdBook on standard output: whether a renderer is supported, or the book with its pages written.
///
/// # Errors
/// The arguments or standard input aren't mdBook's, or a page can't be written.
pub fn answer(arguments: &[String]) -> anyhow::Result<()> {
    match arguments {
        [] => {
            let (context, book) = mdbook_preprocessor::parse_input(std::io::stdin())?;
            let book = Pages.run(&context, book)?;
            serde_json::to_writer(std::io::stdout(), &book)?;
            Ok(())
        }
        // The pages are HTML; another renderer gets the same, and shows what it can.
        [supports, _] if supports == "supports" => Ok(()),
        other => bail!("expected what mdBook says to a preprocessor, got {other:?}"),
    }
}
