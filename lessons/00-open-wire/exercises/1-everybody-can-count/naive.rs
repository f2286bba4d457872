//! The answer that most people find first changes the name, as in the part `tamper`, and leaves the rest. The bank refuses
//! the changed line, so the checksum looks like a defense. It isn't meant to be one. A checksum catches the damage of a bad
//! cable, and a cable can't compute a new checksum. Mallory can.

use exercises_0::checksum::Direction;

pub fn act(direction: Direction, line: &str) -> String {
    match direction {
        Direction::ToBank => line.replace("bob", "mallory"),
        Direction::ToClient => line.replace("mallory", "bob"),
    }
}
