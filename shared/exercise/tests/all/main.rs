//! The runner, as a learner uses it, in a course of one exercise.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const STUB: &str = "pub fn answer() -> u32 {\n    todo!()\n}\n";

/// A folder that is removed again; this package has no dependencies.
struct Course(PathBuf);

impl Course {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("course-{name}-{}", std::process::id()));
        let course = Self(root);
        let folder = course.exercise();
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(course.0.join("Cargo.lock"), "").expect("a file");
        let task = "### Exercise 7.1: Find the answer\n\n*Write, 5 minutes.*\n\nWrite `answer`.\n";
        let hints = "# Hints\n\n## Hint 1\n<!-- ANCHOR: hint_1 -->\nIt is a number.\n<!-- ANCHOR_END: hint_1 -->\n\n\
                     ## Hint 2\nIt is even.\n\n## Hint 3\nIt is 42.\n";
        for (file, text) in [
            ("exercise.md", task),
            ("hints.md", hints),
            ("stub.rs", STUB),
            ("yours.rs", STUB),
            ("solution.rs", "pub fn answer() -> u32 {\n    42\n}\n"),
        ] {
            fs::write(folder.join(file), text).expect("a file");
        }
        course
    }

    fn exercise(&self) -> PathBuf {
        self.0.join("lessons/07-deep-thought/exercises/1-the-answer")
    }

    /// Runs it in this folder; its exit code, and what it said.
    fn run_in(&self, folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_exercise"));
        // A cargo that only says what it was asked.
        let cargo = if cfg!(windows) { "cmd" } else { "false" };
        let output = command.args(arguments).current_dir(folder).env("CARGO", cargo).output();
        let output = output.expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).expect("UTF-8"))
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.run_in(&self.0, arguments)
    }

    fn progress(&self) -> String {
        fs::read_to_string(self.0.join(".exercises")).unwrap_or_default()
    }
}

