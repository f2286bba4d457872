//! Names that people could take for one another.
//!
//! The mistake this prevents: `a1ice` registers next to `alice`, and gets her letters because somebody did not
//! look closely. Names have a to z, digits and hyphens only, so no other alphabet can imitate them; these can.

use crate::protocol::Name;

/// What a name looks like: two names of one look are easily confused.
///
/// The pairs are those of the confusables of Unicode (UTS 39) that names here can have, and a few that
/// look alike in many typefaces.
pub(super) fn look(name: &Name) -> String {
    let mut look = name.as_str().replace('-', "");
    for (one, other) in [("rn", "m"), ("vv", "w"), ("cl", "d"), ("nn", "m")] {
        look = look.replace(one, other);
    }
    let alike = |c| match c {
        '0' => 'o',
        '1' | 'i' | 'j' => 'l',
        '2' => 'z',
        '5' => 's',
        '6' | '8' => 'b',
        '9' | 'q' => 'g',
        other => other,
    };
    look.chars().map(alike).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_have_one_look_and_others_do_not() {
        let look = |text: &str| look(&Name::new(text).expect("a name"));
        for (one, other) in [
            ("alice", "a1ice"),
            ("alice", "aiice"),
            ("bob", "b0b"),
            ("bob", "bo6"),
            ("carmen", "carrnen"),
            ("will", "vvill"),
            ("anna-b", "annab"),
        ] {
            assert_eq!(look(one), look(other), "{one}, {other}");
        }
        for (one, other) in [("alice", "alicia"), ("bob", "rob"), ("ann", "anna")] {
            assert_ne!(look(one), look(other), "{one}, {other}");
        }
    }
}
