//! Every part's output, locked.

use snapshots::Filter;

const FILTERS: &[Filter] = &[
    // By how much the renewal comes later is chance.
    (r"the issuer is down; \d+ hours left", "the issuer is down; [hours] hours left"),
];

#[test]
fn every_part_prints_what_the_book_shows() {
    snapshots::check_lesson(env!("CARGO_BIN_EXE_lesson-6"), env!("CARGO_MANIFEST_DIR"), FILTERS);
}
