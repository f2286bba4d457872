//! `just schedule 3h [--lessons 1,2] [--start 9:30]`: an agenda with clock times.

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use exercise::agenda::{Length, lessons, text};

const USAGE: &str = "\
just schedule 3h                  an agenda for three hours
just schedule 90m --lessons 1     for 90 minutes, with lesson 1 alone
just schedule 2d --start 8:30     for two days, from half past eight

Hours up to 8, days up to 5. A day has eight hours, with an hour for lunch.
";

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match agenda(&root) {
        Ok(agenda) => match io::stdout().write_all(agenda.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                eprintln!("error: the agenda can't be written: {error}");
                ExitCode::FAILURE
            }
            _ => ExitCode::SUCCESS,
        },
        Err(what) => {
            eprintln!("error: {what}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn agenda(root: &Path) -> Result<String, String> {
    let mut lessons =
        lessons(root).map_err(|error| format!("the lessons can't be read: {error}"))?;
    let (mut length, mut start) = (None, 9 * 60);
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--help" | "-h" => return Ok(USAGE.to_owned()),
            "--lessons" => {
                let value = value()?;
                let wanted: Vec<&str> = value.split(',').map(str::trim).collect();
                if let Some(wrong) = wanted.iter().find(|wanted| {
                    !lessons.iter().any(|lesson| lesson.number.to_string() == **wanted)
                }) {
                    let all: Vec<String> =
                        lessons.iter().map(|lesson| lesson.number.to_string()).collect();
                    return Err(format!(
                        "there is no lesson {wrong}; there are {}",
                        all.join(", ")
                    ));
                }
                lessons.retain(|lesson| wanted.contains(&lesson.number.to_string().as_str()));
            }
            "--start" => {
                let value = value()?;
                start = minutes(&value).ok_or_else(|| {
                    format!("expected a time such as 9:30 after --start, got {value}")
                })?
            }
            word if length.is_none() => {
                length = Some(Length::of(word).ok_or_else(|| {
                    format!(
                        "expected a length such as 3h, 90m or 2d (at most 8h or 5d), got {word}"
                    )
                })?);
            }
            word => return Err(format!("there is no option {word}")),
        }
    }
    let length = length.ok_or("expected a length such as 3h, 90m or 2d")?;
    Ok(text(&lessons, length, start))
}

/// `9:30` as minutes after midnight.
fn minutes(time: &str) -> Option<u32> {
    let (hours, minutes) = time.split_once(':')?;
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}
