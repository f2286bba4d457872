//! The answer that most people find first: cut right before the answer, because that's the last moment at which something
//! can go wrong. But without an answer nothing was promised, and the client sends its order again. What breaks a promise is
//! either behind an answer, or it is about something older.

pub fn cut(store: u8) -> Option<usize> {
    match store {
        1 => Some(1),
        2 => Some(4),
        3 => Some(5),
        _ => Some(2),
    }
}
