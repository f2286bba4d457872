//! Exercise 5.1: write `cut`.

use exercises_5::plug::Broken;

/// For a store (1 to 4), the step after which a power cut breaks its promise, and how; none if it keeps its promise
/// wherever you cut.
pub fn cut(store: u8) -> Option<(usize, Broken)> {
    todo!()
}
