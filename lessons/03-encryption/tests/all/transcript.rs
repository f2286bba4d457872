//! Every part's output, locked.

use snapshots::Filter;

/// Fresh random bytes, under the label that says what they are.
const FILTERS: &[Filter] = &[
    (r"(?m)^(   nonce +)[0-9a-f]{24}$", "$1[12 bytes]"),
    (r"(?m)^(   ciphertext +)[0-9a-f]{28}$", "$1[14 bytes]"),
    (r"(?m)^(   tag +)[0-9a-f]{32}$", "$1[16 bytes]"),
];

#[test]
fn every_part_prints_what_the_book_shows() {
    snapshots::check_lesson(env!("CARGO_BIN_EXE_lesson-3"), env!("CARGO_MANIFEST_DIR"), FILTERS);
}
