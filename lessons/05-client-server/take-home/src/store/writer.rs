//! The one thread that writes: it takes what waits, commits it, and only then acknowledges it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use redb::Database;
use tokio::sync::{mpsc, oneshot};

use super::error::StoreError;
use super::limits::StoreLimits;
use super::open::begin;
use super::records::{Account, Generation, StoreClock};
use super::tables::{AccountChange, CLOCK, NewMessage, Tables};
use crate::protocol::Name;

/// Changes in one transaction.
const BATCH: usize = 256;

/// A change, and who waits for it.
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) answer: Answer,
}

/// The one who waits for a change is told here what it came to.
type Answer = oneshot::Sender<Result<Done, StoreError>>;

pub(super) enum Change {
    Register(Name, Account),
    Account(Name, AccountChange),
    Remove(Name, Generation),
    Put(NewMessage),
    Delete(Name, Vec<u64>),
    /// Nothing but what every batch does first: it forgets what has expired.
    Forget,
}

/// What a change came to.
#[derive(Clone, Copy)]
pub(super) enum Done {
    Registered,
    Changed,
    Removed,
    Stored { again: bool },
    Deleted(usize),
    Forgotten,
}

/// What the thread is told.
pub(super) enum Order {
    Do(Job),
    /// The last one.
    Close,
}

// ANCHOR: write_all
/// Writes until the store is closed. Nobody is told anything before the commit is on the disk.
pub(super) fn write_all(
    database: &Database,
    limits: StoreLimits,
    clock: &StoreClock,
    mut orders: mpsc::Receiver<Order>,
    commits: &AtomicU64,
) {
    while let Some((changes, answers)) = take_what_waits(&mut orders) {
        let outcomes = commit(database, limits, clock.now(), &changes);
        commits.fetch_add(u64::from(outcomes.is_ok()), Ordering::Relaxed);
        acknowledge(answers, outcomes);
    }
}
// ANCHOR_END: write_all

/// Waits for a change, and takes those that wait behind it, too. Returns `None` when the store is
/// closed and everything that it had accepted has been taken.
fn take_what_waits(orders: &mut mpsc::Receiver<Order>) -> Option<(Vec<Change>, Vec<Answer>)> {
    let (mut changes, mut answers) = (Vec::new(), Vec::new());
    let mut next = Some(orders.blocking_recv()?);
    while let Some(order) = next {
        match order {
            Order::Do(Job { change, answer }) => {
                changes.push(change);
                answers.push(answer);
            }
            // Nothing is accepted any more. What was accepted is still written.
            Order::Close => orders.close(),
        }
        next = if changes.len() < BATCH { orders.try_recv().ok() } else { None };
    }
    Some((changes, answers))
}

/// All changes in one transaction, and what each came to, in their order. After a fault there is
/// nothing of any of them: a transaction that is dropped without a commit leaves nothing. A panic of redb, which
/// some damaged pages bring about, is such a fault, too: the thread goes on.
fn commit(
    database: &Database,
    limits: StoreLimits,
    now: u64,
    changes: &[Change],
) -> Result<Vec<Result<Done, StoreError>>, StoreError> {
    let work = AssertUnwindSafe(|| carry_out(database, limits, now, changes));
    catch_unwind(work).unwrap_or(Err(StoreError::Broken))
}

fn carry_out(
    database: &Database,
    limits: StoreLimits,
    now: u64,
    changes: &[Change],
) -> Result<Vec<Result<Done, StoreError>>, StoreError> {
    let transaction = begin(database)?;
    let mut outcomes = Vec::with_capacity(changes.len());
    {
        let mut tables = Tables::open(&transaction)?;
        tables.meta.insert(CLOCK, now)?;
        tables.forget_expired(now)?;
        for change in changes {
            let outcome = match change {
                Change::Register(name, account) => {
                    tables.register(name, account, limits).map(|()| Done::Registered)
                }
                Change::Account(name, to) => tables.change(name, to).map(|()| Done::Changed),
                Change::Remove(name, is) => tables.remove(name, *is).map(|()| Done::Removed),
                Change::Put(message) => {
                    let stored = tables.put(message, limits, now);
                    stored.map(|again| Done::Stored { again })
                }
                Change::Delete(of, numbers) => tables.delete(of, numbers).map(Done::Deleted),
                Change::Forget => Ok(Done::Forgotten),
            };
            match outcome {
                Err(fault) if fault.is_a_fault() => return Err(fault),
                outcome => outcomes.push(outcome),
            }
        }
    }
    transaction.commit()?;
    Ok(outcomes)
}

/// Tells each client what its change came to; after a fault, that nothing was stored. A client may be
/// gone by now, and what is stored is stored.
fn acknowledge(answers: Vec<Answer>, outcomes: Result<Vec<Result<Done, StoreError>>, StoreError>) {
    match outcomes {
        Ok(outcomes) => answers.into_iter().zip(outcomes).for_each(|(answer, outcome)| {
            let _ = answer.send(outcome);
        }),
        Err(fault) => answers.into_iter().for_each(|answer| {
            let _ = answer.send(Err(fault.clone()));
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Bytes, MessageId};
    use crate::store::open::open;
    use crate::store::tables::COUNTS;

    /// Three letters in one batch, and the second mailbox is damaged: none of the three is stored, and each sender
    /// is told so.
    #[test]
    fn after_a_fault_nothing_of_the_batch_is_stored() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let limits = StoreLimits::default();
        let (database, _) = open(&folder.path().join("db"), limits)?;
        let name = |name: &str| Name::new(name).expect("a name");
        let people = ["alice", "bob", "carol"];
        let register = people.map(|who| {
            let (key, generation) = (Bytes(Vec::new()), Generation([1; 8]));
            Change::Register(name(who), Account { password: String::new(), key, generation })
        });
        assert!(commit(&database, limits, 0, &register)?.iter().all(Result::is_ok));
        let put = |to: &str, id: u8| {
            let (from, to) = (name("alice"), name(to));
            Change::Put(NewMessage { from, to, id: MessageId([id; 16]), sealed: vec![id] })
        };
        let transaction = begin(&database)?;
        transaction.open_table(COUNTS)?.insert("bob", &b"damaged"[..])?;
        transaction.commit()?;
        let batch = [put("alice", 1), put("bob", 2), put("carol", 3)];
        assert!(matches!(commit(&database, limits, 0, &batch), Err(StoreError::Broken)));
        // Stored now for the first time.
        for change in [put("alice", 1), put("carol", 3)] {
            let done = commit(&database, limits, 0, &[change])?;
            assert!(matches!(done[..], [Ok(Done::Stored { again: false })]));
        }
        Ok(())
    }
}
