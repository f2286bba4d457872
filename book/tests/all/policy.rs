//! What the repository keeps to: one provider of cryptography, versions above the floors of known
//! advisories, licenses and sources that were read, and the smallest Rust that builds it all.

use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

/// The packages that the workspace is built from on this system. Those of other systems may not even have
/// been fetched.
static PACKAGES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let about = Command::new(rustc).arg("-vV").output().expect("rustc runs");
    let about = String::from_utf8(about.stdout).expect("UTF-8");
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let metadata: Value = serde_json::from_slice(&cargo.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
});

fn version(text: &str) -> Vec<u64> {
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    numbers.split('.').map(|number| number.parse().expect("a number")).collect()
}

/// What cargo builds, by name. Cargo.lock names optional packages, too.
fn tree(of: &[&str], edges: &str) -> Vec<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p}"])
        .args(["--edges", edges])
        .args(of)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    tree.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect()
}

#[test]
fn no_second_provider_is_in_the_build() {
    let built = tree(&["--workspace"], "normal,build,dev");
    assert!(built.iter().any(|name| name == "aws-lc-rs"), "{built:?}");
    for unwanted in ["ring", "rsa", "rustls-pemfile", "openssl", "native-tls"] {
        assert!(!built.iter().any(|name| name == unwanted), "{unwanted} is in the build");
    }
}

#[test]
fn no_version_is_below_an_advisory() {
    let packages = &*PACKAGES;
    let name = |package: &Value| package["name"].as_str().unwrap_or_default().to_owned();
    // RustSec, read on 21 August 2026; jsonwebtoken: GHSA-h395-gr6q-cpjc.
    let floors = [
        ("aes-gcm", "0.10.3"),
        ("aws-lc-sys", "0.39.0"),
        ("h2", "0.4.16"),
        ("jsonwebtoken", "10.3.0"),
        ("reqwest", "0.13.4"),
        ("rustls", "0.23.18"),
        ("rustls-webpki", "0.103.13"),
        ("tokio-rustls", "0.13.1"),
    ];
    for (package, floor) in floors {
        let found: Vec<_> = packages.iter().filter(|found| name(found) == package).collect();
        assert!(!found.is_empty(), "{package} is not in the build: remove its floor");
        for found in found {
            let has = found["version"].as_str().unwrap_or_default();
            assert!(version(has) >= version(floor), "{package} {has} is below {floor}");
        }
    }
}

#[test]
fn rust_version_is_what_the_dependencies_need() {
    let packages = &*PACKAGES;
    let needs = |package: &Value| version(package["rust_version"].as_str().unwrap_or("1"));
    let is_ours = |package: &&Value| package["source"].is_null();
    let ours = packages.iter().filter(is_ours).map(needs).max().expect("our packages");
    let highest =
        packages.iter().filter(|package| !is_ours(package)).max_by_key(|package| needs(package));
    let highest = highest.expect("dependencies");
    assert!(
        ours >= needs(highest),
        "{} needs {:?}, Cargo.toml says {ours:?}",
        highest["name"],
        needs(highest)
    );
}

/// License expressions of our dependencies, each of which was read. All of them let a product use the
/// crate; CC-BY-4.0 is for the icons of the book's pages.
const LICENSES: &[&str] = &[
    "(MIT OR Apache-2.0) AND MIT",
    "(MIT OR Apache-2.0) AND Unicode-3.0",
    "Apache-2.0",
    "Apache-2.0 / MIT",
    "Apache-2.0 AND ISC",
    "Apache-2.0 OR ISC OR MIT",
    "Apache-2.0 OR MIT",
    "Apache-2.0 WITH LLVM-exception",
    "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
    "Apache-2.0/MIT",
    "BSD-3-Clause",
    "BSD-3-Clause OR MIT OR Apache-2.0",
    "CC-BY-4.0 AND MIT",
    "CC0-1.0 OR MIT-0 OR Apache-2.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "ISC AND (Apache-2.0 OR ISC)",
    "ISC AND (Apache-2.0 OR ISC) AND Apache-2.0 AND MIT AND BSD-3-Clause AND (Apache-2.0 OR ISC OR MIT) AND (Apache-2.0 OR ISC OR MIT-0)",
    "MIT",
    "MIT AND BSD-3-Clause",
    "MIT OR Apache-2.0",
    "MIT OR Apache-2.0 OR BSD-1-Clause",
    "MIT OR Apache-2.0 OR LGPL-2.1-or-later",
    "MIT OR Apache-2.0 OR Zlib",
    "MIT/Apache-2.0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense OR MIT",
    "Unlicense/MIT",
    "Zlib OR Apache-2.0 OR MIT",
];

