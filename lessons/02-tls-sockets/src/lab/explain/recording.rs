//! A recorded connection as text: its key log, and what each end sent, piece by piece, in hexadecimal digits.

use shared::Direction;
use shared::wiretap::{Chunk, Conversation};

use super::keys::{Secrets, bytes_of, digits};

/// As text, a line for each secret and each piece.
pub fn to_text(wire: &Conversation, secrets: &Secrets) -> String {
    let mut text =
        String::from("# A TLS connection with its secrets: whoever has this file can read it.\n");
    text.push_str(&secrets.key_log());
    let mut at = [0, 0];
    for chunk in &wire.order {
        let (side, name, bytes) = match chunk.direction {
            Direction::ToServer => (0, "client", &wire.to_server),
            Direction::ToClient => (1, "server", &wire.to_client),
        };
        let end = bytes.len().min(at[side] + chunk.length);
        // The end of a direction is a piece without bytes.
        if end > at[side] {
            text.push_str(&format!("{name} {}\n", digits(&bytes[at[side]..end])));
        }
        at[side] = end;
    }
    text
}

/// From text; the number of a line that is neither empty, a comment, a secret nor a piece is an error.
pub fn from_text(text: &str) -> Result<(Conversation, Secrets), usize> {
    let mut wire = Conversation::default();
    for (number, line) in (1..).zip(text.lines()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (direction, bytes) = match words[..] {
            [] => continue,
            [first, ..] if first.starts_with('#') => continue,
            ["client", hex] => (Direction::ToServer, bytes_of(hex).ok_or(number)?),
            ["server", hex] => (Direction::ToClient, bytes_of(hex).ok_or(number)?),
            [_label, random, secret]
                if bytes_of(random).is_some() && bytes_of(secret).is_some() =>
            {
                continue;
            }
            _ => return Err(number),
        };
        wire.order.push(Chunk { direction, length: bytes.len() });
        match direction {
            Direction::ToServer => wire.to_server.extend(bytes),
            Direction::ToClient => wire.to_client.extend(bytes),
        }
    }
    Ok((wire, Secrets::from_key_log(text)))
}
