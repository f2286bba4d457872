//! The fuzz targets over their corpus, as ordinary tests.

use std::path::Path;

#[path = "../../../../shared/fuzz/src/parsers.rs"]
mod parsers;

/// The files of a corpus, by name.
fn corpus(of: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fuzz/corpus").join(of);
    let entries = std::fs::read_dir(folder).expect("a corpus");
    let files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read(path).expect("a file"))
        })
        .collect();
    assert!(files.len() > 5, "a corpus of {} files", files.len());
    files
}

#[test]
fn frames() {
    for (name, bytes) in corpus("frames") {
        let expected = match name.as_str() {
            "one-ping" => 1,
            "three" => 3,
            _ => 0,
        };
        assert_eq!(parsers::frames(&bytes), expected, "{name}");
    }
}

#[test]
fn messages() {
    for (_, bytes) in corpus("messages") {
        parsers::messages(&bytes);
    }
}

#[test]
fn formats() {
    for (_, bytes) in corpus("formats") {
        parsers::formats(&bytes);
    }
}
