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

/// A learner's own clone may differ, so this holds where the peers have to be there: before a change lands.
#[test]
fn no_exercise_is_begun_in_a_commit() {
    let course = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let course = book::course::Course::read(&course).expect("the course");
    let begun = book::exercises::begun(&course).expect("the exercises");
    match std::env::var_os("REQUIRE_PEERS") {
        Some(_) => assert!(begun.is_empty(), "put the stubs back: {begun:?}"),
        None => println!("begun: {begun:?}"),
    }
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
            ("Cargo.toml", "[workspace]\nmembers = [\"lessons/00-small\"]\n"),
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

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(file)).expect("a file")
    }

    fn members(&self, members: &[&str]) {
        self.write("Cargo.toml", &format!("[workspace]\nmembers = {members:?}\n"));
    }

    /// With a piece of the chapter replaced.
    fn chapter(from: &str, to: &str) -> Self {
        assert!(CHAPTER.contains(from), "{from}");
        let course = Self::new();
        course.write("book/src/00-small.md", &CHAPTER.replace(from, to));
        course
    }

    fn problems(&self) -> Vec<String> {
        let problems = book::check_sources(self.folder.path()).expect("the course is read");
        problems.iter().map(ToString::to_string).collect()
    }

    /// With those that only the built pages show.
    fn problems_of_pages(&self) -> Vec<String> {
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
    assert_eq!(SmallCourse::new().problems_of_pages(), [""; 0]);
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
    let problems = course.problems_of_pages();
    assert!(
        !problems.is_empty()
            && problems.iter().all(|p| p.contains("prefaec") && p.contains("leads to no file"))
    );
}

#[test]
fn a_dead_fragment_is_found_on_its_own_page_and_on_another() {
    let course = SmallCourse::chapter("preface.md#why", "preface.md#whence");
    let problems = course.problems_of_pages();
    assert!(
        !problems.is_empty()
            && problems.iter().all(|p| p.contains("without the id") && p.contains("whence"))
    );
    let course = SmallCourse::chapter("(#look)", "(#lok)");
    let problems = course.problems_of_pages();
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
    course.members(&["lessons/00-small", "lessons/01-more"]);
    course.write("lessons/01-more/Cargo.toml", "[package]\nname = \"lesson-01-more\"\n");
    course.write("lessons/01-more/src/parts/mod.rs", "");
    course.write("lessons/01-more/tests/snapshots/.keep", "");
    course.has_one_problem(&["lessons/01-more has no chapter"]);
}

#[test]
fn a_lesson_with_a_manifest_that_is_no_member_is_found_and_a_stray_folder_stops_nothing() {
    let course = SmallCourse::new();
    course.write("lessons/07-notes/todo.txt", "a learner's own");
    course.write("lessons/.idea/workspace.xml", "an editor's");
    assert_eq!(course.problems(), [""; 0]);
    course.write("lessons/01-more/Cargo.toml", "[package]\nname = \"lesson-01-more\"\n");
    course.has_one_problem(&[
        "Cargo.toml",
        "lessons/01-more has a manifest",
        "add it to the members",
    ]);
}

/// The small course with a take-home crate, which the chapter shows.
fn with_take_home() -> SmallCourse {
    let shows = "```text\n{{#include ../../lessons/00-small/take-home/crates.txt}}\n```\n\n\
                 {{#include ../../lessons/00-small/take-home/README.md:ship}}\n\nSee [above]";
    let course = SmallCourse::chapter("See [above]", shows);
    course.members(&["lessons/00-small", "lessons/00-small/take-home"]);
    let folder = "lessons/00-small/take-home";
    course.write(&format!("{folder}/Cargo.toml"), "[package]\nname = \"small\"\n");
    course.write(&format!("{folder}/crates.txt"), "small\n");
    course.write(&format!("{folder}/examples/small.rs"), "fn main() {}\n");
    let readme = "# small\n\n```rust\nfn main() {}\n```\n\n`just take small crates`\n\n\
                  <!-- ANCHOR: ship -->\nThink.\n<!-- ANCHOR_END: ship -->\n";
    course.write(&format!("{folder}/README.md"), readme);
    course
        .write("justfile", "lesson N *PART:\n    cargo run\n\ntake NAME FOLDER:\n    cargo run\n");
    course
}

#[test]
fn a_take_home_crate_that_is_no_member_is_found() {
    let course = SmallCourse::new();
    course.write("lessons/00-small/take-home/Cargo.toml", "[package]\nname = \"small\"\n");
    course.has_one_problem(&["Cargo.toml", "lessons/00-small/take-home has a manifest"]);
}

#[test]
fn sections_in_another_order_than_the_parts_are_found() {
    let course = SmallCourse::chapter("See [above]", "## Hear {#hear .part}\n\nSee [above]");
    course.write("lessons/00-small/src/parts/hear.rs", "fn run() {}\n");
    let main = |first: &str, second: &str| {
        let program = format!(".part(\"{first}\", \"x\", run)\n.part(\"{second}\", \"x\", run)\n");
        course.write("lessons/00-small/src/main.rs", &program);
    };
    main("look", "hear");
    assert_eq!(course.problems(), [""; 0]);
    main("hear", "look");
    course.has_one_problem(&["00-small.md", "the sections come as [\"look\", \"hear\"]"]);
}

