//! What `just take` writes resolves without the network, on its own and in a reader's workspace, and
//! brings along the crates that a committed list names.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[path = "../../src/sources.rs"]
mod sources;

type TestResult = Result<(), Box<dyn Error>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn take(arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_take")).args(arguments).output()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The take-home crates, by name, and their folders.
fn crates() -> Result<Vec<(String, PathBuf)>, Box<dyn Error>> {
    let workspace: toml::Table = std::fs::read_to_string(root().join("Cargo.toml"))?.parse()?;
    let members = workspace["workspace"]["members"].as_array().ok_or("members")?;
    let mut crates = Vec::new();
    for member in members.iter().filter_map(|member| member.as_str()) {
        if member.contains("/take-home") {
            let folder = root().join(member);
            let manifest: toml::Table =
                std::fs::read_to_string(folder.join("Cargo.toml"))?.parse()?;
            crates.push((manifest["package"]["name"].as_str().ok_or("name")?.to_owned(), folder));
        }
    }
    Ok(crates)
}

/// Runs cargo without the network. If something was never fetched, it is fetched once.
fn cargo(folder: &Path, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let run = || {
        Command::new(env!("CARGO"))
            .args(arguments)
            .args(["--offline", "--locked"])
            .args(vendored())
            .current_dir(folder)
            .output()
    };
    let mut done = run()?;
    if !done.status.success() && text(&done.stderr).contains("offline") {
        Command::new(env!("CARGO")).args(["fetch", "--locked"]).current_dir(root()).status()?;
        done = run()?;
    }
    match done.status.success() {
        true => Ok(text(&done.stdout)),
        false => Err(text(&done.stderr).into()),
    }
}

#[test]
fn without_a_name_and_with_a_wrong_one_it_lists_the_crates() -> TestResult {
    let (list, unknown) = (take(&[])?, take(&["tls-sockets", "folder"])?);
    assert_eq!((list.status.code(), unknown.status.code()), (Some(0), Some(1)));
    for (name, _) in crates()? {
        let line = format!("  {name} ");
        assert!(text(&list.stdout).contains(&line), "{name}");
        assert!(text(&unknown.stderr).contains(&line), "{name}");
    }
    let no_folder = take(&["careful-tls"])?;
    assert_eq!(no_folder.status.code(), Some(1));
    assert!(text(&no_folder.stderr).contains("expected a folder"), "{}", text(&no_folder.stderr));
    Ok(())
}

#[test]
fn every_crate_is_taken_whole_and_brings_the_crates_of_its_list() -> TestResult {
    // `just snapshots` accepts a list that has changed.
    let accept = std::env::var_os("INSTA_UPDATE").is_some_and(|value| value == "always");
    let mut wrong = Vec::new();
    let outside = tempfile::tempdir()?;
    // Those that are there already, because an earlier one needed them, are kept.
    for (name, folder) in crates()? {
        let taken = take(&[&name, outside.path().to_str().ok_or("a path in UTF-8")?])?;
        assert!(taken.status.success(), "{name}: {}", text(&taken.stderr));
        let here = outside.path().join(&name);
        let manifest = std::fs::read_to_string(here.join("Cargo.toml"))?;
        assert!(!manifest.contains("workspace"), "{name}: {manifest}");
        assert!(manifest.starts_with("# Taken from"), "{name}: {manifest}");
        assert!(!manifest.contains("tls12"), "{name} has a feature of the laboratory");
        assert!(!manifest.contains("early-data"), "{name} has a feature of the laboratory");
        for file in [
            "Cargo.lock",
            "LICENSE-MIT",
            "LICENSE-APACHE",
            "README.md",
            "rustfmt.toml",
            "src/lib.rs",
        ] {
            assert!(here.join(file).exists(), "{name}: no {file}");
        }
        let tree = ["tree", "--edges", "normal,build", "--target", "all"];
        let tree = cargo(&here, &[&tree[..], &["--prefix", "none", "--format", "{p}"]].concat())?;
        let mut names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        names.sort_unstable();
        names.dedup();
        let found = names.join("\n") + "\n";
        let list = folder.join("crates.txt");
        if accept {
            std::fs::write(&list, &found)?;
        }
        let expected = std::fs::read_to_string(&list).unwrap_or_default();
        let is_new = |name: &&str| !expected.lines().any(|known| known == *name);
        let new: Vec<&str> = found.lines().filter(is_new).collect();
        if found != expected.replace('\r', "") {
            wrong.push(format!(
                "{name}: {} crates, {} in crates.txt; new: {new:?}",
                found.lines().count(),
                expected.lines().count()
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "a take-home crate brings other crates than its crates.txt says; if that is meant, `just \
         snapshots` writes the lists:\n{}",
        wrong.join("\n")
    );
    Ok(())
}

/// What is off in the course is off there, and can be turned on.
#[test]
fn the_features_of_a_crate_come_with_it() -> TestResult {
    let outside = tempfile::tempdir()?;
    let taken = take(&["careful-services", outside.path().to_str().ok_or("a path in UTF-8")?])?;
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    let here = outside.path().join("careful-services");
    let manifest = std::fs::read_to_string(here.join("Cargo.toml"))?;
    assert!(!manifest.contains("\"tokio\", \"tokio\""), "a feature twice: {manifest}");
    let tree = ["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    assert!(!cargo(&here, &tree)?.contains("careful-tokens"));
    let with_token = cargo(&here, &[&tree[..], &["--features", "token"]].concat())?;
    assert!(with_token.contains("careful-tokens"), "{with_token}");
    Ok(())
}

#[test]
fn a_reader_who_takes_one_thing_does_not_get_another() -> TestResult {
    let list = |name: &str| -> Result<String, Box<dyn Error>> {
        let all = crates()?;
        let (_, folder) = all.iter().find(|(known, _)| known == name).ok_or("the crate")?;
        let file = folder.join("crates.txt");
        std::fs::read_to_string(&file).map_err(|error| {
            format!("{}: {error}: just snapshots writes it", file.display()).into()
        })
    };
    for (name, unwanted) in [
        ("careful-tls", &["reqwest", "hyper", "h2", "rcgen"][..]),
        ("careful-certificates", &["reqwest", "tokio", "rcgen"]),
        ("careful-encryption", &["rustls", "tokio", "rcgen"]),
        ("careful-tokens", &["rustls", "reqwest", "hyper", "rcgen"]),
        ("careful-mailbox", &["reqwest", "hyper", "clap", "rcgen", "tracing-subscriber"]),
        ("careful-https", &["rcgen", "clap"]),
        ("careful-services", &["rcgen", "reqwest", "clap", "jsonwebtoken", "careful-tokens"]),
        ("careful-issuer", &["tokio", "axum", "rustls"]),
    ] {
        let crates = list(name)?;
        for unwanted in unwanted {
            assert!(!crates.lines().any(|line| line == *unwanted), "{name} brings {unwanted}");
        }
    }
    for (name, _) in crates()? {
        let crates = list(&name)?;
        for ours in ["shared", "peers", "snapshots", "insta", "proptest"] {
            assert!(!crates.lines().any(|line| line == ours), "{name} brings {ours}");
        }
    }
    Ok(())
}

#[test]
fn a_crate_that_is_there_is_kept_and_that_is_said_before_anything_is_written() -> TestResult {
    let outside = tempfile::tempdir()?;
    let theirs = outside.path().join("careful-files/Cargo.toml");
    std::fs::create_dir_all(outside.path().join("careful-files"))?;
    std::fs::write(&theirs, "[package]\nname = \"careful-files\"\n# changed by its reader\n")?;
    let folder = outside.path().to_str().ok_or("a path in UTF-8")?;
    let taken = take(&["careful-encryption", folder])?;
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    let said = text(&taken.stdout);
    let (keeps, writes) = (said.find("keeps   "), said.find("writes  "));
    assert!(keeps.is_some() && keeps < writes, "{said}");
    assert!(std::fs::read_to_string(theirs)?.ends_with("# changed by its reader\n"));
    assert_eq!(std::fs::read_dir(outside.path().join("careful-files"))?.count(), 1);
    assert!(outside.path().join("careful-encryption/profile.toml").exists());
    // What was moved into place leaves nothing else behind.
    assert_eq!(std::fs::read_dir(outside.path())?.count(), 2);
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_meant_is_refused_and_nothing_is_written() -> TestResult {
    let outside = tempfile::tempdir()?;
    let inside = root().join("target/crates");
    std::fs::create_dir(outside.path().join("careful-errors"))?;
    for (folder, says) in [
        ("", "expected a folder"),
        ("careful-tls", "the name of one, careful-tls"),
        (inside.to_str().ok_or("a path in UTF-8")?, "inside the course"),
        (outside.path().to_str().ok_or("a path in UTF-8")?, "is not the crate careful-errors"),
    ] {
        let refused = take(&["careful-errors", folder])?;
        let said = text(&refused.stderr);
        assert!(refused.status.code() == Some(1) && said.contains(says), "{folder:?}: {said}");
        assert_eq!(text(&refused.stdout), "", "nothing was said to be written");
    }
    assert_eq!(std::fs::read_dir(outside.path())?.count(), 1);
    Ok(())
}

#[test]
fn what_is_taken_has_no_marks_of_the_book() -> TestResult {
    let outside = tempfile::tempdir()?;
    let folder = outside.path().to_str().ok_or("a path in UTF-8")?;
    assert!(take(&["careful-lines", folder])?.status.success());
    for file in ["README.md", "src/lib.rs"] {
        let taken = std::fs::read_to_string(outside.path().join("careful-lines").join(file))?;
        assert!(!taken.contains("ANCHOR"), "{file}");
        assert!(taken.contains("read_line"), "{file}");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_to_is_said_and_nothing_is_left() -> TestResult {
    let outside = tempfile::tempdir()?;
    let file = outside.path().join("file");
    std::fs::write(&file, "")?;
    let refused = take(&["careful-lines", file.to_str().ok_or("a path in UTF-8")?])?;
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("cannot write to the folder"), "{said}");
    Ok(())
}

#[test]
fn a_folder_above_the_temporary_one_does_not_steer_cargo() -> TestResult {
    // On a machine of several users, anybody who is first makes `/tmp/.cargo`, and `/tmp/Cargo.toml`.
    let theirs = tempfile::tempdir()?;
    std::fs::create_dir(theirs.path().join(".cargo"))?;
    let config = "[build]\nrustc-wrapper = \"a-program-of-theirs\"\n";
    std::fs::write(theirs.path().join(".cargo/config.toml"), config)?;
    std::fs::write(theirs.path().join("Cargo.toml"), "[workspace]\n")?;
    let outside = tempfile::tempdir()?;
    let taken = Command::new(env!("CARGO_BIN_EXE_take"))
        .args(["careful-errors", outside.path().to_str().ok_or("a path in UTF-8")?])
        .env("TMPDIR", theirs.path())
        .output()?;
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    Ok(())
}

/// Whether there is a git; without one these tests say nothing.
fn has_git() -> bool {
    Command::new("git").arg("--version").output().is_ok()
}

fn git_in(folder: &Path, arguments: &[&str]) -> TestResult {
    let done = Command::new("git").args(arguments).current_dir(folder).output()?;
    match done.status.success() {
        true => Ok(()),
        false => Err(text(&done.stderr).into()),
    }
}

#[test]
fn the_commit_is_the_one_of_the_course_whatever_git_is_told() -> TestResult {
    if !has_git() || !sources::is_clone(&root()) {
        return Ok(());
    }
    let (theirs, outside) = (tempfile::tempdir()?, tempfile::tempdir()?);
    git_in(theirs.path(), &["init", "--quiet"])?;
    let by = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    git_in(theirs.path(), &[&by[..], &["commit", "--quiet", "--allow-empty", "-m", "x"]].concat())?;
    let taken = Command::new(env!("CARGO_BIN_EXE_take"))
        .args(["careful-errors", outside.path().to_str().ok_or("a path in UTF-8")?])
        .env("GIT_DIR", theirs.path().join(".git"))
        .output()?;
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    let manifest = std::fs::read_to_string(outside.path().join("careful-errors/Cargo.toml"))?;
    let commit = sources::git(&root(), &["rev-parse", "--short=12", "HEAD"])?;
    let origin = manifest.lines().next().unwrap_or_default();
    assert!(origin.contains(&format!("commit {commit}")), "{origin}");
    Ok(())
}

#[test]
fn only_what_git_knows_is_taken() -> TestResult {
    if !has_git() {
        return Ok(());
    }
    let clone = tempfile::tempdir()?;
    let folder = clone.path().join("crate");
    std::fs::create_dir_all(folder.join("src"))?;
    std::fs::write(folder.join("src/lib.rs"), "")?;
    std::fs::write(clone.path().join(".gitignore"), "/crate/ignored\n")?;
    std::fs::write(folder.join("ignored"), "")?;
    // Before it is a clone, all is taken: there is nobody to ask.
    let mut all = sources::below(&folder, clone.path())?;
    all.sort();
    assert_eq!(all, [PathBuf::from("ignored"), Path::new("src").join("lib.rs")]);
    git_in(clone.path(), &["init", "--quiet"])?;
    git_in(clone.path(), &["add", "."])?;
    assert_eq!(sources::below(&folder, clone.path())?, [Path::new("src/lib.rs")]);
    std::fs::write(folder.join("key.pem"), "a secret")?;
    let refused = sources::below(&folder, clone.path()).err().ok_or("it was taken")?.to_string();
    assert!(refused.contains("key.pem") && refused.contains("git add"), "{refused}");
    // A folder inside somebody else's clone is no clone.
    assert!(sources::is_clone(clone.path()) && !sources::is_clone(&folder));
    Ok(())
}

#[cfg(unix)]
#[test]
fn what_a_link_leads_to_is_not_taken() -> TestResult {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("src"))?;
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("src/.#lib.rs"))?;
    let refused = sources::below(folder.path(), folder.path()).err().ok_or("it was taken")?;
    assert!(refused.to_string().contains("no regular file"), "{refused}");
    Ok(())
}

/// A reader's workspace with one package that has these dependencies.
fn workspace_with(dependencies: &str) -> Result<tempfile::TempDir, Box<dyn Error>> {
    let theirs = tempfile::tempdir()?;
    let write = |file: &str, text: &str| {
        let path = theirs.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap_or(theirs.path()))?;
        std::fs::write(path, text)
    };
    write("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"service\"]\n")?;
    let package = "[package]\nname = \"service\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    let package = format!("{package}\n[dependencies]\n{dependencies}\n");
    write("service/Cargo.toml", &package)?;
    write("service/src/lib.rs", "")?;
    // The versions that are here already: cargo keeps those that fit.
    std::fs::copy(root().join("Cargo.lock"), theirs.path().join("Cargo.lock"))?;
    Ok(theirs)
}

/// Where the crates are, if the course came from a USB stick: outside its folder, cargo doesn't know.
fn vendored() -> Vec<String> {
    let folder = root().join("vendor");
    if !folder.is_dir() {
        return Vec::new();
    }
    let folder = folder.display().to_string().replace('\\', "/");
    let configuration = [
        "source.crates-io.replace-with='vendored-sources'".to_owned(),
        format!("source.vendored-sources.directory='{folder}'"),
    ];
    configuration.into_iter().flat_map(|setting| ["--config".to_owned(), setting]).collect()
}

/// With the crates of this system, because those of others may not have been fetched.
fn resolves_offline(workspace: &Path) -> TestResult {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let about = Command::new(rustc).arg("-vV").output()?;
    let about = text(&about.stdout).to_owned();
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("a host")?;
    let done = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", host])
        .args(vendored())
        .current_dir(workspace)
        .output()?;
    match done.status.success() {
        true => Ok(()),
        false => Err(text(&done.stderr).into()),
    }
}

#[test]
fn a_taken_crate_resolves_inside_a_readers_workspace() -> TestResult {
    let theirs = workspace_with("careful-tls = { path = \"../crates/careful-tls\" }")?;
    let crates = theirs.path().join("crates");
    let taken = take(&["careful-tls", crates.to_str().ok_or("a path in UTF-8")?])?;
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    resolves_offline(theirs.path())
}

#[test]
fn a_crate_is_used_by_its_path_in_the_course_too() -> TestResult {
    let mut lines = String::new();
    for (name, folder) in crates()? {
        let folder = folder.canonicalize()?;
        let path = folder.to_str().ok_or("a path in UTF-8")?.replace('\\', "/");
        lines += &format!("{name} = {{ path = \"{path}\" }}\n");
    }
    let theirs = workspace_with(&lines)?;
    resolves_offline(theirs.path())
}
