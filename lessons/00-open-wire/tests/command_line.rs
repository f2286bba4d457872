//! The command line that every lesson has, on the binary of this one.

use shared::testing::snapshots::{parts, run};

const LESSON: &str = env!("CARGO_BIN_EXE_lesson-0");

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn list_names_the_parts_with_a_line_each() {
    let list = run(LESSON, &["--list"]);
    let expected = "Lesson 0: The open wire\n  listen       a tap reads the password\n";
    assert!(text(&list.stdout).starts_with(expected), "{}", text(&list.stdout));
    assert_eq!(parts(LESSON), ["listen", "tamper", "replay", "impersonate", "map"]);
}

#[test]
fn all_parts_run_in_order_when_none_is_named() {
    let all = run(LESSON, &[]);
    let all = text(&all.stdout);
    let headings: Vec<&str> =
        all.lines().filter(|line| line.starts_with("Part ")).collect();
    assert_eq!(headings.len(), 5);
    for (heading, part) in headings.iter().zip(parts(LESSON)) {
        assert!(heading.contains(&format!(", {part}: ")), "{heading}");
    }
    assert!(all.ends_with("claims checked in 5 parts: all hold.\n"), "{all}");
}

#[test]
fn an_unknown_part_says_which_there_are() {
    let refused = run(LESSON, &["listne"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(
        said.contains("[possible values: listen, tamper, replay, impersonate, map]"),
        "{said}"
    );
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
    assert_eq!(text(&paused.stderr).matches("(Enter to go on)").count(), 3);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported() -> std::io::Result<()> {
    let full = std::fs::File::options().write(true).open("/dev/full")?;
    let ended = std::process::Command::new(LESSON).arg("listen").stdout(full).output()?;
    assert_eq!(ended.status.code(), Some(1));
    let said = text(&ended.stderr);
    assert!(
        said.contains(
            "cannot write the transcript to standard output: No space left on device"
        ),
        "{said}"
    );
    Ok(())
}