#[test]
fn the_header_of_a_snapshot_is_not_shown() {
    let course = SmallCourse::chapter("look.snap:4:", "look.snap");
    course.has_one_problem(&["book/src/00-small.md:12", "shows the header of a snapshot"]);
}

#[test]
fn a_chapter_that_leads_past_the_next_lesson_is_found() {
    let course =
        SmallCourse::chapter("See [above]", "**Next:** [the preface](preface.md)\n\nSee [above]");
    course.members(&["lessons/00-small", "lessons/01-more"]);
    course.write("lessons/01-more/Cargo.toml", "[package]\nname = \"lesson-01-more\"\n");
    course.write("lessons/01-more/src/parts/mod.rs", "");
    course.write("lessons/01-more/tests/snapshots/.keep", "");
    course.write("book/src/01-more.md", "# More\n");
    let problems = course.problems();
    let says = |text: &str| problems.iter().any(|problem| problem.contains(text));
    assert!(says("00-small.md:0: its **Next:** does not lead to (01-more.md)"), "{problems:#?}");
    assert!(says("book/src/SUMMARY.md:0: lesson 1 is missing"), "{problems:#?}");
}

#[test]
fn a_module_that_no_take_home_crate_has_is_found() {
    let course = SmallCourse::chapter("See [above]", "See `careful_small::sealing` and [above]");
    course.has_one_problem(&["00-small.md:15", "`careful_small::sealing` names what is in no"]);
}

#[test]
fn a_take_home_crate_whose_readme_or_chapter_is_out_of_date_is_found() {
    assert_eq!(with_take_home().problems(), [""; 0]);
    let course = with_take_home();
    course.write("lessons/00-small/take-home/examples/small.rs", "fn main() { todo!() }\n");
    course.has_one_problem(&["take-home/README.md", "not the one in examples/"]);
    // A second program.
    let course = with_take_home();
    let readme = "lessons/00-small/take-home/README.md";
    let more = "\n```rust\nfn main() { more() }\n```\n";
    course.write(readme, &(course.read(readme) + more));
    course.has_one_problem(&["take-home/README.md", "is not one in examples/"]);
    course.write("lessons/00-small/take-home/examples/more.rs", "fn main() { more() }\n");
    assert_eq!(course.problems(), [""; 0]);
    let course = with_take_home();
    course.write("book/src/00-small.md", CHAPTER);
    let problems = course.problems();
    assert!(problems.len() == 2 && problems.iter().all(|p| p.contains("no chapter shows it")));
    let course = with_take_home();
    course
        .write("README.md", &README.replace("just lesson 0\n", "just lesson 0\njust take tls x\n"));
    course.has_one_problem(&["README.md:8", "there is no take-home crate tls"]);
}

#[test]
fn a_chapter_that_the_summary_or_the_readme_leaves_out_is_found() {
    let course = SmallCourse::new();
    course.write("book/src/SUMMARY.md", "# Summary\n\n- [Preface](preface.md)\n");
    course.has_one_problem(&["book/src/SUMMARY.md:0: lesson 0 is missing", "(00-small.md)"]);
    let course = SmallCourse::new();
    course.write("README.md", "# Small\n\n`just lesson 0`\n");
    course.has_one_problem(&["README.md:0: lesson 0 is missing", "| 0 |"]);
}

#[test]
fn commands_that_do_not_exist_are_found() {
    for (command, says) in [
        ("just lesson 7", "there is no lesson 7"),
        ("just lesson 0 listne", "there is no part of lesson 0 listne"),
        ("just lesson 0 2", "there is no part of lesson 0 2"),
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

/// The members of the workspace are the one list of lessons. Whatever names lessons elsewhere names all
/// of them; the message says where one is missing.
#[test]
fn every_place_that_names_lessons_names_all_of_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let course = book::course::Course::read(&root).expect("the course");
    let read = |file: &str| std::fs::read_to_string(root.join(file)).expect(file);
    let (justfile, set_up) = (read("justfile"), read("book/src/set-up.md"));
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
            let chapter = format!("the first line of {}", lesson.chapter.display());
            expect(&chapter, "", format!("# Lesson {number}: TITLE"));
            continue;
        };
        let main = lesson.folder.join("src/main.rs");
        let program = read(main.to_str().expect("a path in UTF-8"));
        let new = format!("Lesson::new({number}, \"{title}\")");
        expect(main.to_str().unwrap_or_default(), &program, new);
        expect("justfile, recipe default,", &justfile, format!("{number}  {title}\""));
        expect("justfile, recipe lesson,", &justfile, format!("{number}, {title}"));
        expect("book/src/set-up.md", &set_up, format!("\njust lesson {number}\n"));
    }
    let numbers: Vec<String> =
        course.lessons.iter().map(|lesson| lesson.number.to_string()).collect();
    expect("justfile, lessons,", &justfile, format!("'^({})$'", numbers.join("|")));
    for taken in &course.take_home {
        expect("README.md", &read("README.md"), format!("`{}`", taken.name));
    }
    // The workflow reads the list itself.
    let workflow = read(".github/workflows/ci.yml");
    expect(".github/workflows/ci.yml", &workflow, ".ci/lessons".to_owned());
    assert!(missing.is_empty(), "{missing:#?}");
}