#[test]
fn every_dependency_has_a_license_and_a_source_that_were_read() {
    let mut sources = std::collections::BTreeSet::new();
    for package in &*PACKAGES {
        let name = format!("{} {}", package["name"], package["version"]);
        let license = package["license"].as_str().unwrap_or_default();
        assert!(LICENSES.contains(&license), "{name}: the license {license:?} was not read yet");
        // Ours have none.
        if let Some(source) = package["source"].as_str() {
            assert!(source.starts_with("registry+"), "{name} comes from {source}");
            sources.insert(source.to_owned());
        }
    }
    assert_eq!(sources.len(), 1, "one registry: {sources:?}");
}

/// What only tests need stays out of the lessons' programs: it would cost their first build.
#[test]
fn no_lesson_links_what_only_tests_need() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let course = book::course::Course::read(&root).expect("the course");
    let lessons: Vec<&str> = course
        .packages
        .iter()
        .map(String::as_str)
        .filter(|name| name.starts_with("lesson-"))
        .collect();
    for lesson in &course.lessons {
        let folder = lesson.folder.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("lesson-{folder}");
        assert!(lessons.contains(&name.as_str()), "no package is named {name}: {lessons:?}");
    }
    let packages: Vec<&str> = lessons.iter().flat_map(|lesson| ["--package", lesson]).collect();
    let linked = tree(&packages, "normal,build");
    for wanted in lessons.iter().chain(&["careful-mailbox", "shared"]) {
        assert!(linked.iter().any(|name| name == wanted), "{wanted} is not there");
    }
    for unwanted in ["insta", "proptest", "peers", "snapshots", "trial", "exercise"] {
        assert!(!linked.iter().any(|name| name == unwanted), "a lesson links {unwanted}");
    }
}

/// The tests that exist are run: one executable for each package, and every file of it is a module.
#[test]
fn no_test_is_left_out() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |file: &std::path::Path| std::fs::read_to_string(file).unwrap_or_default();
    let workspace: toml::Table = read(&root.join("Cargo.toml")).parse().expect("TOML");
    let members = workspace["workspace"]["members"].as_array().expect("members");
    for member in members.iter().filter_map(toml::Value::as_str) {
        let folder = root.join(member);
        let tests = folder.join("tests/all");
        let main = read(&tests.join("main.rs"));
        for entry in std::fs::read_dir(&tests).into_iter().flatten() {
            let file = entry.expect("an entry").path();
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let named = name == "main" || main.contains(&format!("mod {name};"));
            assert!(named, "{member}/tests/all/main.rs does not name the module {name}");
        }
        let manifest: toml::Table = read(&folder.join("Cargo.toml")).parse().expect("TOML");
        let lib = manifest.get("lib").and_then(toml::Value::as_table);
        let off = lib.and_then(|lib| lib.get("test")?.as_bool()) == Some(false);
        let mut code = String::new();
        crate::book::collect_rust(&folder.join("src"), &mut code).expect("code");
        let beside = code.contains("#[cfg(test)]");
        assert!(!(off && beside), "{member} has `test = false` and tests in src: they do not run");
    }
}

/// A learner's file that doesn't compile turns nothing red but its own trial: only the program of an exercise has it,
/// and `cargo test` doesn't build that.
#[test]
fn a_half_written_exercise_breaks_no_test() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |file: &std::path::Path| std::fs::read_to_string(file).unwrap_or_default();
    let exercises = exercise::find(&root).expect("the exercises");
    assert!(exercises.len() >= 13, "{}", exercises.len());
    for exercise in &exercises {
        let package = exercise.folder.parent().expect("a folder");
        let manifest: toml::Table = read(&package.join("Cargo.toml")).parse().expect("TOML");
        let name = exercise.bin();
        let bins = manifest["bin"].as_array().expect("programs");
        let bin = bins.iter().find(|bin| bin["name"].as_str() == Some(&name)).expect("its program");
        assert_eq!(bin.get("test").and_then(toml::Value::as_bool), Some(false), "{name}");
        assert_eq!(
            manifest["package"].get("autobins").and_then(toml::Value::as_bool),
            Some(false),
            "{name}"
        );
        assert!(
            !package.join("tests").exists(),
            "{name}: `cargo test` builds the programs for a tests folder"
        );
        assert!(read(&exercise.folder.join("main.rs")).contains("mod yours;"), "{name}");
        for other in [package.join("lib.rs"), exercise.folder.join("check.rs")] {
            assert!(!read(&other).contains("mod yours"), "{}", other.display());
        }
    }
}
