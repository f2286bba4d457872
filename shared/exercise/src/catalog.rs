//! What exercises there are, as the folders say.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One exercise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exercise {
    /// Of its lesson, and within it.
    pub number: (u8, u8),
    /// The first heading of `exercise.md`.
    pub title: String,
    /// Fix, Write, Attack or Diagnose.
    pub kind: String,
    /// How long it takes.
    pub minutes: u32,
    /// Where its files are.
    pub folder: PathBuf,
}

impl Exercise {
    /// As a learner types it: `2.4`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.number.0, self.number.1)
    }

    /// The name of its program.
    pub fn bin(&self) -> String {
        format!("exercise-{}-{}", self.number.0, self.number.1)
    }

    /// The file that belongs to the learner.
    pub fn yours(&self) -> PathBuf {
        self.folder.join("yours.rs")
    }

    /// A file of it, as text.
    ///
    /// # Errors
    /// It can't be read.
    pub fn read(&self, file: &str) -> io::Result<String> {
        let path = self.folder.join(file);
        fs::read_to_string(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
        })
    }

    /// The hints, in order: what stands behind the headings `## Hint 1` and so on.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn hints(&self) -> io::Result<Vec<String>> {
        let text = self.read("hints.md")?;
        let hints = text.split("\n## Hint ").skip(1);
        let body = |hint: &str| hint.split_once('\n').map_or("", |(_number, body)| body).to_owned();
        let shown = |line: &&str| !line.starts_with("<!--");
        Ok(hints
            .map(|hint| {
                body(hint).lines().filter(shown).collect::<Vec<_>>().join("\n").trim().to_owned()
            })
            .collect())
    }
}

/// All exercises below a workspace's root, in order.
///
/// # Errors
/// A folder can't be read, or an exercise's first lines don't say what it is.
pub fn find(root: &Path) -> io::Result<Vec<Exercise>> {
    let mut found = Vec::new();
    for (lesson, folder) in numbered(&root.join("lessons"))? {
        let exercises = folder.join("exercises");
        if !exercises.is_dir() {
            continue;
        }
        for (number, folder) in numbered(&exercises)? {
            found.push(read(folder, (lesson, number))?);
        }
    }
    found.sort_by_key(|exercise| exercise.number);
    Ok(found)
}

/// The folders whose names begin with a number and a hyphen.
fn numbered(folder: &Path) -> io::Result<Vec<(u8, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.split_once('-').and_then(|(number, _)| number.parse().ok());
        if let Some(number) = number.filter(|_| path.is_dir()) {
            found.push((number, path));
        }
    }
    Ok(found)
}

/// `### Exercise 3.1: Title`, and below it `*Attack, 15 minutes.*`
fn read(folder: PathBuf, number: (u8, u8)) -> io::Result<Exercise> {
    let exercise =
        Exercise { number, title: String::new(), kind: String::new(), minutes: 0, folder };
    let text = exercise.read("exercise.md")?;
    let heading = format!("### Exercise {}: ", exercise.name());
    let title = text.lines().next().and_then(|line| line.strip_prefix(&heading));
    let about = text.lines().find_map(|line| line.strip_prefix('*')?.strip_suffix(" minutes.*"));
    let about = about.and_then(|about| about.split_once(", "));
    let minutes = about.and_then(|(_, minutes)| minutes.parse().ok());
    match (title, about, minutes) {
        (Some(title), Some((kind, _)), Some(minutes)) => {
            Ok(Exercise { title: title.to_owned(), kind: kind.to_owned(), minutes, ..exercise })
        }
        _ => Err(io::Error::other(format!(
            "{}: expected \"{heading}TITLE\" in the first line, and below it \"*KIND, N minutes.*\"",
            exercise.folder.join("exercise.md").display()
        ))),
    }
}
