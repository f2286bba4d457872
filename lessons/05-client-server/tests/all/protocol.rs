//! The session that the protocol's page shows, byte for byte but for tokens and ids of the log.

use std::path::Path;

use careful_encryption::public_key::{Classical, KeyPair};
use mailbox::lab::stage::Stage;
use mailbox::lab::stranger;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{TestResult, quick};

/// A connection on which every message is written down.
struct Session<S> {
    stream: S,
    page: String,
}

impl<S: AsyncReadExt + AsyncWriteExt + Unpin> Session<S> {
    async fn ask(&mut self, request: &Value) -> Result<Value, Box<dyn std::error::Error>> {
        let text = request.to_string();
        self.stream.write_all(&u32::try_from(text.len())?.to_be_bytes()).await?;
        self.stream.write_all(text.as_bytes()).await?;
        self.stream.flush().await?;
        let length = self.stream.read_u32().await?;
        let mut answer = vec![0; usize::try_from(length)?];
        self.stream.read_exact(&mut answer).await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        self.page += &format!("client  {text}\nserver  {answer}\n\n");
        Ok(answer)
    }
}

fn bytes(hex: &Value) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let hex = hex.as_str().ok_or("a text")?;
    let pairs = (0..hex.len()).step_by(2);
    Ok(pairs.map(|at| u8::from_str_radix(&hex[at..at + 2], 16)).collect::<Result<_, _>>()?)
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

#[tokio::test]
async fn the_session_of_the_protocols_page() -> TestResult {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let vectors = std::fs::read_to_string(package.join("take-home/tests/vectors.json"))?;
    let vectors: Value = serde_json::from_str(&vectors)?;
    let letter = &vectors["letter"][0];
    let key_of = |private: &Value| -> Result<String, Box<dyn std::error::Error>> {
        Ok(base64(&KeyPair::<Classical>::from_bytes(&bytes(private)?)?.public().to_bytes()))
    };

    let stage = Stage::new(quick()).await?;
    let stream = stranger::connect(stage.address(), stage.ca.roots()).await?;
    let mut session = Session { stream, page: String::new() };
    session.ask(&json!({"do": "ping"})).await?;
    for (name, private) in [("alice", "sender_private"), ("bob", "recipient_private")] {
        let (password, key) = (format!("the password of {name}"), key_of(&letter[private])?);
        let request = json!({"do": "register", "name": name, "password": password, "key": key});
        session.ask(&request).await?;
    }
    let log_in =
        |name| json!({"do": "log_in", "name": name, "password": format!("the password of {name}")});
    let tokens = session.ask(&log_in("alice")).await?;
    session.ask(&json!({"do": "key", "token": tokens["access"], "name": "bob"})).await?;
    let sealed = base64(&bytes(&letter["sealed"])?);
    let send = json!({"do": "send", "token": tokens["access"], "to": "bob", "id": letter["id"], "sealed": sealed});
    session.ask(&send).await?;
    session.ask(&send).await?;
    let tokens = session.ask(&log_in("bob")).await?;
    let found = session.ask(&json!({"do": "fetch", "token": tokens["access"], "after": 0})).await?;
    assert_eq!(found["messages"][0]["sealed"], sealed, "the letter of the test vector");
    session.ask(&json!({"do": "delete", "token": tokens["access"], "numbers": [1]})).await?;
    session.ask(&json!({"do": "status", "token": tokens["access"]})).await?;

    let filters = [
        (r#""(access|token)":"[^"]+""#, r#""$1":"[token]""#),
        (r#""refresh":"[^"]+""#, r#""refresh":"[refresh token]""#),
        (r#""request":"[^"]+""#, r#""request":"[id]""#),
    ];
    snapshots::settings(env!("CARGO_MANIFEST_DIR"), &filters)
        .bind(|| insta::assert_snapshot!("session", session.page));
    Ok(())
}

/// What the page writes in hexadecimal digits.
#[test]
fn the_bytes_of_the_protocols_page() -> TestResult {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../book/src/protocol.md");
    let page = std::fs::read_to_string(page)?;
    let vectors = include_str!("../../take-home/tests/vectors.json");
    let vectors: Value = serde_json::from_str(vectors)?;
    let (letter, fingerprint) = (&vectors["letter"][0], &vectors["fingerprint"][0]);
    let digits: String = page.chars().filter(|digit| digit.is_ascii_hexdigit()).collect();
    for (what, value) in [
        ("the context", &letter["context"]),
        ("the text inside", &letter["inside"]),
        ("the sealed letter", &letter["sealed"]),
        ("Bob's private key", &letter["recipient_private"]),
        ("Alice's private key", &letter["sender_private"]),
        ("the fresh private key", &letter["ephemeral_private"]),
        ("Alice's public key", &fingerprint["public"]),
    ] {
        let value = value.as_str().ok_or("a text")?;
        let shown = digits.contains(value) || page.contains(value);
        assert!(shown, "{what} of vectors.json is not on the page: {value}");
    }
    let ping = b"{\"do\":\"ping\"}";
    let frame: String = [&13u32.to_be_bytes()[..], ping]
        .concat()
        .iter()
        .map(|byte| format!("{byte:02x} "))
        .collect();
    assert!(page.contains(frame.trim_end()), "the frame of a ping is not on the page: {frame}");
    assert!(page.contains(fingerprint["fingerprint"].as_str().ok_or("a text")?), "the fingerprint");
    Ok(())
}
