//! Exercise 5.1: write `cut`.

/// After which step of this store (1 to 4) the power goes off, so that its promise is broken; none if it keeps it
/// wherever you cut.
pub fn cut(store: u8) -> Option<usize> {
    todo!()
}
