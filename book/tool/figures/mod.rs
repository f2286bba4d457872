//! The book's figures. A text shows one by a line `{{#figure NAME}}`.
//!
//! They are drawn when the book is built. Numbers that a run measured are read from what the run left: a snapshot, or
//! the result of a bench.

mod channel;
mod data;
mod pki;
mod service;
pub mod sheet;

use std::path::Path;

use anyhow::Context;

use sheet::Sheet;

/// A figure.
pub struct Figure {
    /// Its name in the texts.
    pub name: &'static str,
    /// What stands under it.
    pub caption: &'static str,
    /// What it shows, for those who don't see it.
    pub alternative: &'static str,
    /// Draws it, for the course in this folder.
    pub draw: fn(&Path) -> anyhow::Result<Sheet>,
}

/// All figures, in the order of the book.
pub fn all() -> impl Iterator<Item = &'static Figure> {
    channel::FIGURES.iter().chain(data::FIGURES).chain(service::FIGURES).chain(pki::FIGURES)
}

/// A figure with its caption, as HTML that can stand in Markdown.
///
/// # Errors
/// There is no figure of that name, or what it is drawn from can't be read.
pub fn figure(course: &Path, name: &str) -> anyhow::Result<String> {
    let figure = all().find(|figure| figure.name == name);
    let figure = figure.with_context(|| format!("there is no figure {name}"))?;
    let sheet = (figure.draw)(course).with_context(|| format!("the figure {name}"))?;
    Ok(format!(
        "<figure id=\"figure-{name}\">\n{}<figcaption>{}</figcaption>\n</figure>\n",
        sheet.svg(figure.alternative),
        figure.caption
    ))
}

/// A figure as a file of its own.
///
/// # Errors
/// There is no figure of that name, or what it is drawn from can't be read.
pub fn file(course: &Path, name: &str) -> anyhow::Result<String> {
    let figure = all().find(|figure| figure.name == name);
    let figure = figure.with_context(|| format!("there is no figure {name}"))?;
    Ok((figure.draw)(course)?.file(figure.alternative))
}

/// The number before `unit` in the line of a file that begins with `label`, without regard to spaces.
fn measured(course: &Path, file: &str, label: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(course.join(file)).with_context(|| file.to_owned())?;
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let label: Vec<&str> = label.split_whitespace().collect();
    let mut numbers =
        lines.filter_map(|words| words.strip_prefix(&label[..])?.first()?.parse().ok());
    numbers.next().with_context(|| format!("{file}: no line {label:?} with a number"))
}
