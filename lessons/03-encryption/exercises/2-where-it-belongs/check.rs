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
pub struct Place<'a> {
    /// Whose value it is. All clinics share one database and one key.
    pub clinic: &'a str,
    /// As in `patients`.
    pub table: &'a str,
    /// The row's key.
    pub row: &'a str,
    /// As in `diagnosis`.
    pub column: &'a str,
    /// From 1; one more with each change.
    pub version: u64,
}

/// What the learner writes.
pub type Contexts = fn(&Place) -> Context;

const HOME: Place<'static> =
    Place { clinic: "north", table: "patients", row: "17", column: "diagnosis", version: 3 };

/// Stores a value at one place, and loads it from another, as Mallory has it moved.
fn moved(context: Contexts, from: Place, to: Place) -> Option<String> {
    let sealer = Sealer::new(KeyId(*b"hospital"), &SecretKey::random());
    let stored = sealer.seal(&context(&from), b"a broken leg").ok()?;
    let loaded = sealer.open(&context(&to), &stored).ok()?;
    Some(format!("It opens there, and says \"{}\".", loaded.escape_ascii()))
}

/// What people put between two names. All of it may stand in a name.
fn separators() -> impl Iterator<Item = String> {
    let ascii = (b' '..=0x7f).chain(0..b' ').filter(|byte| !byte.is_ascii_alphanumeric());
    let longer = ["||", "::", "--", "__", ", ", "; ", "->", "\u{a7}"].map(str::to_owned);
    ascii.map(|byte| char::from(byte).to_string()).chain(longer)
}

/// Text moved from one name to another, for two that follow each other with this between them.
fn moved_across(context: Contexts, separator: &str) -> Option<String> {
    let (long, rest) = (format!("a{separator}b"), format!("b{separator}c"));
    let named = |at: usize, name, then: usize, next| {
        let mut names = ["north", "patients", "17", "diagnosis"];
        (names[at], names[then]) = (name, next);
        let [clinic, table, row, column] = names;
        Place { clinic, table, row, column, ..HOME }
    };
    (0..4)
        .flat_map(|at| (0..4).map(move |then| (at, then)))
        .filter(|(at, then)| at != then)
        .find_map(|(at, then)| {
            moved(context, named(at, &long, then, "c"), named(at, "a", then, &rest))
        })
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
    type Move = (&'static str, &'static str, Place<'static>, Place<'static>);
    let moves: [Move; 6] = [
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
    ];
    for (name, question, from, to) in moves {
        trial.attack(name, question, async move { moved(context, from, to) }).await;
    }
    trial
        .attack(
            "names with a separator in them",
            "Which characters may a name not have?",
            async move { separators().find_map(|separator| moved_across(context, &separator)) },
        )
        .await;
    trial
        .attack(
            "a version that looks the same when it is cut",
            "How large is a version?",
            async move {
                [8, 16, 32].into_iter().find_map(|bits| {
                    let later = HOME.version + (1 << bits);
                    moved(context, HOME, Place { version: later, ..HOME })
                })
            },
        )
        .await;
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
                "a version that looks the same when it is cut",
            ]
        );
    }

    #[test]
    fn each_separator_can_be_in_a_name() {
        fn joined(place: &Place) -> Context {
            let Place { clinic, table, row, column, version } = place;
            Context::new("value").with(format!("{version}|{row}|{column}|{clinic}|{table}"))
        }
        let failed = trial::failures(async |trial| check(trial, joined).await);
        assert_eq!(failed, ["names with a separator in them"]);
    }

    #[test]
    fn a_version_has_eight_bytes() {
        fn cut(place: &Place) -> Context {
            let four = (place.version as u32).to_be_bytes();
            Context::new("value")
                .with(place.clinic)
                .with(place.table)
                .with(place.row)
                .with(place.column)
                .with(four)
        }
        let failed = trial::failures(async |trial| check(trial, cut).await);
        assert_eq!(failed, ["a version that looks the same when it is cut"]);
    }

    #[test]
    fn the_stub_is_unfinished() {
        assert!(trial::is_unfinished(async |trial| check(trial, stub::context).await));
    }
}
