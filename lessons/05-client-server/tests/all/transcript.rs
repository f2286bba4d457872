//! Every part's output, locked.

use snapshots::Filter;

/// Fingerprints, ids of requests in the server's log, and dates.
const FILTERS: &[Filter] = &[
    (r"(?:[0-9a-f]{4}\s+){7}[0-9a-f]{4}\b", "[fingerprint]"),
    (r"\b\d{4}-\d\d-\d\d\s+\d\d:\d\d:\d\d\s+UTC", "[date]"),
    (r"\b(request\s+)[0-9a-f]{16}\b", "$1[id]"),
];

#[test]
fn every_part_prints_what_the_book_shows() {
    snapshots::check_lesson(env!("CARGO_BIN_EXE_lesson-5"), env!("CARGO_MANIFEST_DIR"), FILTERS);
}
