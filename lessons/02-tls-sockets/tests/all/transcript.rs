//! Every part's output, locked, and the ladder diagrams drawn from the same runs.

use snapshots::{check_lesson_with, settings};
use tls_sockets::lab::ladder::svg;
use tls_sockets::lab::record::record;
use tls_sockets::lab::{ONLY_1_2, ONLY_1_3};

#[test]
fn every_part_prints_what_the_book_shows() {
    // A client of rustls puts its extensions into another order each time, so this part explains a recording.
    let package = env!("CARGO_MANIFEST_DIR");
    let recording = format!("{package}/tests/fixtures/connection.txt");
    // How the tap's reads cut the bytes is the system's affair.
    let filters = [(r"\b\d+ packets", "[number] packets")];
    let arguments: [(&str, &[&str]); 1] = [("bytes", &["--recording", &recording])];
    check_lesson_with(env!("CARGO_BIN_EXE_lesson-2"), package, &filters, &arguments);
}

#[tokio::test]
async fn the_ladders_are_drawn_from_recorded_bytes() -> anyhow::Result<()> {
    let drawings = [
        ("ladder-tls-1-3", "A TLS 1.3 connection", ONLY_1_3),
        ("ladder-tls-1-2", "A TLS 1.2 connection", ONLY_1_2),
    ];
    for (name, title, versions) in drawings {
        let (_wire, ladder) = record(versions).await?;
        let drawing = svg(title, &ladder);
        assert!(!drawing.contains("\n\n"), "a blank line would end the HTML in Markdown");
        settings(env!("CARGO_MANIFEST_DIR"), &[]).bind(|| insta::assert_snapshot!(name, drawing));
    }
    Ok(())
}
