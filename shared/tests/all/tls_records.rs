//! Malformed, half-sent and random bytes in place of TLS records.

use proptest::prelude::*;
use shared::tls_records::{Content, record_length, view};

fn contents(bytes: &[u8]) -> Vec<Content> {
    view(bytes, &[]).to_server.into_iter().map(|record| record.content).collect()
}

#[test]
fn a_half_sent_header_is_incomplete() {
    assert_eq!(contents(&[22, 3, 1]), [Content::Incomplete(3)]);
}

#[test]
fn a_half_sent_record_is_incomplete() {
    assert_eq!(contents(&[22, 3, 1, 0, 100, 1, 0, 0]), [Content::Incomplete(8)]);
}

#[test]
fn plain_http_is_malformed_and_shown() {
    let Content::Malformed(why) = &contents(b"GET / HTTP/1.1\r\n")[0] else {
        panic!("expected malformed")
    };
    assert_eq!(why, "expected a TLS record header, got \"GET /\"");
}

#[test]
fn an_empty_and_an_oversized_fragment_are_told_apart() {
    assert_eq!(record_length(&[23, 3, 3, 0, 0]), Some(5));
    assert_eq!(record_length(&[23, 3, 3, 0xff, 0xff]), None);
}

#[test]
fn a_client_hello_of_garbage_is_malformed() {
    assert!(matches!(contents(&[22, 3, 1, 0, 6, 1, 0, 0, 2, 9, 9])[..], [Content::Malformed(_)]));
}

#[test]
fn a_message_over_two_records_is_read_when_it_is_whole() {
    // ServerHelloDone (type 14, no body), cut in the middle.
    let contents = contents(&[22, 3, 3, 0, 2, 14, 0, 22, 3, 3, 0, 2, 0, 0]);
    let [Content::Handshake(first), Content::Handshake(second)] = &contents[..] else {
        panic!("{contents:?}")
    };
    assert!(first.is_empty());
    assert_eq!(second[0].name, "ServerHelloDone");
}

#[test]
fn an_empty_handshake_record_is_malformed() {
    assert!(matches!(contents(&[22, 3, 3, 0, 0])[..], [Content::Malformed(_)]));
}

#[test]
fn what_follows_a_malformed_message_is_read() {
    let records = [[22, 3, 3, 0, 4, 99, 0, 0, 0], [22, 3, 3, 0, 4, 14, 0, 0, 0]].concat();
    let contents = contents(&records);
    let [Content::Malformed(_), Content::Handshake(messages)] = &contents[..] else {
        panic!("{contents:?}")
    };
    assert_eq!(messages[0].name, "ServerHelloDone");
}

#[test]
fn an_alert_is_named() {
    assert_eq!(contents(&[21, 3, 3, 0, 2, 2, 48]), [Content::Alert("UnknownCa".to_owned())]);
    assert!(matches!(contents(&[21, 3, 3, 0, 1, 2])[..], [Content::Malformed(_)]));
}

/// The server asks for another key share, and the client ends the handshake with an alert in the clear.
#[test]
fn what_follows_a_hello_retry_request_is_in_the_clear() {
    // SHA-256 of "HelloRetryRequest" (RFC 8446 section 4.1.3).
    const RETRY: [u8; 32] = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8,
        0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8,
        0x33, 0x9c,
    ];
    // supported_versions: TLS 1.3; key_share: X25519.
    let extensions = [0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 29];
    let body = [&[3, 3][..], &RETRY, &[0, 0x13, 0x02, 0, 0, 12], &extensions].concat();
    let hello = [&[2, 0, 0, body.len() as u8][..], &body].concat();
    let change = [20, 3, 3, 0, 1, 1];
    let server = [&[22, 3, 3, 0, hello.len() as u8][..], &hello, &change].concat();
    let client = [&change[..], &[21, 3, 3, 0, 2, 2, 47]].concat();
    let seen = view(&client, &server);
    let Content::Handshake(messages) = &seen.to_client[0].content else { panic!("{seen:?}") };
    assert_eq!(messages[0].name, "HelloRetryRequest");
    assert_eq!(seen.to_server[1].content, Content::Alert("IllegalParameter".to_owned()));
    assert!(seen.server_hello().is_none(), "there is none yet");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(up in prop::collection::vec(any::<u8>(), 0..600), down in prop::collection::vec(any::<u8>(), 0..600)) {
        let seen = view(&up, &down);
        for record in seen.to_server.iter().chain(&seen.to_client) {
            prop_assert!(!record.to_string().is_empty());
        }
    }

    #[test]
    fn no_handshake_record_makes_it_panic(kind in 0_u8..=25, body in prop::collection::vec(any::<u8>(), 0..300)) {
        let message = [&[kind, 0], &(body.len() as u16).to_be_bytes()[..], &body].concat();
        let record = [&[22, 3, 3], &(message.len() as u16).to_be_bytes()[..], &message].concat();
        prop_assert_eq!(view(&record, &record).to_client.len(), 1);
    }
}
