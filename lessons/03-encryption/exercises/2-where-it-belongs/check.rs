//! A database in which Mallory moves sealed values.

use careful_encryption::context::Context;
use careful_encryption::sealing::{KeyId, Sealer, SecretKey};
use trial::Trial;

#[cfg(test)]
#[path = "naive.rs"]
mod naive;
#[cfg(test)]
#[path = "solution.rs"]
mod solution;
#[cfg(test)]
#[path = "stub.rs"]
mod stub;

/// Where a value stands.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Whose value it is. All clinics share one database and one key.
    pub clinic: &'static str,
    /// As in `patients`.
    pub table: &'static str,
    /// The row's key.
    pub row: &'static str,
    /// As in `diagnosis`.
    pub column: &'static str,
    /// From 1; one more with each change.
    pub version: u64,
}

/// What the learner writes.
pub type Contexts = fn(&Place) -> Context;

const HOME: Place =
    Place { clinic: "north", table: "patients", row: "17", column: "diagnosis", version: 3 };

/// Stores a value at one place, and loads it from another, as Mallory has it moved.
fn moved(context: Contexts, from: Place, to: Place) -> Option<String> {
    let sealer = Sealer::new(KeyId(*b"hospital"), &SecretKey::random());
    let stored = sealer.seal(&context(&from), b"a broken leg").ok()?;
    let loaded = sealer.open(&context(&to), &stored).ok()?;
    Some(format!("It opens there, and says \"{}\".", loaded.escape_ascii()))
}

/// The trial.
pub async fn check(trial: &mut Trial, context: Contexts) {
    trial
        .honest("a doctor loads what another doctor stored", async move {
            match moved(context, HOME, HOME) {
                Some(_) => Ok(()),
                None => Err("expected the value to open at its own place".to_owned()),
            }
        })
        .await;
    trial
        .honest("and a place that is named by empty texts works, too", async move {
            let empty = Place { clinic: "", table: "", row: "", column: "", version: 0 };
            moved(context, empty, empty).map(drop).ok_or("expected the value to open".to_owned())
        })
        .await;
    let moves: [(&'static str, &'static str, Place, Place); 7] = [
        (
            "a diagnosis, moved to another patient",
            "What tells one patient from the next?",
            HOME,
            Place { row: "18", ..HOME },
        ),
        (
            "a diagnosis, moved to the column that relatives may read",
            "What is the same in both columns of one row?",
            HOME,
            Place { column: "visits", ..HOME },
        ),
        (
            "a row of another table with the same key",
            "How many tables have a row 17?",
            HOME,
            Place { table: "staff", ..HOME },
        ),
        (
            "a value of another clinic with the same key",
            "Whose patient 17 is it?",
            HOME,
            Place { clinic: "south", ..HOME },
        ),
        (
            "last year's diagnosis, put back",
            "It was genuine, and at this place. What has changed since?",
            Place { version: 2, ..HOME },
            HOME,
        ),
        (
            "names that are the same when they are glued together",
            "Where does one part end, and the next begin?",
            Place { clinic: "north", table: "patients", ..HOME },
            Place { clinic: "northp", table: "atients", ..HOME },
        ),
        (
            "names with a separator in them",
            "Which characters may a name not have?",
            Place { table: "patients", row: "17/old", ..HOME },
            Place { table: "patients/17", row: "old", ..HOME },
        ),
    ];
    for (name, question, from, to) in moves {
        trial.attack(name, question, async move { moved(context, from, to) }).await;
    }
}

#[cfg(test)]
mod proof {
    use super::*;

    #[test]
    fn the_solution_fails_nothing() {
        assert_eq!(trial::failures(async |trial| check(trial, solution::context).await), [""; 0]);
    }

    #[test]
    fn the_naive_answer_stops_what_its_key_names_and_nothing_else() {
        let failed = trial::failures(async |trial| check(trial, naive::context).await);
        assert_eq!(
            failed,
            [
                "a diagnosis, moved to the column that relatives may read",
                "a value of another clinic with the same key",
                "last year's diagnosis, put back",
                "names with a separator in them",
            ]
        );
    }

    #[test]
    fn the_stub_is_unfinished() {
        assert!(trial::is_unfinished(async |trial| check(trial, stub::context).await));
    }
}
