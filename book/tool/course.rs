//! What the checks know of a course: its texts, its lessons, its recipes and its
//! packages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A course on disk.
pub struct Course {
    /// Its folder.
    pub root: PathBuf,
    /// The chapters, and the README and CONTRIBUTING beside them.
    pub texts: Vec<Text>,
    /// The lessons, by number.
    pub lessons: Vec<Lesson>,
    /// The names of the recipes in the justfile.
    pub recipes: Vec<String>,
    /// The names of the packages in the workspace.
    pub packages: Vec<String>,
    /// The names of the binaries in the workspace.
    pub binaries: Vec<String>,
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
    /// The parts: the files in `src/parts`.
    pub parts: Vec<String>,
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
        let root = root.canonicalize().with_context(|| root.display().to_string())?;
        let mut texts = Vec::new();
        for file in files(&root.join("book/src"), "md")?.into_iter().chain(files(&root, "md")?) {
            let markdown = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            texts.push(Text { file: relative(&root, &file), markdown });
        }
        let mut lessons = Vec::new();
        let mut manifests = vec![root.join("shared/Cargo.toml"), root.join("book/Cargo.toml")];
        for folder in children(&root.join("lessons"))? {
            manifests.push(folder.join("Cargo.toml"));
            lessons.push(Lesson::read(&root, &folder)?);
        }
        let justfile = fs::read_to_string(root.join("justfile")).context("justfile")?;
        let recipes = justfile.lines().filter_map(recipe_name).map(str::to_owned).collect();
        let (mut packages, mut binaries) = (Vec::new(), Vec::new());
        for manifest in manifests.iter().filter(|manifest| manifest.exists()) {
            let text =
                fs::read_to_string(manifest).with_context(|| manifest.display().to_string())?;
            let table: toml::Table =
                text.parse().with_context(|| manifest.display().to_string())?;
            let name = |value: &toml::Value| Some(value.get("name")?.as_str()?.to_owned());
            packages.extend(table.get("package").and_then(name));
            let bins = table.get("bin").and_then(toml::Value::as_array);
            binaries.extend(bins.into_iter().flatten().filter_map(name));
        }
        Ok(Self { root, texts, lessons, recipes, packages, binaries })
    }
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
        let parts = files(&folder.join("src/parts"), "rs")?
            .iter()
            .map(stem)
            .filter(|part| part != "mod")
            .collect();
        let snapshots = files(&folder.join("tests/snapshots"), "snap")?;
        Ok(Self {
            number,
            serves: fs::read_to_string(folder.join("src/main.rs"))
                .is_ok_and(|program| program.contains(".server(")),
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
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
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
