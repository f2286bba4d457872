//! The relay changes the text and computes the checksum of the new text, because no secret goes into a checksum.

use exercises_0::checksum::{Direction, checksum};

pub fn act(direction: Direction, line: &str) -> String {
    let Some((text, _sum)) = line.rsplit_once('*') else { return line.to_owned() };
    let changed = match direction {
        Direction::ToBank => text
            .strip_prefix("PAY ")
            .and_then(|rest| rest.strip_suffix(" bob"))
            .map(|amount| format!("PAY {amount} mallory")),
        Direction::ToClient => {
            text.strip_suffix(" to mallory").map(|paid| format!("{paid} to bob"))
        }
    };
    match changed {
        Some(text) => format!("{text}*{}", checksum(&text)),
        None => line.to_owned(),
    }
}