/// A page that names a test as proof names one that exists.
#[test]
fn the_tests_that_the_threat_model_names_exist() -> std::io::Result<()> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut tests = String::new();
    collect_rust(&root.join("lessons"), &mut tests)?;
    let page = std::fs::read_to_string(root.join("book/src/threat-model.md"))?;
    let named: Vec<&str> =
        page.split('`').skip(1).step_by(2).filter(|code| code.matches('_').count() >= 3).collect();
    assert!(named.len() > 5, "the page names its tests: {named:?}");
    for name in named {
        assert!(tests.contains(&format!("fn {name}(")), "there is no test {name}");
    }
    Ok(())
}

/// All Rust code below a folder.
pub(crate) fn collect_rust(folder: &Path, code: &mut String) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry?.path();
        if path.is_dir() {
            collect_rust(&path, code)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            *code += &std::fs::read_to_string(path)?;
        }
    }
    Ok(())
}

/// A whole exercise of the small course, to be broken.
#[test]
fn what_an_exercise_lacks_is_named() {
    let task = "### Exercise 0.1: Look\n\n*Write, 5 minutes.*\n\nWrite `look` in `yours.rs`. `help(3)` helps.\n";
    let hint = |number: u32| {
        format!(
            "## Hint {number}\n<!-- ANCHOR: hint_{number} -->\nIt.\n<!-- ANCHOR_END: hint_{number} -->\n\n"
        )
    };
    let hints = format!("# Hints\n\n{}{}{}", hint(1), hint(2), hint(3));
    let folder = "lessons/00-small/exercises/1-look";
    let shown = |file: &str| format!("{{{{#include ../../{folder}/{file}}}}}\n\n");
    let course = || {
        let course = SmallCourse::new();
        let code = "pub fn look() {}\npub fn help(_: u32) {}\n";
        for file in ["stub.rs", "yours.rs", "naive.rs", "solution.rs", "check.rs", "main.rs"] {
            course.write(&format!("{folder}/{file}"), code);
        }
        course.write(&format!("{folder}/exercise.md"), task);
        course.write(&format!("{folder}/hints.md"), &hints);
        course.write(
            "lessons/00-small/exercises/Cargo.toml",
            "[package]\nname = \"exercises-0\"\n[[bin]]\nname = \"exercise-0-1\"\n",
        );
        course.members(&["lessons/00-small", "lessons/00-small/exercises"]);
        let files = [
            "exercise.md",
            "hints.md:hint_1",
            "hints.md:hint_2",
            "hints.md:hint_3",
            "solution.rs",
            "naive.rs",
        ];
        let all: String = files.iter().map(|file| shown(file)).collect();
        course.write(
            "book/src/00-small.md",
            &format!("{CHAPTER}\n**Time:** 0 minutes, and 5 for the exercises.\n\n{all}`cargo exercise 0.1 --hint`\n"),
        );
        course
    };
    assert_eq!(course().problems(), [""; 0]);
    let chapter = std::fs::read_to_string(course().folder.path().join("book/src/00-small.md"))
        .expect("a chapter");
    let listing = "```rust,noplayground\npub struct Help {\n    pub times: u64,\n}\n```\n";
    let broken: [(&str, String, &[&str]); 8] = [
        ("exercise.md", format!("{task}\n{listing}"), &["declared nowhere: pub struct Help {"]),
        ("exercise.md", task.replace("help(3)", "aid(3)"), &["there is no function aid"]),
        ("exercise.md", task.replace("yours.rs", "theirs.rs"), &["there is no theirs.rs"]),
        ("exercise.md", task.replace("5 minutes", "some minutes"), &["N minutes"]),
        ("hints.md", hints.replace("It.", ""), &["0 hints", "includes nothing"]),
        (
            "../../../../book/src/00-small.md",
            chapter.replace(&shown("naive.rs"), ""),
            &["does not show naive.rs"],
        ),
        (
            "../../../../book/src/00-small.md",
            chapter.replace("and 5 for", "and 6 for"),
            &["and 5 for the exercises"],
        ),
        (
            "../../../../book/src/00-small.md",
            chapter.replace("exercise 0.1 --hint", "exercise 0.2"),
            &["0.2"],
        ),
    ];
    for (file, text, expected) in broken {
        let course = course();
        course.write(&format!("{folder}/{file}"), &text);
        let problems = course.problems();
        for expected in expected {
            assert!(
                problems.iter().any(|problem| problem.contains(expected)),
                "{file}: {expected}: {problems:#?}"
            );
        }
    }
}
