//! The pages: figures, listings with their files' names, transcripts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use book::course::Course;
use book::figures;
use book::pages::{Page, figure_name};

fn course() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn every_figure_is_shown_once_and_its_words_have_room() {
    let mut shown: BTreeMap<String, usize> = BTreeMap::new();
    for text in Course::read(&course()).expect("the course").texts {
        for name in text.markdown.lines().filter_map(figure_name) {
            *shown.entry(name.to_owned()).or_default() += 1;
        }
    }
    for figure in figures::all() {
        assert_eq!(shown.get(figure.name), Some(&1), "{} in the texts", figure.name);
        let sheet = (figure.draw)(&course()).expect("a figure");
        assert!(sheet.too_wide.is_empty(), "{}: no room for {:?}", figure.name, sheet.too_wide);
        let svg = sheet.svg(figure.alternative);
        assert!(!svg.trim_end().contains("\n\n"), "{}: an empty line ends the HTML", figure.name);
        assert!(figure.alternative.len() > figure.caption.len() / 2, "{}", figure.name);
    }
    assert!(figures::all().count() >= 14, "figures");
}

#[test]
fn words_that_have_no_room_are_noticed() {
    let mut sheet = figures::sheet::Sheet::default();
    sheet.boxed((2, 2), (40, 20), figures::sheet::Look::Plain, &["far too long for it"]);
    assert!(!sheet.too_wide.is_empty());
}

/// A page of a small course, with these files.
fn written(repository: Option<&str>, files: &[(&str, &str)], markdown: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    for (file, text) in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    let file = Path::new("book/src/page.md");
    let page = Page { root: folder.path(), file, repository, notes: &[] };
    page.written(markdown, None).expect("a page")
}

const LISTING: &str = "# A page\n\n```rust,noplayground\n{{#include ../../src/a.rs:one}}\n```\n";
const SOURCE: &str = "mod m {\n    // ANCHOR: one\n    fn one() {\n        two();\n    }\n    // ANCHOR_END: one\n}\n";

#[test]
fn a_listing_has_its_files_name_and_starts_at_the_margin() {
    let page = written(None, &[("src/a.rs", SOURCE)], LISTING);
    assert!(page.contains("<p class=\"file\">src/a.rs</p>"), "{page}");
    assert!(page.contains("```rust,noplayground\nfn one() {\n    two();\n}\n```"), "{page}");
}

#[test]
fn a_listings_name_is_a_link_when_the_course_has_an_address() {
    let page = written(Some("https://code.test/course"), &[("src/a.rs", SOURCE)], LISTING);
    let link = "<a href=\"https://code.test/course/blob/main/src/a.rs\">src/a.rs</a>";
    assert!(page.contains(link), "{page}");
}

#[test]
fn a_transcript_is_no_listing_and_its_labels_are_marked() {
    let snapshot = "---\nsource: x\n---\n1. Ask <her>\n   once more.\n   ok             it worked\n   attack works   she is in\n   answer         a & b\n";
    let page = written(
        None,
        &[("tests/listen.snap", snapshot)],
        "```text\n{{#include ../../tests/listen.snap:4:}}\n```\n",
    );
    for expected in [
        "<pre class=\"transcript\" tabindex=\"0\" role=\"group\" aria-label=\"Output: listen\">",
        "<b>1. Ask &lt;her&gt;</b>\n<b>   once more.</b>\n",
        "   <i class=\"g\">ok</i>             it worked",
        "   <i class=\"a\">attack works</i>   she is in",
        "   answer         a &amp; b",
    ] {
        assert!(page.contains(expected), "expected {expected} in\n{page}");
    }
}

#[test]
fn what_is_no_sole_include_stays_as_it_is() {
    let markdown = "```text\na line\n{{#include ../../src/a.rs}}\n```\n\nProse with `{{#figure listen}}` in it.\n";
    assert_eq!(written(None, &[("src/a.rs", SOURCE)], markdown), markdown);
}

#[test]
fn an_entry_of_a_checklist_is_the_label_of_its_box() {
    let page = written(None, &[], "- [ ] one thing,\n  [a link](x.md)\n- [ ] another\n\nProse.\n");
    let expected = "- <label><input type=\"checkbox\"> one thing, [a link](x.md)</label>\n\
                    - <label><input type=\"checkbox\"> another</label>\n\nProse.\n";
    assert_eq!(page, expected);
}

