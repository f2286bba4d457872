//! `just doctor`: a line for each thing that the course needs, with *ok* or what to do. Exit code 0 if nothing is missing,
//! 1 if something is.
//!
//! It stands on the standard library alone, so that it runs where nothing else does.

use std::env;
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a check found.
enum Found {
    /// Nothing to do.
    Ok(String),
    /// The course runs without it, and something is left out.
    Missing(String, String),
    /// The course doesn't run: what is wrong, and what to do.
    Fault(String, String),
}

use Found::{Fault, Missing};

type Check = fn(&Path) -> Found;

fn main() -> ExitCode {
    let course = match env::args().nth(1) {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
    };
    let course = course.canonicalize().unwrap_or(course);
    let checks: [(&str, Check); 9] = [
        ("Rust", rust),
        ("C compiler", c_compiler),
        ("disk", disk),
        ("loopback", loopback),
        ("localhost", localhost),
        ("clock", clock),
        ("proxy", proxy),
        ("crates", crates),
        ("built", built),
    ];
    let mut faults = 0;
    for (name, check) in checks {
        faults += u32::from(!say(name, &check(&course)));
    }
    for (name, programs, arguments) in [
        ("openssl", &["openssl"][..], &["version"][..]),
        ("curl", &["curl"], &["--version"]),
        ("Python", &["python3", "python"], &["--version"]),
        ("Node", &["node"], &["--version"]),
        ("GnuTLS", &["gnutls-cli"], &["--version"]),
        ("tshark", &["tshark"], &["--version"]),
        ("pebble", &["pebble"], &["-help"]),
    ] {
        let _never_a_fault = say(name, &peer(programs, arguments));
    }
    let verdict = match faults {
        0 => "This machine is ready.".to_owned(),
        1 => "One thing is to be done first.".to_owned(),
        faults => format!("{faults} things are to be done first."),
    };
    let _ = writeln!(std::io::stdout(), "\n{verdict}");
    if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a line, or two; whether it is no fault.
fn say(name: &str, found: &Found) -> bool {
    let (word, what, todo) = match found {
        Found::Ok(what) => ("ok", what, None),
        Missing(what, todo) => ("not there", what, Some(todo)),
        Fault(what, todo) => ("TO DO", what, Some(todo)),
    };
    let mut text = format!("{name:12}{word:11}{what}\n");
    if let Some(todo) = todo {
        text.push_str(&format!("{:23}{todo}\n", ""));
    }
    let _ = std::io::stdout().write_all(text.as_bytes());
    !matches!(found, Fault(..))
}

/// Runs a program with a limit on its time.
fn run(program: &str, arguments: &[&str], folder: &Path) -> Option<Output> {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    for _ in 0..600 {
        match child.try_wait() {
            Ok(Some(_ended)) => return child.wait_with_output().ok(),
            Ok(None) => std::thread::sleep(Duration::from_millis(50)),
            Err(_) => break,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn first_line(output: &Output) -> String {
    let text = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    String::from_utf8_lossy(text)
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default()
        .trim()
        .chars()
        .take(57)
        .collect()
}

fn rust(course: &Path) -> Found {
    let wanted = fs::read_to_string(course.join("Cargo.toml")).unwrap_or_default();
    let wanted =
        wanted.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap_or("\"1.89\"");
    let wanted = wanted.trim_matches(['"', ' ']).to_owned();
    let Some(output) =
        run("rustc", &["--version"], course).filter(|output| output.status.success())
    else {
        return Fault(
            "rustc does not run".to_owned(),
            "install Rust: https://rustup.rs".to_owned(),
        );
    };
    let said = first_line(&output);
    let version = said.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let numbers = |text: &str| -> Vec<u32> {
        text.split(['.', '-']).take(2).filter_map(|number| number.parse().ok()).collect()
    };
    if numbers(&version) < numbers(&wanted) {
        return Fault(format!("{version}, and {wanted} is needed"), "rustup update".to_owned());
    }
    Found::Ok(format!("{version}, at least {wanted} is needed"))
}

fn c_compiler(course: &Path) -> Found {
    let named = env::var("CC").unwrap_or_default();
    let candidates = [named.as_str(), "cc", "gcc", "clang"];
    let candidates = candidates.into_iter().filter(|name| !name.is_empty());
    // Visual Studio's compiler isn't in the path; cargo finds it in the registry.
    if cfg!(windows) {
        return Found::Ok("found by cargo when it builds (Visual Studio Build Tools)".to_owned());
    }
    for compiler in candidates {
        if let Some(output) =
            run(compiler, &["--version"], course).filter(|output| output.status.success())
        {
            return Found::Ok(first_line(&output));
        }
    }
    let todo = if cfg!(target_os = "macos") {
        "xcode-select --install"
    } else {
        "sudo apt install build-essential"
    };
    Fault("no cc, gcc or clang".to_owned(), todo.to_owned())
}

/// The build of everything takes some 4 GB.
fn disk(course: &Path) -> Found {
    const NEEDED: u64 = 5;
    if cfg!(windows) {
        return Found::Ok(format!("not looked at; {NEEDED} GB are needed"));
    }
    let free = run("df", &["-Pk", "."], course).and_then(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().nth(1)?.split_whitespace().nth(3)?.parse::<u64>().ok()
    });
    match free.map(|kib| kib / 1024 / 1024) {
        Some(free) if free < NEEDED && !course.join("target/debug").is_dir() => Fault(
            format!("{free} GB are free, and the build needs {NEEDED}"),
            "make room".to_owned(),
        ),
        Some(free) => Found::Ok(format!("{free} GB are free")),
        None => {
            Missing("how much is free isn't known".to_owned(), format!("{NEEDED} GB are needed"))
        }
    }
}

fn loopback(_: &Path) -> Found {
    let todo = "allow programs to listen on 127.0.0.1: look at the firewall";
    let tried = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| {
        let address = listener.local_addr()?;
        TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        listener.accept().map(|_| address)
    });
    match tried {
        Ok(_) => Found::Ok("a program can listen on 127.0.0.1, and be reached".to_owned()),
        Err(error) => Fault(format!("127.0.0.1 can't be used: {error}"), todo.to_owned()),
    }
}

fn localhost(_: &Path) -> Found {
    let todo = "add the line '127.0.0.1 localhost' to the file hosts";
    let resolved = ("localhost", 0).to_socket_addrs();
    match resolved.map(|mut addresses| addresses.any(|address| address.ip().is_loopback())) {
        Ok(true) => Found::Ok("localhost is this machine".to_owned()),
        Ok(false) => Fault("localhost is another machine".to_owned(), todo.to_owned()),
        Err(error) => Fault(format!("localhost has no address: {error}"), todo.to_owned()),
    }
}

/// No file of the course can be from the future: then the clock is behind.
fn clock(course: &Path) -> Found {
    let now = SystemTime::now();
    let files = ["Cargo.lock", "README.md", "CHANGELOG.md", "target/debug", "book/book.toml"];
    let newest =
        files.iter().filter_map(|file| fs::metadata(course.join(file)).ok()?.modified().ok()).max();
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let said = format!("{} (UTC)", date(seconds));
    match newest {
        Some(newest) if newest > now + Duration::from_secs(60) => Fault(
            format!("it says {said}, and files of the course are newer"),
            "set the clock: certificates have dates".to_owned(),
        ),
        // October 2026: the course is not older.
        _ if seconds < 1_792_800_000 => Fault(
            format!("it says {said}, before the course was written"),
            "set the clock: certificates have dates".to_owned(),
        ),
        _ => Found::Ok(said),
    }
}

/// A day and a time, from seconds since 1970 (the days by Hinnant's algorithm).
fn date(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (
        day_of_year - (153 * shifted + 2) / 5 + 1,
        if shifted < 10 { shifted + 3 } else { shifted - 9 },
    );
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}", of_day / 3600, of_day % 3600 / 60)
}

/// The lessons ignore proxies, and cargo doesn't.
fn proxy(_: &Path) -> Found {
    let names =
        ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    let set: Vec<&str> = names
        .into_iter()
        .filter(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
        .collect();
    match set.is_empty() {
        true => Found::Ok("no proxy variable is set".to_owned()),
        false => Missing(
            format!(
                "{} set: curl and Python may send a lesson's request to the proxy",
                set.join(", ")
            ),
            "unset them in the terminal of the workshop, or set no_proxy=localhost,127.0.0.1"
                .to_owned(),
        ),
    }
}

/// Whether cargo has every crate, without the network.
fn crates(course: &Path) -> Found {
    // Those of this system: a build needs no others.
    let about = run("rustc", &["-vV"], course)
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let about = about.unwrap_or_default();
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    let mut arguments = vec!["fetch", "--locked", "--offline"];
    if !host.is_empty() {
        arguments.extend(["--target", host]);
    }
    let todo = "just fetch, or cargo fetch --locked, while there is a connection";
    match run("cargo", &arguments, course) {
        Some(output) if output.status.success() => {
            Found::Ok("all crates are on this machine".to_owned())
        }
        Some(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let said = said
                .lines()
                .find(|line| line.contains("error"))
                .unwrap_or("some are missing")
                .to_owned();
            Fault(said, todo.to_owned())
        }
        None => {
            Fault("cargo does not run".to_owned(), "install Rust: https://rustup.rs".to_owned())
        }
    }
}

/// Whether each lesson starts at once: it is built, and after its source was last changed.
fn built(course: &Path) -> Found {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| course.join("target"), PathBuf::from);
    let lessons: Vec<String> = (0..=9).map(|number| format!("lesson-{number}")).collect();
    let expected = lessons.iter().filter(|name| has_lesson(course, name));
    let (mut missing, mut old) = (Vec::new(), Vec::new());
    for name in expected {
        let program = target.join("debug").join(format!("{name}{}", env::consts::EXE_SUFFIX));
        match fs::metadata(program).and_then(|found| found.modified()) {
            Err(_) => missing.push(name.as_str()),
            Ok(built) if newest_source(course, name).is_some_and(|source| source > built) => {
                old.push(name.as_str());
            }
            Ok(_) => {}
        }
    }
    let todo = "cargo build takes some minutes, once".to_owned();
    match (missing.is_empty(), old.is_empty()) {
        (true, true) => Found::Ok("every lesson is built".to_owned()),
        (false, _) => Missing(format!("not built yet: {}", missing.join(", ")), todo),
        (true, false) => Missing(format!("changed since built: {}", old.join(", ")), todo),
    }
}

/// When the newest file was changed that this lesson is built from: its own, those of the lessons before it, whose
/// take-home crates it may use, and those of the laboratory.
fn newest_source(course: &Path, name: &str) -> Option<SystemTime> {
    let number = name.trim_start_matches("lesson-");
    let lessons = fs::read_dir(course.join("lessons")).ok()?.filter_map(Result::ok);
    let mut folders: Vec<PathBuf> = lessons
        .filter(|lesson| {
            lesson.file_name().to_string_lossy().as_ref() < format!("0{number}.").as_str()
        })
        .map(|lesson| lesson.path())
        .collect();
    folders.push(course.join("shared/src"));
    let mut newest = fs::metadata(course.join("Cargo.lock")).and_then(|lock| lock.modified()).ok();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let Ok(found) = entry.metadata() else { continue };
            match found.is_dir() {
                // Neither is part of the lesson's program.
                true if name == "exercises" || name == "tests" || name == "benches" => {}
                true => folders.push(path),
                false if name.ends_with(".rs") || name == "Cargo.toml" => {
                    newest = newest.max(found.modified().ok());
                }
                false => {}
            }
        }
    }
    newest
}

fn has_lesson(course: &Path, name: &str) -> bool {
    let number = name.trim_start_matches("lesson-");
    let Ok(entries) = fs::read_dir(course.join("lessons")) else { return false };
    entries
        .filter_map(Result::ok)
        .any(|entry| entry.file_name().to_string_lossy().starts_with(&format!("0{number}-")))
}

fn peer(programs: &[&str], arguments: &[&str]) -> Found {
    for program in programs {
        if let Some(output) =
            run(program, arguments, Path::new(".")).filter(|output| output.status.success())
        {
            let line = first_line(&output);
            // Not every program tells its version.
            return Found::Ok(if line.contains("Usage") { "found".to_owned() } else { line });
        }
    }
    let note = "the tests that need it are skipped, and say so";
    Missing(format!("{} isn't found", programs[0]), note.to_owned())
}
