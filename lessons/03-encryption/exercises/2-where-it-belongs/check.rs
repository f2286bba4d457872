//! A database in which Mallory moves sealed values.

use std::collections::HashMap;

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

/// A place with these names, in the order of the fields.
fn named<'a>([clinic, table, row, column]: [&'a str; 4]) -> Place<'a> {
    Place { clinic, table, row, column, ..HOME }
}

/// What the learner's own code puts between two names, if that is text: between two that can be told apart.
fn between_names(context: Contexts) -> Vec<String> {
    const NAMES: [&str; 4] = ["<clinic 4711>", "<table 4712>", "<row 4713>", "<column 4714>"];
    let made = context(&named(NAMES));
    let bytes = made.as_bytes();
    let found = NAMES.map(|name| {
        let at = bytes.windows(name.len()).position(|part| part == name.as_bytes())?;
        Some((at, at + name.len()))
    });
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    found.sort_unstable();
    let gaps = found.windows(2).filter_map(|pair| bytes.get(pair[0].1..pair[1].0));
    gaps.filter_map(|gap| String::from_utf8(gap.to_vec()).ok()).collect()
}

/// Text moved from one name to another, for two that follow each other with this between them.
fn moved_across(context: Contexts, separator: &str) -> Option<String> {
    let (long, rest) = (format!("a{separator}b"), format!("b{separator}c"));
    pairs_of_names().find_map(|(at, then)| {
        let with = |name, next| {
            let mut names = ["north", "patients", "17", "diagnosis"];
            (names[at], names[then]) = (name, next);
            names
        };
        moved(context, named(with(&*long, "c")), named(with("a", &*rest)))
    })
}

fn pairs_of_names() -> impl Iterator<Item = (usize, usize)> {
    (0..4).flat_map(|at| (0..4).map(move |then| (at, then))).filter(|(at, then)| at != then)
}

