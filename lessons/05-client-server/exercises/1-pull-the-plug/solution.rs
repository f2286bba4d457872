//! Store 1 answers what isn't on the disk. Store 2 loses order 1, which was safe: the new name is there, and its content
//! is not. Store 3 has carried order 2 out, doesn't know that it has, and does it again. Store 4 keeps its promise.

pub fn cut(store: u8) -> Option<usize> {
    match store {
        1 => Some(2),
        2 => Some(3),
        3 => Some(3),
        _ => None,
    }
}
