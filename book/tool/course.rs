//! What the checks know of a course: its texts, its lessons, its recipes and its
//! packages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::{normal, shown};

/// A course on disk.
pub struct Course {
    /// Its folder.
    pub root: PathBuf,
    /// The chapters, and the README and CONTRIBUTING next to them.
    pub texts: Vec<Text>,
    /// The lessons, by number.
    pub lessons: Vec<Lesson>,
    /// The names of the recipes in the justfile.
    pub recipes: Vec<String>,
    /// The names of the packages in the workspace.
    pub packages: Vec<String>,
    /// The names of the binaries in the workspace.
    pub binaries: Vec<String>,
    /// The take-home crates.
    pub take_home: Vec<TakeHome>,
    /// Folders of `lessons/` that have a manifest and are not members of the workspace.
    pub unlisted: Vec<PathBuf>,
}

/// A take-home crate.
pub struct TakeHome {
    /// Its name.
    pub name: String,
    /// Relative to the course.
    pub folder: PathBuf,
}

/// A Markdown file.
pub struct Text {
    /// Relative to the course.
    pub file: PathBuf,
    /// What stands in it.
    pub markdown: String,
}

/// A lesson's folder, `NN-name`.
pub struct Lesson {
    /// Its number.
    pub number: u32,
    /// Relative to the course.
    pub folder: PathBuf,
    /// The chapter's file, relative to the course.
    pub chapter: PathBuf,
    /// The parts: the files in `src/parts`, in the order of `src/main.rs`.
    pub parts: Vec<String>,
    /// The minutes of its parts, as `src/main.rs` says, together.
    pub minutes: u32,
    /// The parts that `src/main.rs` names, each with its minutes.
    pub minutes_of: Vec<(String, u32)>,
    /// The options of its parts, with their dashes; each takes a value.
    pub options: Vec<String>,
    /// Whether it has a server of its own, for `--serve`.
    pub serves: bool,
    /// The snapshots, relative to the course.
    pub snapshots: Vec<PathBuf>,
}

impl Course {
    /// Reads a course.
    ///
    /// # Errors
    /// A file or folder that every course has is missing.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let root = std::path::absolute(root).with_context(|| shown(root))?;
        let root = normal(&root);
        // The members of the workspace are the one list of lessons.
        let workspace = table(&root.join("Cargo.toml"))?;
        let members = workspace.get("workspace").and_then(|workspace| workspace.get("members"));
        let members = members.and_then(toml::Value::as_array).context("Cargo.toml: no members")?;
        let members: Vec<&str> = members.iter().filter_map(toml::Value::as_str).collect();

        let (mut packages, mut binaries, mut lessons) = (Vec::new(), Vec::new(), Vec::new());
        let mut take_home = Vec::new();
        let mut markdown = files(&root.join("book/src"), "md")?;
        markdown.extend(files(&root, "md")?);
        for member in &members {
            let folder = root.join(member);
            let manifest = table(&folder.join("Cargo.toml"))?;
            let name = |value: &toml::Value| Some(value.get("name")?.as_str()?.to_owned());
            let package = manifest.get("package").and_then(name);
            let bins = manifest.get("bin").and_then(toml::Value::as_array);
            binaries.extend(bins.into_iter().flatten().filter_map(name));
            match member.split('/').collect::<Vec<_>>()[..] {
                ["lessons", _] => lessons.push(Lesson::read(&root, &folder)?),
                ["lessons", _, crate_folder] if crate_folder.starts_with("take-home") => {
                    markdown.extend(files(&folder, "md")?);
                    let name = package.clone().context("a package without a name")?;
                    take_home.push(TakeHome { name, folder: relative(&root, &folder) });
                }
                _ => {}
            }
            packages.extend(package);
        }
        let mut unlisted = Vec::new();
        let mut folders = children(&root.join("lessons"))?;
        for lesson in folders.clone().iter().filter(|folder| folder.is_dir()) {
            let inside = children(lesson)?.into_iter();
            folders.extend(inside.filter(|folder| {
                folder
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("take-home"))
            }));
        }
        for folder in folders {
            let folder = relative(&root, &folder);
            let is_member = members.iter().any(|member| Path::new(member) == folder);
            if !is_member && root.join(&folder).join("Cargo.toml").exists() {
                unlisted.push(folder);
            }
        }
        lessons.sort_by_key(|lesson: &Lesson| lesson.number);

        let mut texts = Vec::new();
        for file in markdown {
            let markdown = fs::read_to_string(&file).with_context(|| shown(&file))?;
            texts.push(Text { file: relative(&root, &file), markdown });
        }
        let justfile = fs::read_to_string(root.join("justfile")).context("justfile")?;
        let recipes = justfile.lines().filter_map(recipe_name).map(str::to_owned).collect();
        Ok(Self { root, texts, lessons, recipes, packages, binaries, take_home, unlisted })
    }
}

fn table(file: &Path) -> anyhow::Result<toml::Table> {
    let text = fs::read_to_string(file).with_context(|| shown(file))?;
    text.parse().with_context(|| shown(file))
}

impl Lesson {
    fn read(root: &Path, folder: &Path) -> anyhow::Result<Self> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.split('-').next().and_then(|digits| digits.parse().ok());
        let number =
            number.with_context(|| format!("lessons/{name}: expected a folder named NN-name"))?;
        let stem = |file: &PathBuf| {
            file.file_stem().unwrap_or_default().to_string_lossy().replace('_', "-")
        };
        let program = fs::read_to_string(folder.join("src/main.rs")).unwrap_or_default();
        let mut parts: Vec<String> = files(&folder.join("src/parts"), "rs")?
            .iter()
            .map(stem)
            .filter(|part| part != "mod")
            .collect();
        // One that main.rs does not name comes last; the lesson's transcript test finds it.
        parts.sort_by_key(|part| program.find(&format!("\"{part}\"")).unwrap_or(usize::MAX));
        let snapshots = files(&folder.join("tests/snapshots"), "snap")?;
        let part = regex::Regex::new(r#"\.part\(\s*"([^"]+)",\s*"[^"]+",\s*(\d+),"#)?;
        let minutes_of: Vec<(String, u32)> = part
            .captures_iter(&program)
            .filter_map(|part| Some((part[1].to_owned(), part[2].parse().ok()?)))
            .collect();
        Ok(Self {
            number,
            minutes: minutes_of.iter().map(|(_, minutes)| minutes).sum(),
            minutes_of,
            options: regex::Regex::new(r#"\.option\(\s*"([^"]+)""#)?
                .captures_iter(&program)
                .map(|option| format!("--{}", &option[1]))
                .collect(),
            serves: program.contains(".server("),
            folder: relative(root, folder),
            chapter: Path::new("book/src").join(format!("{name}.md")),
            parts,
            snapshots: snapshots.iter().map(|file| relative(root, file)).collect(),
        })
    }
}

/// The recipe that a line of a justfile starts: a name at its beginning, parameters, a
/// colon.
fn recipe_name(line: &str) -> Option<&str> {
    let (head, _dependencies) = line.split_once(':')?;
    let is_assignment = line[head.len()..].starts_with(":=");
    let name = head.split_whitespace().next()?.trim_start_matches('@');
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    (is_name && !is_assignment && line.starts_with(head)).then_some(name)
}

fn children(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| shown(folder))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn files(folder: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = children(folder)?;
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    Ok(paths)
}

fn relative(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_owned()
}
