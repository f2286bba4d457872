//! Four stores, each as the steps by which it takes an order. Order 1 was stored before, and answered.

use super::Step::{self, Answer, Carry, Rename, Sync, Write};

/// The steps for order 2. `log`, `ids`, `orders` and `new` are files.
pub fn steps(store: u8) -> &'static [Step] {
    match store {
        // Appends it to a log, and syncs at leisure.
        1 => &[Write("log", "order 2"), Answer(2), Sync("log")],
        // Rewrites the file with all orders, and puts the new one in the place of the old one.
        2 => &[
            Write("new", "order 1"),
            Write("new", "order 2"),
            Rename("new", "orders"),
            Sync("orders"),
            Answer(2),
        ],
        // Carries it out, then writes down its id, so that it is known if it comes again. After a start, the log is only read.
        3 => &[
            Write("log", "order 2"),
            Sync("log"),
            Carry(2),
            Write("ids", "order 2"),
            Sync("ids"),
            Answer(2),
        ],
        // One record is the order and its id. What is in the log is carried out from the log, once for each id.
        _ => &[Write("log", "order 2"), Sync("log"), Answer(2)],
    }
}

/// The files in which a store finds its orders when it starts again, and those in which it looks whether it knows one
/// that comes again.
pub fn files(store: u8) -> (&'static str, &'static str) {
    match store {
        1 => ("log", "log"),
        2 => ("orders", "orders"),
        3 => ("log", "ids"),
        _ => ("log", "log"),
    }
}