/// Two different places that have one context, among many that are easily mistaken for each other.
fn same_context(context: Contexts) -> Option<String> {
    // Short ones, for what is glued, left out, trimmed, cut, sorted or read as a number; and lengths without an end.
    const NAMES: [&str; 26] = [
        "",
        "a",
        "b",
        "aa",
        "ab",
        "A",
        " a",
        "a ",
        "a\t",
        "1",
        "7",
        "11",
        "17",
        "71",
        "0",
        "01",
        "a1",
        "1a",
        "/",
        "a/",
        "/b",
        "//",
        "bbbbbbbbb1a",
        "11bbbbbbbbb",
        "a long name 1",
        "a long name 2",
    ];
    // Lengths in one byte, and in two.
    let wrap = |bytes: usize, t: usize| {
        let (long, short) = ("a".repeat(1 << (8 * bytes)), "x".repeat(t));
        let both = format!("{long}{short}");
        [[long, short], [String::new(), both]]
    };
    let mut seen = HashMap::new();
    let mut twice = |names: [&str; 4], version| {
        let place = Place { version, ..named(names) };
        let bytes = context(&place).as_bytes().to_vec();
        let short = |name: &str| name.chars().take(20).collect::<String>();
        let says = format!("{:?} with version {version}", names.map(short));
        match seen.insert(bytes, (names.map(str::to_owned), version, says.clone())) {
            Some((other, number, said))
                if (other != names, number != version) != (false, false) =>
            {
                Some(format!("The places {said} and {says} have one context."))
            }
            _ => None,
        }
    };
    for (at, then) in pairs_of_names().filter(|(at, then)| at < then) {
        for pair in NAMES.iter().flat_map(|one| NAMES.map(|other| (*one, other))) {
            let mut names = ["north", "patients", "17", "diagnosis"];
            (names[at], names[then]) = pair;
            if let Some(found) = twice(names, 3) {
                return Some(found);
            }
        }
    }
    let versions = (0..300).chain([1 << 53, (1 << 53) + 1, 1 << 63, u64::MAX - 1, u64::MAX]);
    for version in versions {
        for row in ["17", "1", "", "7", "71"] {
            if let Some(found) = twice(["north", "patients", row, "diagnosis"], version)
                .or_else(|| twice([row, "patients", "17", "diagnosis"], version))
                .or_else(|| twice(["north", row, "17", "diagnosis"], version))
                .or_else(|| twice(["north", "patients", "17", row], version))
            {
                return Some(found);
            }
        }
    }
    for (bytes, t) in [(1, usize::from(b'a')), (2, usize::from(b'a') * 257)] {
        for (at, then) in pairs_of_names() {
            for [one, other] in wrap(bytes, t) {
                let mut names = ["north", "patients", "17", "diagnosis"];
                (names[at], names[then]) = (&one, &other);
                if let Some(found) = twice(names, 3) {
                    return Some(found);
                }
            }
        }
    }
    None
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
            async move {
                let own = between_names(context).into_iter();
                own.chain(separators()).find_map(|separator| moved_across(context, &separator))
            },
        )
        .await;
    trial
        .attack(
            "two places that are easily mistaken for each other",
            "How could somebody read the two places back from your bytes?",
            async move { same_context(context) },
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
                "two places that are easily mistaken for each other",
                "a version that looks the same when it is cut",
            ]
        );
    }

    /// Each is one mistake, and looks right.
    #[test]
    fn what_only_looks_like_all_of_a_place_is_noticed() {
        let caught =
            |context: Contexts| trial::failures(async move |trial| check(trial, context).await);
        let mistaken = "two places that are easily mistaken for each other";
        let separator = "names with a separator in them";
        let wrong: [(&str, Contexts, &[&str]); 12] = [
            (
                "lower case",
                |p| {
                    let lower = [p.clinic, p.table, p.row, p.column].map(str::to_lowercase);
                    lower
                        .iter()
                        .fold(Context::new("v"), Context::with)
                        .with(p.version.to_be_bytes())
                },
                &[mistaken],
            ),
            (
                "trimmed",
                |p| {
                    let trimmed = [p.clinic, p.table, p.row, p.column].map(str::trim);
                    trimmed
                        .iter()
                        .fold(Context::new("v"), Context::with)
                        .with(p.version.to_be_bytes())
                },
                &[mistaken],
            ),
            (
                "sorted",
                |p| {
                    let mut sorted = [p.clinic, p.table, p.row, p.column];
                    sorted.sort_unstable();
                    sorted
                        .iter()
                        .fold(Context::new("v"), Context::with)
                        .with(p.version.to_be_bytes())
                },
                &[mistaken],
            ),
            (
                "empty ones left out",
                |p| {
                    let names = [p.clinic, p.table, p.row, p.column];
                    let named = names.iter().filter(|name| !name.is_empty());
                    named.fold(Context::new("v"), Context::with).with(p.version.to_be_bytes())
                },
                &[mistaken],
            ),
            (
                "row and column glued",
                |p| {
                    let glued = format!("{}{}", p.row, p.column);
                    Context::new("v")
                        .with(p.clinic)
                        .with(p.table)
                        .with(glued)
                        .with(p.version.to_be_bytes())
                },
                &[separator, mistaken],
            ),
            (
                "row and version glued",
                |p| {
                    let glued = format!("{}{}", p.row, p.version);
                    Context::new("v").with(p.clinic).with(p.table).with(p.column).with(glued)
                },
                &[mistaken],
            ),
            (
                "a rare separator",
                |p| {
                    let Place { clinic, table, row, column, version } = p;
                    Context::new("v")
                        .with(format!("{clinic}<|#|>{table}<|#|>{row}<|#|>{column}<|#|>{version}"))
                },
                &[separator],
            ),
            (
                "JSON by hand",
                |p| {
                    let Place { clinic, table, row, column, version } = p;
                    Context::new("v").with(format!(
                    r#"{{"clinic":"{clinic}","table":"{table}","row":"{row}","column":"{column}","version":{version}}}"#
                ))
                },
                &[separator],
            ),
            (
                "a length in one byte",
                |p| {
                    let mut bytes = p.version.to_be_bytes().to_vec();
                    for name in [p.clinic, p.table, p.row, p.column] {
                        bytes.push(name.len() as u8);
                        bytes.extend_from_slice(name.as_bytes());
                    }
                    Context::new("v").with(bytes)
                },
                &[mistaken],
            ),
            (
                "a length in two bytes",
                |p| {
                    let mut bytes = p.version.to_be_bytes().to_vec();
                    for name in [p.clinic, p.table, p.row, p.column] {
                        bytes.extend_from_slice(&(name.len() as u16).to_be_bytes());
                        bytes.extend_from_slice(name.as_bytes());
                    }
                    Context::new("v").with(bytes)
                },
                &[mistaken],
            ),
            (
                "lengths without an end",
                |p| {
                    let names = [p.clinic, p.table, p.row, p.column];
                    let text: String =
                        names.iter().map(|name| format!("{}{name}", name.len())).collect();
                    Context::new("v").with(text).with(p.version.to_be_bytes())
                },
                &[mistaken],
            ),
            (
                "a version that is a floating-point number",
                |p| {
                    let version = (p.version as f64).to_be_bytes();
                    Context::new("v")
                        .with(p.clinic)
                        .with(p.table)
                        .with(p.row)
                        .with(p.column)
                        .with(version)
                },
                &[mistaken],
            ),
        ];
        for (what, context, expected) in wrong {
            assert_eq!(caught(context), expected, "{what}");
        }
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
        assert_eq!(
            failed,
            [
                "two places that are easily mistaken for each other",
                "a version that looks the same when it is cut",
            ]
        );
    }

    #[test]
    fn the_stub_is_unfinished() {
        assert!(trial::is_unfinished(async |trial| check(trial, stub::context).await));
    }
}
