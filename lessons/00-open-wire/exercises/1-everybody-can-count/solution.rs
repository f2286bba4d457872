//! The text is changed, and the sum with it: nothing secret goes into it.

use exercises_0::checksum::{Direction, checksum};

pub fn act(direction: Direction, line: &str) -> String {
    let Some((text, _sum)) = line.rsplit_once('*') else { return line.to_owned() };
    let changed = match direction {
        Direction::ToBank => text.strip_suffix(" bob").map(|pay| format!("{pay} mallory")),
        Direction::ToClient => {
            text.strip_suffix(" to mallory").map(|paid| format!("{paid} to bob"))
        }
    };
    match changed {
        Some(text) => format!("{text}*{}", checksum(&text)),
        None => line.to_owned(),
    }
}
