//! The answer that most people find first: cut right before the answer, because that's the last moment at which something
//! can go wrong. But without an answer nothing was promised, and the client sends its order again. A cut breaks the promise only
//! after an answer, or when it destroys an older order.

use exercises_5::plug::Broken::{self, Lost};

pub fn cut(store: u8) -> Option<(usize, Broken)> {
    match store {
        1 => Some((1, Lost(2))),
        2 => Some((4, Lost(2))),
        3 => Some((5, Lost(2))),
        _ => Some((2, Lost(2))),
    }
}
