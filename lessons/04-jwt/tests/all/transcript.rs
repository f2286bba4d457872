//! Every part's output, locked.

use snapshots::Filter;

/// Tokens: a signature, an id, a public key in JSON.
const FILTERS: &[Filter] = &[
    (r"(?m)^(   signature +\d+ characters, )[A-Za-z0-9_-]{20}…$", "$1[20 characters]…"),
    (r#"("jti": ?")[A-Za-z0-9_-]{22}""#, "$1[22 characters]\""),
    (r#"("x":")[A-Za-z0-9_-]{43}""#, "$1[43 characters]\""),
];

#[test]
fn every_part_prints_what_the_book_shows() {
    snapshots::check_lesson(env!("CARGO_BIN_EXE_lesson-4"), env!("CARGO_MANIFEST_DIR"), FILTERS);
}
