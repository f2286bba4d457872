//! Every part's output, locked.

#[test]
fn every_part_prints_what_the_book_shows() {
    shared::testing::snapshots::check_lesson(
        env!("CARGO_BIN_EXE_lesson-5"),
        env!("CARGO_MANIFEST_DIR"),
    );
}
