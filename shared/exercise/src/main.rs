//! `cargo exercise [N.M] [--watch | --hint | --solution | --reset]`

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime};

use exercise::progress::{Progress, now};
use exercise::{Exercise, find};

const USAGE: &str = "\
cargo exercise                 the exercises, with minutes and your progress
cargo exercise 3.1             the trial of your answer
cargo exercise 3.1 --watch     the same after each save, until Ctrl-C
cargo exercise 3.1 --hint      the next hint
cargo exercise 3.1 --solution  the solution
cargo exercise 3.1 --reset     the beginning again; what you wrote is kept
cargo exercise --report        what you have done, as a text to keep or to hand in
";

/// How often `--watch` looks at the file. It asks for its time and length, because messages about changes fail in silence
/// on network drives, under WSL and in containers.
const LOOK: Duration = Duration::from_millis(400);

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        // `| head`: nobody reads any more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root()?;
    let exercises = find(&root)?;
    let (name, option) = match arguments[..] {
        [] | ["--list"] => return list(&root, &exercises),
        ["--report"] => return report(&root, &exercises),
        ["--help" | "-h"] => return say(USAGE).map(|()| ExitCode::SUCCESS),
        [name] => (name, None),
        [name, option] | [option, name] if option.starts_with("--") => (name, Some(option)),
        _ => return wrong("expected a number and perhaps one option"),
    };
    let Some(exercise) = exercises.iter().find(|exercise| exercise.name() == name) else {
        let names: Vec<String> = exercises.iter().map(Exercise::name).collect();
        return wrong(&format!("there is no exercise {name}. There are: {}", names.join(", ")));
    };
    match option {
        None => trial(&root, exercise),
        Some("--watch") => watch(&root, exercise),
        Some("--hint") => hint(&root, exercise),
        Some("--solution") => solution(&root, exercise),
        Some("--reset") => reset(exercise),
        Some(other) => wrong(&format!("there is no option {other}")),
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())?;
    // Before a child process writes on the same terminal.
    out.flush()
}

/// Paragraphs in 80 columns. Indented lines, which are code, stay as they are.
fn wrapped(text: &str) -> String {
    let paragraph = |paragraph: &str| {
        if paragraph.starts_with("    ") {
            return paragraph.to_owned();
        }
        let mut lines = vec![String::new()];
        for word in paragraph.split_whitespace() {
            let line = lines.last_mut().expect("there is one");
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > 80 {
                lines.push(word.to_owned());
            } else {
                line.push_str(if line.is_empty() { "" } else { " " });
                line.push_str(word);
            }
        }
        lines.join("\n")
    };
    text.split("\n\n").map(paragraph).collect::<Vec<_>>().join("\n\n")
}

fn wrong(what: &str) -> io::Result<ExitCode> {
    let _ = write!(io::stderr(), "error: {what}\n\n{USAGE}");
    Ok(ExitCode::from(2))
}

/// The workspace's root, from wherever in it this was called.
fn root() -> io::Result<PathBuf> {
    let here = env::current_dir()?;
    let is_root =
        |folder: &&Path| folder.join("lessons").is_dir() && folder.join("Cargo.lock").is_file();
    let found = here.ancestors().find(is_root).map(Path::to_path_buf);
    found.ok_or_else(|| {
        io::Error::other("this is not within the course: go to its folder, and try again")
    })
}

