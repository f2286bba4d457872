//! Commands in the texts: `just …` and `cargo …`, in code spans and in blocks fenced as
//! `sh`.

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

use crate::Problem;
use crate::course::{Course, Text};

const LESSON_FLAGS: [&str; 6] =
    ["--list", "--pause", "--predict", "--width", "--no-color", "--help"];
const SERVER_FLAGS: [&str; 3] = ["--serve", "--port", "--key-log"];
const EXERCISE_FLAGS: [&str; 7] =
    ["--list", "--report", "--watch", "--hint", "--solution", "--reset", "--help"];
const CARGO: [&str; 10] =
    ["bench", "build", "check", "clippy", "doc", "fetch", "fmt", "run", "test", "tree"];

/// Finds commands that name a lesson, part, flag, recipe, package or binary that does not
/// exist. Capital letters stand for any name: `just lesson N PART`.
pub fn check(course: &Course) -> Vec<Problem> {
    let mut problems = Vec::new();
    for text in &course.texts {
        for (line, command) in commands(text) {
            if let Err((what, fix)) = verdict(course, &command) {
                problems.push(Problem {
                    file: text.file.clone(),
                    line,
                    what: format!("`{command}`: {what}"),
                    fix,
                });
            }
        }
    }
    problems
}

/// The commands of a text, with their lines.
fn commands(text: &Text) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_sh = false;
    for (event, range) in Parser::new(&text.markdown).into_offset_iter() {
        let first = text.markdown[..range.start].matches('\n').count() + 1;
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                in_sh = &*language == "sh"
            }
            Event::End(TagEnd::CodeBlock) => in_sh = false,
            Event::Code(code) => found.push((first, code.to_string())),
            Event::Text(code) if in_sh => {
                found.extend(
                    code.lines().enumerate().map(|(index, line)| (first + index, line.to_owned())),
                );
            }
            _ => {}
        }
    }
    // What stands before a command in a shell (REQUIRE_PEERS=1), and a comment behind it,
    // is not the command's.
    let command = |line: &str| {
        let line = line.split(" #").next().unwrap_or_default();
        let words = line.split_whitespace().skip_while(|word| word.contains('='));
        words.collect::<Vec<_>>().join(" ")
    };
    let found = found.into_iter().map(|(line, code)| (line, command(&code)));
    found.filter(|(_, code)| code.starts_with("just ") || code.starts_with("cargo ")).collect()
}

type Verdict = Result<(), (String, String)>;

fn verdict(course: &Course, command: &str) -> Verdict {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words[..] {
        ["just", "lesson", number, ref rest @ ..] => lesson(course, number, rest),
        ["just", "take", name, ..] => take(course, name),
        ["just" | "cargo", "exercise", ref rest @ ..] => exercise(course, rest),
        ["just", flag, ..] if flag.starts_with('-') => Ok(()),
        ["just", recipe, ..] => known("recipe", recipe, &course.recipes),
        ["cargo", "install", ..] => {
            Err(("nothing has to be installed with cargo".to_owned(), "use a recipe".to_owned()))
        }
        ["cargo", subcommand, ref rest @ ..] => {
            known("cargo command", subcommand, &CARGO.map(str::to_owned))?;
            let (cargo, program) = match rest.iter().position(|word| *word == "--") {
                Some(at) => (&rest[..at], &rest[at + 1..]),
                None => (rest, &rest[..0]),
            };
            for pair in cargo.windows(2) {
                match pair {
                    ["--bin", name] => {
                        known("binary", name, &course.binaries)?;
                        if let Some(number) = name.strip_prefix("lesson-") {
                            lesson(course, number, program)?;
                        }
                        if let ("take", Some(name)) = (*name, program.first()) {
                            take(course, name)?;
                        }
                    }
                    ["-p" | "--package", name] => known("package", name, &course.packages)?,
                    _ => {}
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn lesson(course: &Course, number: &str, rest: &[&str]) -> Verdict {
    if is_placeholder(number) {
        return Ok(());
    }
    let Some(lesson) = course.lessons.iter().find(|lesson| lesson.number.to_string() == number)
    else {
        let numbers: Vec<String> =
            course.lessons.iter().map(|lesson| lesson.number.to_string()).collect();
        return Err((
            format!("there is no lesson {number}"),
            format!("there are {}", numbers.join(", ")),
        ));
    };
    let mut flags = LESSON_FLAGS.map(str::to_owned).to_vec();
    if lesson.serves {
        flags.extend(SERVER_FLAGS.map(str::to_owned));
    }
    flags.extend(lesson.options.iter().cloned());
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        match word.starts_with('-') {
            true => known("flag", word, &flags)?,
            // A part's number runs it, too.
            false if word.parse().is_ok_and(|part| (1..=lesson.parts.len()).contains(&part)) => {}
            false => known(&format!("part of lesson {number}"), word, &lesson.parts)?,
        }
        if ["--port", "--key-log", "--width"].contains(word)
            || lesson.options.iter().any(|option| option == word)
        {
            words.next();
        }
    }
    Ok(())
}

fn exercise(course: &Course, words: &[&str]) -> Verdict {
    let numbers = exercise::find(&course.root).unwrap_or_default();
    let numbers: Vec<String> = numbers.iter().map(exercise::Exercise::name).collect();
    for word in words.iter().filter(|word| !is_placeholder(word)) {
        match word.starts_with('-') {
            true => known("flag", word, &EXERCISE_FLAGS.map(str::to_owned))?,
            false => known("exercise", word, &numbers)?,
        }
    }
    Ok(())
}

fn take(course: &Course, name: &str) -> Verdict {
    let names: Vec<String> = course.take_home.iter().map(|taken| taken.name.clone()).collect();
    known("take-home crate", name, &names)
}

fn known(kind: &str, name: &str, names: &[String]) -> Verdict {
    if is_placeholder(name) || names.iter().any(|known| known == name) {
        return Ok(());
    }
    Err((format!("there is no {kind} {name}"), format!("there are {}", names.join(", "))))
}

fn is_placeholder(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_uppercase() || matches!(c, '[' | ']' | '…'))
}
