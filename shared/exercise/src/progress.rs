//! How far the learner is: a line for each exercise in a small file, `.exercises` in the workspace's root. It's outside
//! version control. A learner who deletes it starts again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What is known of one exercise. Times are in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Trials that compiled.
    pub attempts: u32,
    /// Hints taken.
    pub hints: u32,
    /// Whether the solution was asked for, or shown.
    pub solution: u32,
    /// The first trial.
    pub first: Option<u64>,
    /// The first trial that was passed.
    pub passed: Option<u64>,
}

/// The records of all exercises.
#[derive(Debug, Default)]
pub struct Progress {
    path: PathBuf,
    records: Vec<(String, Record)>,
}

impl Progress {
    /// Reads the file; without it, nothing is known. Lines that it doesn't understand are left out.
    ///
    /// # Errors
    /// The file is there and can't be read.
    pub fn read(root: &Path) -> io::Result<Self> {
        let path = root.join(".exercises");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let records = text.lines().filter_map(record).collect();
        Ok(Self { path, records })
    }

    /// What is known of this exercise.
    pub fn of(&self, name: &str) -> Record {
        let found = self.records.iter().find(|(known, _)| known == name);
        found.map(|(_, record)| record.clone()).unwrap_or_default()
    }

    /// Changes what is known of this exercise, and writes the file.
    ///
    /// # Errors
    /// It can't be written. The learner goes on without it.
    pub fn change(&mut self, name: &str, change: impl FnOnce(&mut Record)) -> io::Result<()> {
        let mut record = self.of(name);
        change(&mut record);
        self.records.retain(|(known, _)| known != name);
        self.records.push((name.to_owned(), record));
        self.records.sort_by(|one, other| one.0.cmp(&other.0));
        let lines: String = self.records.iter().map(|(name, record)| line(name, record)).collect();
        fs::write(&self.path, lines)
    }
}

/// Now, in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `3.1 attempts=4 hints=1 solution=0 first=1795600000 passed=1795600900`
fn line(name: &str, record: &Record) -> String {
    let Record { attempts, hints, solution, first, passed } = record;
    let mut line = format!("{name} attempts={attempts} hints={hints} solution={solution}");
    for (member, time) in [("first", first), ("passed", passed)] {
        if let Some(time) = time {
            line += &format!(" {member}={time}");
        }
    }
    line + "\n"
}

fn record(line: &str) -> Option<(String, Record)> {
    let mut words = line.split(' ');
    let name = words.next()?.to_owned();
    let mut record = Record::default();
    for word in words {
        let (member, value) = word.split_once('=')?;
        match member {
            "attempts" => record.attempts = value.parse().ok()?,
            "hints" => record.hints = value.parse().ok()?,
            "solution" => record.solution = value.parse().ok()?,
            "first" => record.first = Some(value.parse().ok()?),
            "passed" => record.passed = Some(value.parse().ok()?),
            _ => {}
        }
    }
    Some((name, record))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let record_of = Record { attempts: 4, hints: 1, solution: 0, first: Some(5), passed: None };
        let written = line("3.1", &record_of);
        assert_eq!(record(written.trim()), Some(("3.1".to_owned(), record_of)));
        assert_eq!(record("3.1 attempts=many"), None);
    }
}
