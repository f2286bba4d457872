//! Reading an answer with a limit on its size.
//!
//! The mistake this prevents: `response.bytes()`, `text()` and `json()` keep everything
//! that the server sends, however much that is. A `Content-Length` may be missing or a
//! lie, so what counts is what came.

use reqwest::Response;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why a body was not read.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The server announced or sent more.
    #[error("expected a body of at most {limit} bytes, got more")]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// The body ended early, stalled, or the connection failed.
    #[error("the body could not be read")]
    Read(#[source] reqwest::Error),
    /// Not the JSON that was expected.
    ///
    /// Without the parser's own text, which quotes what it found: it may be a secret.
    #[error("the body is not the expected JSON: see line {line}, column {column}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
}

// ANCHOR: read_body
/// The whole body, if it has at most `limit` bytes. On an error nothing more is read: over
/// HTTP/1.1 the connection is closed, over HTTP/2 the stream is reset.
///
/// # Errors
/// [`BodyError::TooLarge`], [`BodyError::Read`]. The URL is taken out of the latter: it may
/// hold a token.
pub async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let announced = response.content_length().unwrap_or(0);
    if announced > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| BodyError::Read(error.without_url()))?
    {
        if chunk.len() > limit - body.len() {
            return Err(BodyError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
// ANCHOR_END: read_body

/// The body as JSON, if it has at most `limit` bytes.
///
/// # Errors
/// Those of [`read_body`], and [`BodyError::Json`].
pub async fn read_json<T: DeserializeOwned>(
    response: Response,
    limit: usize,
) -> Result<T, BodyError> {
    serde_json::from_slice(&read_body(response, limit).await?)
        .map_err(|error| BodyError::Json { line: error.line(), column: error.column() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &'static str) -> Response {
        Response::from(http::Response::new(body))
    }

    #[tokio::test]
    async fn a_body_of_the_limit_is_read_and_one_byte_more_is_refused() {
        assert_eq!(read_body(answer("12345"), 5).await.expect("a body"), b"12345");
        let refused = read_body(answer("12345"), 4).await;
        assert!(matches!(refused, Err(BodyError::TooLarge { limit: 4 })), "{refused:?}");
    }

    #[tokio::test]
    async fn json_that_is_not_expected_is_told_by_its_place_and_not_quoted() {
        let refused = read_json::<u32>(answer("\"token-7f3a91\""), 100).await.expect_err("a text");
        assert!(matches!(refused, BodyError::Json { line: 1, .. }), "{refused:?}");
        assert!(!format!("{refused} {refused:?}").contains("7f3a91"));
    }
}
