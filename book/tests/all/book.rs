//! The book is true: it builds, and everything that it shows exists.

use std::path::Path;

#[test]
fn the_book_builds_and_everything_it_shows_exists() {
    let course = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let pages = tempfile::tempdir().expect("a folder");
    let problems = book::check(&course, pages.path()).expect("the book builds");
    let list: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    assert!(problems.is_empty(), "{} problems in the book:\n{list}", problems.len());
}

/// A small course without a mistake, to be broken.
struct SmallCourse {
    folder: tempfile::TempDir,
}

const CHAPTER: &str = "\
# Small

Run `just lesson 0`, or `just lesson 0 look --pause`.

## Look {#look .part}

```rust
{{#include ../../lessons/00-small/src/parts/look.rs:run}}
```

```text
{{#include ../../lessons/00-small/tests/snapshots/look.snap:4:}}
```

See [above](#look) and [the preface](preface.md#why).
";

const README: &str = "\
# Small

| 0 | `just lesson 0` |
| --- | --- |

```sh
just lesson 0
cargo test -p lesson-00-small
```
";

impl SmallCourse {
    fn new() -> Self {
        let course = Self { folder: tempfile::tempdir().expect("a folder") };
        for (file, text) in [
            ("justfile", "default:\n    @just --list\n\nlesson N *PART:\n    cargo run\n"),
            ("README.md", README),
            ("book/book.toml", "[book]\ntitle = \"Small\"\n"),
            (
                "book/src/SUMMARY.md",
                "# Summary\n\n- [Preface](preface.md)\n- [Small](00-small.md)\n",
            ),
            ("book/src/preface.md", "# Preface\n\n## Why\n\nBecause.\n"),
            ("book/src/00-small.md", CHAPTER),
            (
                "lessons/00-small/Cargo.toml",
                "[package]\nname = \"lesson-00-small\"\n[[bin]]\nname = \"lesson-0\"\n",
            ),
            ("lessons/00-small/src/parts/mod.rs", "pub mod look;\n"),
            (
                "lessons/00-small/src/parts/look.rs",
                "// ANCHOR: run\nfn run() {}\n// ANCHOR_END: run\n",
            ),
            ("lessons/00-small/tests/snapshots/look.snap", "---\nsource: x\n---\nLook.\n"),
        ] {
            course.write(file, text);
        }
        course
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.folder.path().join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// With a piece of the chapter replaced.
    fn chapter(from: &str, to: &str) -> Self {
        assert!(CHAPTER.contains(from), "{from}");
        let course = Self::new();
        course.write("book/src/00-small.md", &CHAPTER.replace(from, to));
        course
    }

    fn problems(&self) -> Vec<String> {
        let pages = tempfile::tempdir().expect("a folder");
        let problems = book::check(self.folder.path(), pages.path()).expect("the book builds");
        problems.iter().map(ToString::to_string).collect()
    }

    /// Exactly one problem, which says all of this.
    fn has_one_problem(&self, says: &[&str]) {
        let problems = self.problems();
        assert!(
            problems.len() == 1 && says.iter().all(|text| problems[0].contains(text)),
            "{problems:#?}"
        );
    }
}

#[test]
fn a_course_without_a_mistake_has_no_problem() {
    assert_eq!(SmallCourse::new().problems(), [""; 0]);
}

#[test]
fn an_include_of_a_missing_file_is_found() {
    let course = SmallCourse::chapter("look.rs:run", "lok.rs:run");
    course.has_one_problem(&["book/src/00-small.md:8", "missing file", "lok.rs"]);
}

#[test]
fn an_include_of_a_missing_anchor_is_found() {
    let course = SmallCourse::chapter("look.rs:run", "look.rs:ran");
    course.has_one_problem(&[
        "book/src/00-small.md:8",
        "missing anchor ran of lessons/00-small/src/parts/look.rs",
    ]);
}

#[test]
fn an_anchor_without_an_end_is_found() {
    let course = SmallCourse::new();
    course.write("lessons/00-small/src/parts/look.rs", "// ANCHOR: run\nfn run() {}\n");
    course.has_one_problem(&["missing anchor run"]);
}

#[test]
fn an_include_of_nothing_is_found() {
    let course = SmallCourse::chapter("look.snap:4:", "look.snap:40:");
    course.has_one_problem(&["includes nothing of lessons/00-small/tests/snapshots/look.snap"]);
}

#[test]
fn a_dead_link_is_found() {
    let course = SmallCourse::chapter("preface.md#why", "prefaec.md");
    let problems = course.problems();
    assert!(
        !problems.is_empty()
            && problems.iter().all(|p| p.contains("prefaec") && p.contains("leads to no file"))
    );
}

#[test]
fn a_dead_fragment_is_found_on_its_own_page_and_on_another() {
    let course = SmallCourse::chapter("preface.md#why", "preface.md#whence");
    let problems = course.problems();
    assert!(
        !problems.is_empty()
            && problems.iter().all(|p| p.contains("without the id") && p.contains("whence"))
    );
    let course = SmallCourse::chapter("(#look)", "(#lok)");
    let problems = course.problems();
    assert!(
        !problems.is_empty()
            && problems.iter().all(|p| p.contains("without the id") && p.contains("lok"))
    );
}

#[test]
fn a_part_without_a_section_is_found() {
    let course = SmallCourse::new();
    course.write("lessons/00-small/src/parts/listen_in.rs", "fn run() {}\n");
    course.has_one_problem(&["the part listen-in has no section", "{#listen-in .part}"]);
}

#[test]
fn a_section_without_a_part_is_found() {
    let course = SmallCourse::chapter("See [above]", "## More {#more .part}\n\nSee [above]");
    course.has_one_problem(&["book/src/00-small.md:15", "the section #more stands for no part"]);
}

#[test]
fn a_snapshot_that_no_chapter_shows_is_found() {
    let course = SmallCourse::new();
    course.write("lessons/00-small/tests/snapshots/other.snap", "---\nsource: x\n---\nOther.\n");
    course.has_one_problem(&["other.snap", "no chapter shows this snapshot"]);
}

#[test]
fn a_lesson_without_a_chapter_is_found() {
    let course = SmallCourse::new();
    course.write("lessons/01-more/Cargo.toml", "[package]\nname = \"lesson-01-more\"\n");
    course.write("lessons/01-more/src/parts/mod.rs", "");
    course.write("lessons/01-more/tests/snapshots/.keep", "");
    course.has_one_problem(&["lessons/01-more has no chapter"]);
}

#[test]
fn a_chapter_that_the_summary_or_the_readme_leaves_out_is_found() {
    let course = SmallCourse::new();
    course.write("book/src/SUMMARY.md", "# Summary\n\n- [Preface](preface.md)\n");
    course.has_one_problem(&["SUMMARY.md does not say \"(00-small.md)\""]);
    let course = SmallCourse::new();
    course.write("README.md", "# Small\n\n`just lesson 0`\n");
    course.has_one_problem(&["README.md does not say \"| 0 |\""]);
}

#[test]
fn commands_that_do_not_exist_are_found() {
    for (command, says) in [
        ("just lesson 7", "there is no lesson 7"),
        ("just lesson 0 listne", "there is no part of lesson 0 listne"),
        ("just lesson 0 look --fast", "there is no flag --fast"),
        ("just lesson 0 --serve", "there is no flag --serve"),
        ("just dance", "there is no recipe dance"),
        ("cargo dance", "there is no cargo command dance"),
        ("cargo run --bin lesson-7", "there is no binary lesson-7"),
        ("cargo run --bin lesson-0 -- listne", "there is no part of lesson 0 listne"),
        ("cargo test -p lesson-07-none", "there is no package lesson-07-none"),
        ("REQUIRE_PEERS=1 cargo test -p none", "there is no package none"),
    ] {
        let course = SmallCourse::chapter("just lesson 0`", &format!("{command}`"));
        course.has_one_problem(&["book/src/00-small.md:3", says]);
        let course = SmallCourse::new();
        course
            .write("CONTRIBUTING.md", &format!("# Small\n\n```sh\n{command}   # a comment\n```\n"));
        course.has_one_problem(&["CONTRIBUTING.md:4", says]);
    }
}

#[test]
fn placeholders_in_capital_letters_stand_for_any_name() {
    assert_eq!(SmallCourse::chapter("just lesson 0`", "just lesson N PART`").problems(), [""; 0]);
}

#[test]
fn the_justfile_names_every_lesson_by_its_title() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let course = book::course::Course::read(&root).expect("the course");
    let justfile = std::fs::read_to_string(root.join("justfile")).expect("the justfile");
    let mut missing = Vec::new();
    let mut expect = |file: &str, text: &str, wanted: String| {
        if !text.contains(&wanted) {
            missing.push(format!("{file} does not say {wanted}"));
        }
    };
    for lesson in &course.lessons {
        let number = lesson.number;
        let chapter = course.texts.iter().find(|text| text.file == lesson.chapter);
        let heading =
            chapter.and_then(|chapter| chapter.markdown.lines().next()).unwrap_or_default();
        let Some(title) = heading.strip_prefix(&format!("# Lesson {number}: ")) else {
            expect("the chapter's first line", "", format!("# Lesson {number}: TITLE"));
            continue;
        };
        let main = lesson.folder.join("src/main.rs");
        let program = std::fs::read_to_string(root.join(&main)).expect("main.rs");
        expect(
            &main.display().to_string(),
            &program,
            format!("Lesson::new({number}, \"{title}\")"),
        );
        expect("the recipe default", &justfile, format!("{number}  {title}\""));
        expect("the recipe lesson", &justfile, format!("{number}, {title}"));
    }
    let numbers: String = course.lessons.iter().map(|lesson| lesson.number.to_string()).collect();
    expect("the recipe lesson", &justfile, format!("'^[{numbers}]$'"));
    assert!(missing.is_empty(), "{missing:#?}");
}

/// A page that names a test as proof names one that exists.
#[test]
fn the_tests_that_the_threat_model_names_exist() -> std::io::Result<()> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut tests = String::new();
    for lesson in std::fs::read_dir(root.join("lessons"))? {
        let folder = lesson?.path().join("tests/all");
        for file in std::fs::read_dir(folder)? {
            let file = file?.path();
            if file.extension().is_some_and(|ending| ending == "rs") {
                tests += &std::fs::read_to_string(file)?;
            }
        }
    }
    let page = std::fs::read_to_string(root.join("book/src/threat-model.md"))?;
    let named: Vec<&str> =
        page.split('`').skip(1).step_by(2).filter(|code| code.matches('_').count() >= 3).collect();
    assert!(named.len() > 5, "the page names its tests: {named:?}");
    for name in named {
        assert!(tests.contains(&format!("fn {name}(")), "there is no test {name}");
    }
    Ok(())
}