#[test]
fn a_figure_that_does_not_exist_is_an_error() {
    let file = Path::new("book/src/page.md");
    let page = Page { root: Path::new("."), file, repository: None, notes: &[] };
    let error = page.written("{{#figure nobody-drew-it}}\n", None).expect_err("no such figure");
    assert_eq!(error.to_string(), "there is no figure nobody-drew-it");
}

/// What a reader's own mdBook starts: `book.toml` names a program, which reads the book and writes it again.
#[test]
fn the_preprocessor_that_the_book_names_answers_mdbook() {
    let configuration = fs::read_to_string(course().join("book/book.toml")).expect("book.toml");
    let program = Path::new(env!("CARGO_BIN_EXE_book-pages"));
    let name = program.file_stem().expect("a name").to_string_lossy();
    assert!(configuration.contains(&format!("--bin {name}\"")), "{configuration}");
    let supported = std::process::Command::new(program).args(["supports", "html"]).status();
    assert!(supported.expect("it runs").success());
    let odd = std::process::Command::new(program).args(["--help"]).output().expect("it runs");
    assert!(!odd.status.success());
    assert!(String::from_utf8_lossy(&odd.stderr).contains("expected what mdBook says"), "{odd:?}");
}

/// Words that a reader knows from elsewhere; their special meaning is explained where it matters.
const EVERYDAY: [&str; 9] =
    ["certificate", "context", "frame", "issuer", "key id", "random", "record", "stream", "tap"];

/// A term is bold, italic or a link where it first stands in the chapters, so that nobody meets it unexplained.
#[test]
fn every_term_of_the_glossary_is_explained_where_it_first_stands() {
    let course = Course::read(&course()).expect("the course");
    let text = |name: &str| {
        let file = Path::new("book/src").join(name);
        let text = course.texts.iter().find(|text| text.file == file);
        text.unwrap_or_else(|| panic!("no {name}")).markdown.clone()
    };
    let code = regex::Regex::new(r"(?s)```.*?```").expect("an expression");
    let space = regex::Regex::new(r"\s+").expect("an expression");
    let mut paragraphs = Vec::new();
    let chapters = course.lessons.iter().map(|lesson| lesson.chapter.clone());
    for chapter in
        [PathBuf::from("preface.md"), PathBuf::from("set-up.md")].into_iter().chain(chapters)
    {
        let name = chapter.file_name().expect("a name").to_string_lossy().into_owned();
        let prose = code.replace_all(&text(&name), "").into_owned();
        // A heading, and what a chapter promises, come before what they name.
        let told =
            prose.split("\n\n").map(|paragraph| space.replace_all(paragraph, " ").into_owned());
        paragraphs.extend(told.filter(|told| {
            !told.starts_with('#') && !told.starts_with("- say ") && !told.starts_with("- seal ")
        }));
    }
    let glossary = text("glossary.md");
    let mut unexplained = Vec::new();
    for heading in glossary.lines().filter_map(|line| line.strip_prefix("## ")) {
        let words = heading.replace(" and ", ", ").replace(" (", ", ").replace(')', "");
        for term in
            words.split(", ").filter(|term| !EVERYDAY.contains(&term.to_lowercase().as_str()))
        {
            let plain = format!(r"(?i)(^|[^\w-]){}(s|es)?($|\W)", regex::escape(term));
            let plain = regex::Regex::new(&plain).expect("an expression");
            let marked = format!(r"(?i)(\*[^*]*{0}|\[[^\]]*{0}[^\]]*\])", regex::escape(term));
            let marked = regex::Regex::new(&marked).expect("an expression");
            match paragraphs.iter().find(|paragraph| plain.is_match(paragraph)) {
                Some(first) if marked.is_match(first) => {}
                Some(first) => unexplained.push(format!("{term}: {first}")),
                None => unexplained.push(format!("{term}: in no chapter")),
            }
        }
    }
    assert!(
        unexplained.is_empty(),
        "make each bold, or a link to the glossary:\n{}",
        unexplained.join("\n")
    );
}

