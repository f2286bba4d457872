//! Every part's output, locked.

use snapshots::Filter;

/// Sizes that depend on a fresh signature, because ECDSA in DER has no fixed length.
const FILTERS: &[Filter] = &[
    (r"\b\d+ bytes, (readable: (?:Certificate|ServerKeyExchange)\b|encrypted)", "[size] bytes, $1"),
    (r"\b\d+ recorded bytes", "[size] recorded bytes"),
];

#[test]
fn every_part_prints_what_the_book_shows() {
    snapshots::check_lesson(env!("CARGO_BIN_EXE_lesson-0"), env!("CARGO_MANIFEST_DIR"), FILTERS);
}
