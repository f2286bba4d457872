//! The numbers of the letters that came from one sender: what is missing, late or repeated.

use serde::{Deserialize, Serialize};

/// Gaps in the numbers of one sender that are remembered, so that late letters are told from
/// repeated ones.
const MAX_GAPS: usize = 32;

/// What came from one sender under one key.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Received {
    /// The largest number of a letter.
    seen: u64,
    /// Smaller numbers that have not come: from the first to the last of each gap.
    missing: Vec<(u64, u64)>,
}

/// How a letter's number stands to those before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    Next { missing: u64 },
    Late,
    Again,
}

impl Received {
    // ANCHOR: arrived
    pub(super) fn arrived(&mut self, number: u64) -> Arrived {
        if number > self.seen {
            let missing = number - self.seen - 1;
            if missing > 0 {
                self.missing.push((self.seen + 1, number - 1));
            }
            self.seen = number;
            self.forget_gaps();
            return Arrived::Next { missing };
        }
        let in_gap = |(first, last): &(u64, u64)| (*first..=*last).contains(&number);
        let Some(at) = self.missing.iter().position(in_gap) else {
            return Arrived::Again;
        };
        let (first, last) = self.missing[at];
        // No number is 0, and the last one of a gap is smaller than `seen`.
        let rest = [(first, number - 1), (number + 1, last)];
        self.missing.splice(at..=at, rest.into_iter().filter(|(from, to)| from <= to));
        self.forget_gaps();
        Arrived::Late
    }

    /// The oldest ones: what a sender or a server leaves out must not fill the file.
    fn forget_gaps(&mut self) {
        let old = self.missing.len().saturating_sub(MAX_GAPS);
        self.missing.drain(..old);
    }
    // ANCHOR_END: arrived
}