/// The README's first screen shows a lesson as it is: a figure of the book, and an excerpt of what the lesson prints.
#[test]
fn the_readmes_first_screen_is_what_the_lesson_prints() {
    let readme = fs::read_to_string(course().join("README.md")).expect("the README");
    let figure = figures::file(&course(), "tamper").expect("a figure");
    let file = fs::read_to_string(course().join("book/tamper.svg")).unwrap_or_default();
    assert!(
        file.replace('\r', "") == figure,
        "run: cargo run --bin book -- --figure tamper > book/tamper.svg"
    );
    let alternative =
        figures::all().find(|figure| figure.name == "tamper").expect("it").alternative;
    assert!(
        readme.contains(&format!("![{alternative}](book/tamper.svg)")),
        "the figure's text alternative"
    );
    let excerpt = readme
        .split("```text\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("an excerpt");
    let snapshot = course().join("lessons/00-open-wire/tests/snapshots/tamper.snap");
    let snapshot = fs::read_to_string(snapshot).expect("a snapshot").replace('\r', "");
    assert!(snapshot.contains(excerpt), "not what just lesson 0 tamper prints:\n{excerpt}");
}

/// Where the book is read, for a course with this address.
fn address_of_the_pages(repository: &str) -> Option<String> {
    let (owner, name) =
        repository.trim_end_matches('/').strip_prefix("https://github.com/")?.split_once('/')?;
    Some(format!("https://{}.github.io/{name}/", owner.to_lowercase()))
}

/// The README says where to read the book when the course has an address, and not before.
#[test]
fn the_readme_says_where_to_read_the_book_when_there_is_such_a_place() {
    assert_eq!(
        address_of_the_pages("https://github.com/Someone/course/").as_deref(),
        Some("https://someone.github.io/course/")
    );
    let readme = fs::read_to_string(course().join("README.md")).expect("the README");
    let manifest = fs::read_to_string(course().join("Cargo.toml")).expect("Cargo.toml");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let repository =
        manifest["workspace"]["package"].get("repository").and_then(toml::Value::as_str);
    match repository.and_then(address_of_the_pages) {
        Some(address) => {
            let line = format!("Read the book at <{address}>.");
            assert!(readme.contains(&line), "add a line to the README: {line}");
        }
        None => assert!(!readme.contains("Read the book at"), "there is no such place yet"),
    }
}

/// A reader's own `mdbook build` and `just book` make the same pages.
#[test]
fn the_program_that_the_book_names_writes_the_same_pages() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = book::build(&course(), Some(&folder.path().join("ours"))).expect("our book");
    let mut theirs = mdbook_driver::MDBook::load(course().join("book")).expect("a book");
    theirs.config.build.build_dir = folder.path().join("theirs");
    theirs.build().expect("their book, by the command of book.toml");
    for page in ["00-open-wire.html", "closing.html", "protocol.html"] {
        let read = |folder: &Path| fs::read_to_string(folder.join(page)).expect("a page");
        let theirs = read(&theirs.build_dir_for("html"));
        assert!(
            theirs.contains("class=\"transcript\"") || page == "closing.html",
            "{page} was not written by it"
        );
        assert!(read(&ours) == theirs, "{page} differs");
    }
}

/// A part of a chapter has the instructor's note behind its heading, and other sections have none.
#[test]
fn the_note_for_a_part_folds_next_to_it() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let course = book::course::Course::read(&root)?;
    let lesson = course.lessons.first().expect("a lesson");
    let notes = book::notes::notes("## Lesson 0: x\n\n### listen\n\n**Ask:** who?\n");
    let file = Path::new("book/src/page.md");
    let page = Page { root: &root, file, repository: None, notes: &notes };
    let written =
        page.written("## Listen {#listen .part}\n\nText.\n\n## Do it {#do-it}\n", Some(lesson))?;
    let expected = "## Listen {#listen .part}\n\n<details class=\"speaker\">\n<summary>For the instructor: listen</summary>\n\n\
        **Ask:** who?\n\n</details>\n\nText.\n\n## Do it {#do-it}\n";
    assert_eq!(written, expected);
    Ok(())
}

#[test]
fn each_speaker_note_belongs_to_a_part_of_a_lesson() {
    let page = "# Notes\n\nText.\n\n## Lesson 3: Data {#lesson-3}\n\n### seal\n\n**Ask:** why?\n\n### bind\n\n\
        Two\nlines.\n\n## Lesson 4: Tokens\n\n### rotate\n\nWait.\n";
    let found = book::notes::notes(page);
    let named: Vec<(u32, &str, &str)> =
        found.iter().map(|note| (note.lesson, &*note.part, note.text.trim())).collect();
    let expected =
        [(3, "seal", "**Ask:** why?"), (3, "bind", "Two\nlines."), (4, "rotate", "Wait.")];
    assert_eq!(named, expected);
    assert_eq!(book::notes::part_of_heading("### The map {#map .part}"), None);
}
