//! Links and fragments of the built pages, read with an HTML parser.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, Tag, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

use crate::{Problem, normal};

/// What matters of a page.
#[derive(Default)]
struct Page {
    ids: BTreeSet<String>,
    links: Vec<(u64, String)>,
}

/// Finds links to pages, files and fragments that do not exist. Links to the network are
/// not followed: the tests need none.
///
/// # Errors
/// A page cannot be read.
pub fn check(pages: &Path) -> anyhow::Result<Vec<Problem>> {
    let mut found = BTreeMap::new();
    for file in html_files(pages)? {
        let html = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        found.insert(normal(&file), read(&html));
    }
    let mut problems = Vec::new();
    for (file, page) in &found {
        // The page for every address that does not exist has a base of its own.
        if file.ends_with("404.html") {
            continue;
        }
        for (line, link) in &page.links {
            if let Some(what) = broken(file, link, &found) {
                let name = file.strip_prefix(normal(pages)).unwrap_or(file).to_owned();
                let fix = "correct it in the chapter's Markdown".to_owned();
                problems.push(Problem {
                    file: name,
                    line: usize::try_from(*line).unwrap_or(0),
                    what,
                    fix,
                });
            }
        }
    }
    Ok(problems)
}

fn broken(file: &Path, link: &str, pages: &BTreeMap<PathBuf, Page>) -> Option<String> {
    if link.contains("://")
        || link.starts_with("mailto:")
        || link.starts_with("data:")
        || link.is_empty()
    {
        return None;
    }
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let target = match path.split('?').next().unwrap_or_default() {
        "" => file.to_owned(),
        relative => normal(&file.parent()?.join(relative)),
    };
    if !target.exists() {
        return Some(format!("the link {link} leads to no file"));
    }
    let page = pages.get(&target)?;
    let exists = fragment.is_empty() || page.ids.contains(fragment);
    (!exists).then(|| format!("the link {link} leads to a page without the id {fragment}"))
}

/// Collects ids and links from the start tags of a page.
#[derive(Default)]
struct Collector(RefCell<Page>);

impl TokenSink for Collector {
    type Handle = ();

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<()> {
        if let Token::TagToken(Tag { attrs, name, .. }) = token {
            let mut page = self.0.borrow_mut();
            for attribute in attrs {
                let value = attribute.value.to_string();
                match &*attribute.name.local {
                    "id" | "name" => drop(page.ids.insert(value)),
                    "href" if &*name != "base" => page.links.push((line, value)),
                    "src" => page.links.push((line, value)),
                    _ => {}
                }
            }
        }
        TokenSinkResult::Continue
    }
}

fn read(html: &str) -> Page {
    let tokenizer = Tokenizer::new(Collector::default(), TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(html));
    let _handle = tokenizer.feed(&input);
    tokenizer.end();
    tokenizer.sink.0.into_inner()
}

fn html_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(html_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "html") {
            files.push(path);
        }
    }
    Ok(files)
}
