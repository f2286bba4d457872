//! Store 1 answers before the order is on the disk. Store 2 loses order 1, which was safe, because the new name is there and
//! its content isn't. Store 3 has carried order 2 out, doesn't know it, and does it again. Store 4 keeps its promise.

use exercises_5::plug::Broken::{self, Doubled, Lost};

pub fn cut(store: u8) -> Option<(usize, Broken)> {
    match store {
        // Order 2 is answered, and only written.
        1 => Some((2, Lost(2))),
        // The file with the name `orders` is empty, because nobody has synced it.
        2 => Some((3, Lost(1))),
        // Order 2 is in the log and carried out, and `ids` doesn't know it.
        3 => Some((3, Doubled(2))),
        // Before the sync nothing is promised, and afterwards all is there.
        _ => None,
    }
}