/// A path as it is typed in the course's folder.
fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// What the learner has done, and what to read next. Nothing leaves the machine.
fn report(root: &Path, exercises: &[Exercise]) -> io::Result<ExitCode> {
    let progress = Progress::read(root)?;
    let mut text = String::from("Secure network communications in Rust: my exercises\n\n");
    let (mut passed, mut again, mut next) = (0, Vec::new(), Vec::new());
    text.push_str("                                      trials  hints  minutes\n");
    for exercise in exercises {
        let (name, record) = (exercise.name(), progress.of(&exercise.name()));
        let minutes = match (record.first, record.passed) {
            (Some(first), Some(end)) => {
                passed += 1;
                format!("{}", end.saturating_sub(first).div_ceil(60))
            }
            (Some(_), None) => "not passed".to_owned(),
            _ => "not begun".to_owned(),
        };
        let titled = format!("{name} {}", exercise.title);
        match (record.first, record.passed) {
            (None, _) => next.push(titled),
            (Some(_), None) => again.push(titled),
            (Some(_), Some(_)) if record.hints > 0 || record.solution > 0 => again.push(titled),
            (Some(_), Some(_)) => {}
        }
        let hints = match record.solution {
            0 => record.hints.to_string(),
            _ => format!("{}+solution", record.hints),
        };
        let title = format!("{name} {}", exercise.title);
        text.push_str(&format!("{title:38}{:>6}  {hints:>5}  {minutes}\n", record.attempts));
    }
    text.push_str(&format!(
        "\n{passed} of {} passed. Minutes are from the first trial to the one that passed.\n",
        exercises.len()
    ));
    for (what, list) in [("To look at again", again), ("Not begun yet", next)] {
        if !list.is_empty() {
            let list = list.join("; ");
            let advice = format!("{what}, in the section Do it of each chapter: {list}.");
            text.push_str(&format!("\n{}\n", wrapped(&advice)));
        }
    }
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn list(root: &Path, exercises: &[Exercise]) -> io::Result<ExitCode> {
    let progress = Progress::read(root)?;
    let mut text = String::new();
    for exercise in exercises {
        let record = progress.of(&exercise.name());
        let state = match (record.passed, record.attempts) {
            (Some(_), _) => "passed".to_owned(),
            (None, 0) => String::new(),
            (None, 1) => "1 try".to_owned(),
            (None, tries) => format!("{tries} tries"),
        };
        let (name, minutes, kind) = (exercise.name(), exercise.minutes, &exercise.kind);
        let line = format!("{name:4} {minutes:3} min  {kind:8}  {:42}  {state}", exercise.title);
        text += &format!("{}\n", line.trim_end());
    }
    let passed = exercises.iter().filter(|one| progress.of(&one.name()).passed.is_some()).count();
    text += &format!("\n{passed} of {} passed. Next: cargo exercise ", exercises.len());
    let next = exercises.iter().find(|one| progress.of(&one.name()).passed.is_none());
    text += &next.or(exercises.first()).map(Exercise::name).unwrap_or_default();
    say(&(text + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn cargo(root: &Path, arguments: &[&str]) -> io::Result<Option<i32>> {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Ok(Command::new(program).args(arguments).current_dir(root).status()?.code())
}

fn trial(root: &Path, exercise: &Exercise) -> io::Result<ExitCode> {
    let (name, bin) = (exercise.name(), exercise.bin());
    let yours = shown(root, &exercise.yours());
    let task = shown(root, &exercise.folder.join("exercise.md"));
    say(&format!("Exercise {name}: {}\nThe task   {task}\nCompiling  {yours}\n", exercise.title))?;
    if cargo(root, &["build", "--quiet", "--bin", &bin])? != Some(0) {
        say("\nIt does not compile yet. The first error above is the one to look at.\n")?;
        return Ok(ExitCode::FAILURE);
    }
    say("\n")?;
    let passed = cargo(root, &["run", "--quiet", "--bin", &bin])? == Some(0);
    let noted = Progress::read(root)?.change(&name, |record| {
        // Those after the one that passed are play.
        record.attempts += u32::from(record.passed.is_none());
        record.first.get_or_insert_with(now);
        if passed {
            record.passed.get_or_insert_with(now);
        }
    });
    if let Err(error) = noted {
        let _ = writeln!(io::stderr(), "Your progress could not be noted in .exercises: {error}");
    }
    match passed {
        true => {
            say(&format!("\nCompare    cargo exercise {name} --solution\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        false => {
            say(&format!("\nYour file  {yours}\nA hint     cargo exercise {name} --hint\n"))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn watch(root: &Path, exercise: &Exercise) -> io::Result<ExitCode> {
    let mut seen = None;
    loop {
        let state = state(&exercise.yours());
        if state.is_some() && state != seen {
            seen = state;
            trial(root, exercise)?;
            say("\nWaiting for you to save yours.rs. Ctrl-C ends.\n\n")?;
        }
        std::thread::sleep(LOOK);
    }
}

/// None while an editor replaces the file.
fn state(file: &Path) -> Option<(SystemTime, u64)> {
    let there = fs::metadata(file).ok()?;
    Some((there.modified().ok()?, there.len()))
}

fn hint(root: &Path, exercise: &Exercise) -> io::Result<ExitCode> {
    let (name, hints) = (exercise.name(), exercise.hints()?);
    let mut progress = Progress::read(root)?;
    let taken = progress.of(&name).hints as usize;
    let next = taken.min(hints.len().saturating_sub(1));
    let Some(hint) = hints.get(next) else { return wrong("this exercise has no hints") };
    say(&format!("Hint {} of {}\n\n{}\n", next + 1, hints.len(), wrapped(hint)))?;
    if taken >= hints.len() {
        say(&format!(
            "\nThat was the last one, again. The solution: cargo exercise {name} --solution\n"
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    progress.change(&name, |record| record.hints += 1)?;
    Ok(ExitCode::SUCCESS)
}

fn solution(root: &Path, exercise: &Exercise) -> io::Result<ExitCode> {
    let (name, hints) = (exercise.name(), exercise.hints()?.len());
    let mut progress = Progress::read(root)?;
    let record = progress.of(&name);
    let left = hints.saturating_sub(record.hints as usize);
    progress.change(&name, |record| record.solution += 1)?;
    if record.passed.is_none() && left > 0 && record.solution == 0 {
        let hints = if left == 1 { "is 1 hint".to_owned() } else { format!("are {left} hints") };
        say(&format!(
            "There {hints} that you haven't seen: cargo exercise {name} --hint\n\
             If you want the solution all the same, type the same line once more.\n"
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = shown(root, &exercise.folder.join("solution.rs"));
    say(&format!("{path}\n\n{}", exercise.read("solution.rs")?))?;
    Ok(ExitCode::SUCCESS)
}

fn reset(exercise: &Exercise) -> io::Result<ExitCode> {
    let (yours, stub) = (exercise.yours(), exercise.read("stub.rs")?);
    let mut kept = String::new();
    match fs::read_to_string(&yours) {
        Ok(written) if written == stub => {}
        Ok(written) => {
            let name = |number: u32| match number {
                1 => "yours.old.rs".to_owned(),
                number => format!("yours.old-{number}.rs"),
            };
            let free = (1..).map(name).find(|name| !exercise.folder.join(name).exists());
            let name = free.unwrap_or_default();
            fs::write(exercise.folder.join(&name), written)?;
            kept = format!(" What you wrote is in {name}, next to it.");
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::write(&yours, stub)?;
    say(&format!("yours.rs is as it was at the beginning.{kept}\n"))?;
    Ok(ExitCode::SUCCESS)
}
