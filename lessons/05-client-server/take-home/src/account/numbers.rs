//! The numbers of the letters that came from one sender: what is missing, late, repeated or used twice.
//!
//! The mistake this prevents: a repetition that is told by its number alone. A sender whose folder was restored from
//! a copy counts from an earlier number, and every new letter would be taken for an old one.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::protocol::MessageId;

/// Gaps in the numbers of one sender that are remembered, so that late letters are told from
/// repeated ones.
const MAX_GAPS: usize = 32;
/// Letters of one sender that are remembered by their ids: four times as many as a mailbox holds.
const MAX_IDS: usize = 4096;

/// What came from one sender under one key.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Received {
    /// The largest number of a letter.
    seen: u64,
    /// Smaller numbers that have not come: from the first to the last of each gap.
    missing: Vec<(u64, u64)>,
    /// The ids of the last letters. The seal proves an id as it proves the text.
    #[serde(default)]
    ids: VecDeque<MessageId>,
}

/// How a letter stands to those before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    Next {
        missing: u64,
    },
    Late,
    /// Another letter had the number, or one that is forgotten.
    Reused,
    Again,
}

impl Received {
    // ANCHOR: arrived
    pub(super) fn arrived(&mut self, number: u64, id: MessageId) -> Arrived {
        if self.ids.contains(&id) {
            return Arrived::Again;
        }
        self.ids.push_back(id);
        let old = self.ids.len().saturating_sub(MAX_IDS);
        self.ids.drain(..old);
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
            return Arrived::Reused;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> MessageId {
        MessageId(u128::from(number).to_be_bytes())
    }

    #[test]
    fn the_same_number_with_another_id_is_another_letter() {
        let mut received = Received::default();
        assert_eq!(received.arrived(1, id(1)), Arrived::Next { missing: 0 });
        assert_eq!(received.arrived(1, id(1)), Arrived::Again);
        assert_eq!(received.arrived(1, id(2)), Arrived::Reused);
        assert_eq!(received.arrived(1, id(2)), Arrived::Again, "once");
        assert_eq!(received.arrived(3, id(3)), Arrived::Next { missing: 1 });
        assert_eq!(received.arrived(2, id(4)), Arrived::Late);
        assert_eq!(received.arrived(2, id(5)), Arrived::Reused);
    }

    proptest::proptest! {
        /// As long as no gap is forgotten, it is as if all numbers were remembered one by one.
        #[test]
        fn whatever_comes_in_whatever_order_is_told_as_by_a_list_of_all(
            numbers in proptest::collection::vec(1_u64..40, 1..120),
        ) {
            let (mut received, mut known) = (Received::default(), std::collections::BTreeSet::new());
            for (at, number) in numbers.into_iter().enumerate() {
                let largest = known.last().copied().unwrap_or(0);
                let expected = match number {
                    number if number > largest => Arrived::Next { missing: number - largest - 1 },
                    number if known.contains(&number) => Arrived::Reused,
                    _ => Arrived::Late,
                };
                known.insert(number);
                proptest::prop_assert_eq!(received.arrived(number, id(1000 + at as u64)), expected);
                // No gap is empty, none overlaps another, and together they are what has not come.
                let awaited: Vec<u64> = received.missing.iter().flat_map(|&(from, to)| from..=to).collect();
                let mut sorted = awaited.clone();
                sorted.sort_unstable();
                let not_come: Vec<u64> = (1..received.seen).filter(|one| !known.contains(one)).collect();
                proptest::prop_assert_eq!(sorted, not_come);
                proptest::prop_assert!(received.missing.iter().all(|(from, to)| from <= to));
            }
        }
    }

    #[test]
    fn a_number_of_zero_and_the_largest_one_are_numbers() {
        let mut received = Received::default();
        assert_eq!(received.arrived(0, id(1)), Arrived::Reused);
        assert_eq!(received.arrived(u64::MAX, id(2)), Arrived::Next { missing: u64::MAX - 1 });
        assert_eq!(received.arrived(u64::MAX, id(3)), Arrived::Reused);
        assert_eq!(received.arrived(1, id(4)), Arrived::Late);
    }

    #[test]
    fn what_is_remembered_has_an_end_and_what_is_forgotten_is_shown() {
        let mut received = Received::default();
        let many = MAX_IDS as u64 + 10;
        for number in 1..=many {
            received.arrived(number, id(number));
        }
        assert_eq!(received.ids.len(), MAX_IDS);
        assert_eq!(received.arrived(many, id(many)), Arrived::Again);
        assert_eq!(received.arrived(1, id(1)), Arrived::Reused);
        for number in 1..=100 {
            received.arrived(many + number * 2, id(many + number * 2));
        }
        assert_eq!(received.missing.len(), MAX_GAPS);
    }
}
