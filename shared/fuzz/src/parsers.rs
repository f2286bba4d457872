//! What a fuzzer feeds: the parsers of everything that comes from strangers. Each must return, whatever
//! the bytes; none may panic, or take much memory.
//!
//! Each function has a cargo-fuzz target. Lesson 5's tests run all of them over the corpus.

use std::sync::LazyLock;
use std::time::Duration;

use careful_encryption::context::Context;
use careful_encryption::keyring::KeyRing;
use careful_encryption::password::{self, Cost};
use careful_encryption::public_key::{KeyPair, PostQuantum};
use careful_encryption::sealing::{KeyId, SecretKey};
use careful_encryption::stream;

use careful_mailbox::frames::{FrameDeadlines, Frames, parse};
use careful_mailbox::protocol::{Request, Response};

/// A stream of frames, until it ends or is refused. How many frames were found.
pub fn frames(bytes: &[u8]) -> usize {
    let second = Duration::from_secs(1);
    let deadlines = FrameDeadlines { idle: second, frame: second, write: second };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { return 0 };
    runtime.block_on(async {
        let mut frames = Frames::new(std::io::Cursor::new(bytes.to_vec()), deadlines);
        let mut count = 0;
        while let Ok(Some(_frame)) = frames.next().await {
            count += 1;
        }
        count
    })
}

/// A request or an answer. What is read is written and read again as the same.
///
/// # Panics
/// When it is not.
pub fn messages(bytes: &[u8]) {
    if let Ok(request) = parse::<Request>(bytes) {
        let json = serde_json::to_vec(&request).unwrap_or_default();
        assert_eq!(parse::<Request>(&json).ok(), Some(request));
    }
    if let Ok(response) = parse::<Response>(bytes) {
        let json = serde_json::to_vec(&response).unwrap_or_default();
        assert_eq!(parse::<Response>(&json).ok(), Some(response));
    }
}

/// Lesson 3's formats: messages, envelopes, boxes, streams, messages under a password. All of them
/// are refused: nobody here has sealed them.
///
/// # Panics
/// When one is accepted.
pub fn formats(bytes: &[u8]) {
    struct Keys {
        ring: KeyRing,
        pair: KeyPair,
        hybrid: KeyPair<PostQuantum>,
    }
    static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
        ring: KeyRing::new(KeyId(*b"key-2026"), &SecretKey::random()),
        pair: KeyPair::random(),
        hybrid: KeyPair::random(),
    });
    let Keys { ring, pair, hybrid } = &*KEYS;
    let context = Context::new("fuzz");
    assert!(ring.open(&context, bytes).is_err());
    assert!(ring.open_envelope(&context, bytes).is_err());
    assert!(pair.open(&context, bytes).is_err());
    assert!(hybrid.open(&context, bytes).is_err());
    let mut input = bytes;
    assert!(stream::open(ring, &context, &mut input, &mut std::io::sink()).is_err());
    // A cost that a fuzzer can afford: nothing above it is computed.
    let least = Cost { memory: 64, passes: 1, lanes: 1 };
    assert!(password::open(b"password", least, &context, bytes).is_err());
}
