//! What a fuzzer feeds to lesson 2's explanation of a TLS connection.

use shared::Direction;
use shared::wiretap::{Chunk, Conversation};
use tls_sockets::lab::explain::keys::Secrets;
use tls_sockets::lab::explain::{explain, html};

/// The secrets of the recorded connection that the corpus is made from.
const SECRETS: &str = include_str!("../../../lessons/02-tls-sockets/tests/fixtures/connection.txt");

/// Two bytes with the length of what the client sent, that, and what the server sent. How many messages were found.
///
/// # Panics
/// When a byte has no field.
pub fn connection(bytes: &[u8]) -> usize {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return 0 };
    let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
    let (to_server, to_client) = rest.split_at(length);
    // The client's hello comes first, and then the two take turns.
    let hello = to_server
        .get(3..5)
        .map_or(0, |length| 5 + usize::from(u16::from_be_bytes([length[0], length[1]])));
    let hello = hello.min(to_server.len());
    let order = vec![
        Chunk { direction: Direction::ToServer, length: hello },
        Chunk { direction: Direction::ToClient, length: to_client.len() },
        Chunk { direction: Direction::ToServer, length: to_server.len() - hello },
    ];
    let wire = Conversation { to_server: to_server.to_vec(), to_client: to_client.to_vec(), order };
    let explanation = explain(&wire, &Secrets::from_key_log(SECRETS));
    assert_eq!(explanation.explained(), bytes.len() - 2);
    assert!(!html::page(&explanation, "fuzzed").is_empty());
    explanation.messages.len()
}
