//! Every part's output, locked.

#[test]
fn every_part_prints_what_the_book_shows() {
    snapshots::check_lesson(env!("CARGO_BIN_EXE_lesson-1"), env!("CARGO_MANIFEST_DIR"), &[]);
}