impl Drop for Course {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_list_says_what_there_is_and_what_is_next() {
    let course = Course::new("list");
    let expected =
        "7.1    5 min  Write     Find the answer\n\n0 of 1 passed. Next: cargo exercise 7.1\n";
    assert_eq!(course.run(&[]), (Some(0), expected.to_owned()));
    // From a folder within it, too, where a learner edits.
    assert_eq!(course.run_in(&course.exercise(), &[]), (Some(0), expected.to_owned()));
    fs::write(course.0.join(".exercises"), "7.1 attempts=3 hints=0 solution=0 first=1\nnonsense\n")
        .expect("a file");
    assert!(course.run(&[]).1.contains("3 tries"), "{}", course.run(&[]).1);
    fs::write(course.0.join(".exercises"), "7.1 attempts=3 hints=0 solution=0 first=1 passed=2\n")
        .expect("a file");
    assert!(course.run(&[]).1.contains("passed\n\n1 of 1 passed."), "{}", course.run(&[]).1);
}

#[test]
fn a_wrong_number_lists_the_numbers_and_a_wrong_option_the_options() {
    let course = Course::new("wrong");
    for (arguments, expected) in [
        (&["8.1"][..], "there is no exercise 8.1. There are: 7.1"),
        (&["7.1", "--hnit"], "there is no option --hnit"),
        (&["7.1", "7.2", "7.3"], "expected a number and perhaps one option"),
    ] {
        let (code, said) = course.run(arguments);
        assert!(
            code == Some(2) && said.contains(expected) && said.contains("--reset"),
            "{code:?} {said}"
        );
    }
    let (code, said) = course.run_in(&std::env::temp_dir(), &[]);
    assert!(code == Some(1) && said.contains("not within the course"), "{code:?} {said}");
}

#[test]
fn hints_come_one_by_one_and_are_counted() {
    let course = Course::new("hints");
    assert_eq!(
        course.run(&["7.1", "--hint"]),
        (Some(0), "Hint 1 of 3\n\nIt is a number.\n".to_owned())
    );
    assert!(course.run(&["--hint", "7.1"]).1.contains("It is even."));
    assert!(course.run(&["7.1", "--hint"]).1.contains("It is 42."));
    assert!(course.run(&["7.1", "--hint"]).1.contains("the last one, again"));
    assert!(course.progress().contains("hints=3"), "{}", course.progress());
}

#[test]
fn the_solution_comes_after_a_reminder() {
    let course = Course::new("solution");
    let first = course.run(&["7.1", "--solution"]).1;
    assert!(first.contains("There are 3 hints") && !first.contains("42"), "{first}");
    let second = course.run(&["7.1", "--solution"]).1;
    assert!(second.contains("solution.rs") && second.contains("42"), "{second}");
}

#[test]
fn a_reset_keeps_what_was_written() {
    let course = Course::new("reset");
    let yours = course.exercise().join("yours.rs");
    assert!(!course.run(&["7.1", "--reset"]).1.contains("What you wrote"), "nothing was written");
    for (written, kept) in [("mine", "yours.old.rs"), ("mine, too", "yours.old-2.rs")] {
        fs::write(&yours, written).expect("a file");
        assert!(course.run(&["7.1", "--reset"]).1.contains(kept));
        assert_eq!(fs::read_to_string(&yours).expect("a file"), STUB);
        assert_eq!(fs::read_to_string(course.exercise().join(kept)).expect("a file"), written);
    }
    fs::remove_file(&yours).expect("it is there");
    assert_eq!(course.run(&["7.1", "--reset"]).0, Some(0));
    assert_eq!(fs::read_to_string(&yours).expect("a file"), STUB);
}

#[cfg(unix)]
#[test]
fn what_does_not_compile_is_no_attempt() {
    let course = Course::new("compile");
    let (code, said) = course.run(&["7.1"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("Compiling") && said.contains("It does not compile yet."), "{said}");
    assert_eq!(course.progress(), "");
}

#[test]
fn the_report_says_what_was_done_and_what_to_look_at_again() {
    let course = Course::new("report");
    let (code, said) = course.run(&["--report"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("not begun") && said.contains("0 of 1 passed"), "{said}");
    fs::write(
        course.0.join(".exercises"),
        "7.1 attempts=4 hints=2 solution=0 first=60 passed=650\n",
    )
    .expect("a file");
    let (_, said) = course.run(&["--report"]);
    let line = said.lines().find(|line| line.starts_with("7.1 Find the answer")).expect("a line");
    let words: Vec<&str> = line.split_whitespace().skip(4).collect();
    assert_eq!(words, ["4", "2", "10"], "trials, hints, minutes: {said}");
    assert!(said.contains("1 of 1 passed") && said.contains("To look at again"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
}

#[test]
fn an_agenda_is_made_for_any_length_and_nonsense_is_refused() {
    let schedule = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_schedule")).args(arguments).output().expect("it runs");
        let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
        (output.status.code(), said)
    };
    for length in ["45m", "90m", "3h", "8h", "1d", "2d", "5d"] {
        let (code, said) = schedule(&[length]);
        assert_eq!(code, Some(0), "{length}: {said}");
        assert!(said.contains("listen: a tap reads the password"), "{length}: {said}");
        assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    }
    assert!(schedule(&["5d"]).1.contains("Everything fits."));
    let (_, said) = schedule(&["90m", "--lessons", "2", "--start", "13:30"]);
    assert!(said.starts_with("13:30") && !said.contains("lesson 1,"), "{said}");
    for wrong in [
        &["3w"][..],
        &[],
        &["3h", "--lessons", "9"],
        &["3h", "--start", "noon"],
        &["3h", "--lessons"],
        &["3h", "4h"],
    ] {
        let (code, said) = schedule(wrong);
        assert_eq!(code, Some(2), "{wrong:?}: {said}");
        assert!(said.starts_with("error: ") && said.contains("just schedule 3h"), "{said}");
    }
}
