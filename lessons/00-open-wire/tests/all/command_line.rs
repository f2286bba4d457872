//! The command line that every lesson has, on the binary of this one.

use snapshots::{parts, run};

const LESSON: &str = env!("CARGO_BIN_EXE_lesson-0");

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// Alice's two requests are accepted, the wire shows both texts, and the attack works: five times yes.
#[test]
fn predictions_are_asked_for_and_counted() {
    use std::io::Write;
    let predict = |answers: &str| {
        let mut child = std::process::Command::new(LESSON)
            .args(["listen", "--predict"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut input = child.stdin.take().expect("its input");
        input.write_all(answers.as_bytes()).expect("it reads");
        drop(input);
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{answers:?}");
        (text(&output.stdout).to_owned(), text(&output.stderr).to_owned())
    };
    let plain = run(LESSON, &["listen"]);
    for (answers, score) in [
        ("y\ny\ny\ny\ny\n", "You predicted 5 of 5 verdicts.\n"),
        ("n\nY\n\nno\nyes\n", "You predicted 2 of 4 verdicts.\n"),
        // The end of the input is no prediction, and no reason to stop.
        ("y", "You predicted 1 of 1 verdict.\n"),
        ("", "You predicted 0 of 0 verdicts.\n"),
    ] {
        let (said, asked) = predict(answers);
        assert_eq!(said, format!("{}{score}", text(&plain.stdout)), "{answers:?}");
        assert_eq!(asked.matches("? y/n").count(), 5, "{asked}");
        let judged = asked.matches("Right.").count() + asked.matches("Wrong.").count();
        assert!(score.contains(&format!(" of {judged} ")), "{score}{asked}");
    }
    // What is neither yes nor no is asked again.
    let (said, asked) = predict("maybe\ny\ny\ny\ny\nn\n");
    assert!(said.ends_with("You predicted 4 of 5 verdicts.\n"), "{said}");
    assert_eq!(asked.matches("Type y or n").count(), 1, "{asked}");
    assert_eq!(asked.matches("Wrong.").count(), 1, "{asked}");
}

/// Where a program refuses, the question names it, and not "by" it.
#[test]
fn a_prediction_asks_whether_a_program_accepts() {
    let map = std::process::Command::new(LESSON)
        .args(["map", "--predict"])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it runs");
    let asked = text(&map.stderr);
    assert!(asked.contains("This: does Alice's client accept it? y/n"), "{asked}");
    assert!(!asked.contains("by "), "{asked}");
}

#[test]
fn list_names_the_parts_with_a_line_each() {
    let list = run(LESSON, &["--list"]);
    let mut lines = text(&list.stdout).lines();
    assert!(lines.next().is_some_and(|title| title.starts_with("Lesson 0: ")));
    for (line, part) in lines.zip(parts(LESSON)) {
        let about = line.trim_start().strip_prefix(part.as_str()).expect("the name comes first");
        assert!(about.trim().contains(' '), "{part} has a line about it");
    }
}

#[test]
fn all_parts_run_in_order_when_none_is_named_and_several_when_they_are() {
    let headings = |arguments: &[&str]| -> Vec<String> {
        let all = run(LESSON, arguments);
        let lines = text(&all.stdout).lines().filter(|line| line.starts_with("Part "));
        lines.filter_map(|line| Some(line.split([' ', ':']).nth(2)?.to_owned())).collect()
    };
    let parts = parts(LESSON);
    assert_eq!(headings(&[]), parts);
    assert_eq!(headings(&[&parts[0]]), parts[..1]);
    assert_eq!(headings(&[&parts[0], &parts[1]]), parts[..2]);
    let all = run(LESSON, &[]);
    assert!(text(&all.stdout).ends_with(": all hold.\n"), "{}", text(&all.stdout));
}

#[test]
fn a_part_has_a_number_too_and_its_name_is_said() {
    let (by_number, by_name) = (run(LESSON, &["2"]), run(LESSON, &["tamper"]));
    assert_eq!(text(&by_number.stdout), text(&by_name.stdout));
    assert!(text(&by_number.stdout).starts_with("Part 2, tamper: "));
    let none = run(LESSON, &["6"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(text(&none.stderr).contains("[possible values: listen, "), "{}", text(&none.stderr));
}

#[test]
fn an_unknown_part_says_which_there_are() {
    let refused = run(LESSON, &["listne"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    let all = format!("[possible values: {}]", parts(LESSON).join(", "));
    assert!(said.contains(&all), "expected {all}, got {said}");
    assert!(said.contains("'listen'"), "it suggests the part that was meant: {said}");
}

#[test]
fn an_unknown_flag_says_what_to_do() {
    let refused = run(LESSON, &["--fast"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("try '--help'"), "{}", text(&refused.stderr));
}

#[test]
fn a_pipe_gets_no_color_and_a_pause_without_a_keyboard_goes_on() {
    let plain = run(LESSON, &["listen"]);
    assert!(!plain.stdout.contains(&0x1b), "an escape sequence in a pipe");
    let paused = run(LESSON, &["listen", "--pause"]);
    assert_eq!(text(&paused.stdout), text(&plain.stdout));
    assert_eq!(text(&paused.stderr).matches("Enter to go on, b for this step again)").count(), 3);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported() -> std::io::Result<()> {
    let full = std::fs::File::options().write(true).open("/dev/full")?;
    let ended = std::process::Command::new(LESSON).arg("listen").stdout(full).output()?;
    assert_eq!(ended.status.code(), Some(1));
    let said = text(&ended.stderr);
    assert!(
        said.contains("cannot write the transcript to standard output: No space left on device"),
        "{said}"
    );
    Ok(())
}

/// What a speaker types, and what comes of it.
fn spoken(arguments: &[&str], typed: &str) -> (String, String) {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new(LESSON)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    child.stdin.take().expect("a pipe").write_all(typed.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    (text(&output.stdout).to_owned(), text(&output.stderr).to_owned())
}

#[test]
fn a_speaker_sees_where_the_lesson_is_and_can_go_back_a_step() {
    let (said, asked) = spoken(&["listen", "tamper", "--pause"], "\nb\n\n\n\n\n\n");
    assert_eq!(
        said.matches("1. Alice pays Bob over plain TCP.").count(),
        2,
        "once more after b: {said}"
    );
    assert_eq!(said.matches("2. The tap reads what it recorded.").count(), 1, "{said}");
    assert!(
        asked.contains("(part 1 of 2, 10 minutes left; ")
            && asked.contains("(part 2 of 2, 5 minutes left; "),
        "{asked}"
    );
}

#[test]
fn a_width_is_kept_and_nonsense_is_refused() {
    let narrow = run(LESSON, &["map", "--width", "60", "--no-color"]);
    let said = text(&narrow.stdout).to_owned();
    let prose = said.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
    assert!(prose.clone().count() > 3 && prose.clone().all(|line| line.len() <= 60), "{said}");
    for wrong in ["10", "wide", "-1"] {
        assert_eq!(
            run(LESSON, &["map", &format!("--width={wrong}")]).status.code(),
            Some(2),
            "{wrong}"
        );
    }
}

#[test]
fn what_the_tap_saw_can_be_read_by_tshark_and_replaces_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wire.pcapng");
    let file = file.to_str().expect("a path");
    assert!(run(LESSON, &["listen", "--pcap", file]).status.success());
    let again = run(LESSON, &["listen", "--pcap", file]);
    assert!(text(&again.stderr).contains("name a new file"), "{}", text(&again.stderr));
    let Some(tshark) = peers::Peer::find(&["tshark"], &["--version"], "apt install tshark") else {
        return;
    };
    let read =
        tshark.command(["-r", file, "-q", "-z", "follow,tcp,ascii,0"]).output().expect("it runs");
    let said = text(&read.stdout).to_owned();
    assert!(
        said.contains("LOGIN alice correct-horse-battery") && said.contains("OK hello alice"),
        "{said}"
    );
}
