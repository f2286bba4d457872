//! The answer that most people find first: change the name, as in the part `tamper`, and leave the rest. The bank refuses it,
//! and a checksum seems to be a defense. It was never meant as one. It finds what a bad cable does, which doesn't compute.

use exercises_0::checksum::Direction;

pub fn act(direction: Direction, line: &str) -> String {
    match direction {
        Direction::ToBank => line.replace("bob", "mallory"),
        Direction::ToClient => line.replace("mallory", "bob"),
    }
}
