//! Reading a line from a stranger, with a limit on its length and a deadline for all of it.
//!
//! The mistake this prevents: tokio's `read_line` alone waits for as long as a peer stays silent, and
//! its buffer grows for as long as a peer sends no line feed.
#![warn(missing_docs)]

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// A limit that fits a protocol of short lines, in bytes, line feed included.
pub const LONGEST_LINE: usize = 256;
/// A deadline that fits a client that is a program.
pub const LINE_DEADLINE: Duration = Duration::from_secs(5);

/// Why there is no line.
#[derive(Debug, Error)]
pub enum LineError {
    /// The peer closed the connection in the middle of a line.
    #[error("the connection ended in the middle of a line, after {0} bytes")]
    Cut(usize),
    /// No line feed within so many bytes.
    #[error("expected a line of at most {0} bytes, got a longer one")]
    TooLong(usize),
    /// Not a whole line within the deadline.
    #[error("expected a line within {0:?}, got none")]
    TooSlow(Duration),
    /// The bytes are not UTF-8.
    #[error("expected text in UTF-8, got other bytes")]
    NotText,
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
}

// ANCHOR: read_line
/// Reads one line of at most `longest` bytes, line feed included, and returns it without the line feed.
/// Returns `None` if the peer closed the connection after a whole line.
///
/// The `deadline` covers the whole line, the silence before its first byte included, so a byte now
/// and then can't stretch it.
///
/// Not cancel safe: after an error the position in the stream is unknown, so end the connection.
///
/// # Errors
/// See [`LineError`].
pub async fn read_line<S>(
    stream: &mut S,
    longest: usize,
    deadline: Duration,
) -> Result<Option<String>, LineError>
where
    S: AsyncBufRead + Unpin,
{
    let mut line = Vec::new();
    if longest == 0 {
        return Err(LineError::TooLong(0));
    }
    let mut limited = stream.take(longest as u64);
    match tokio::time::timeout(deadline, limited.read_until(b'\n', &mut line)).await {
        Err(_elapsed) => return Err(LineError::TooSlow(deadline)),
        Ok(read) => read?,
    };
    match line.last() {
        None => Ok(None),
        Some(b'\n') => {
            line.pop();
            String::from_utf8(line).map(Some).map_err(|_| LineError::NotText)
        }
        Some(_) if line.len() == longest => Err(LineError::TooLong(longest)),
        Some(_) => Err(LineError::Cut(line.len())),
    }
}
// ANCHOR_END: read_line

#[cfg(test)]
mod tests {
    use super::*;

    async fn first_line(bytes: &[u8]) -> Result<Option<String>, LineError> {
        read_line(&mut tokio::io::BufReader::new(bytes), LONGEST_LINE, LINE_DEADLINE).await
    }

    #[tokio::test]
    async fn whole_lines_are_read_one_by_one() {
        let mut stream = tokio::io::BufReader::new(&b"one\n\ntwo\n"[..]);
        for expected in [Some("one"), Some(""), Some("two"), None] {
            assert_eq!(
                read_line(&mut stream, LONGEST_LINE, LINE_DEADLINE).await.expect("a line"),
                expected.map(str::to_owned)
            );
        }
    }

    #[tokio::test]
    async fn a_line_of_the_limit_is_read_and_one_byte_more_is_refused() {
        let longest = [vec![b'a'; 255], vec![b'\n']].concat();
        assert_eq!(first_line(&longest).await.expect("a line").map(|line| line.len()), Some(255));
        let longer = [vec![b'a'; 256], vec![b'\n']].concat();
        assert!(matches!(first_line(&longer).await, Err(LineError::TooLong(256))));
    }

    #[tokio::test]
    async fn an_end_in_the_middle_is_no_line() {
        assert!(matches!(first_line(b"PAY 25 b").await, Err(LineError::Cut(8))));
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_are_refused() {
        assert!(matches!(first_line(b"\xff\n").await, Err(LineError::NotText)));
    }

    #[tokio::test]
    async fn a_silent_peer_is_given_up() {
        let (_silent, stream) = tokio::io::duplex(16);
        let deadline = Duration::from_millis(20);
        let read = read_line(&mut tokio::io::BufReader::new(stream), LONGEST_LINE, deadline).await;
        assert!(matches!(read, Err(LineError::TooSlow(_))));
    }

    /// Each byte comes in time, and the line doesn't.
    #[tokio::test]
    async fn a_peer_that_drips_does_not_stretch_the_deadline() {
        use tokio::io::AsyncWriteExt;
        let (mut peer, stream) = tokio::io::duplex(16);
        let deadline = Duration::from_millis(100);
        let drip = async {
            while peer.write_all(b"a").await.is_ok() {
                tokio::time::sleep(deadline / 10).await;
            }
        };
        let mut stream = tokio::io::BufReader::new(stream);
        let read = tokio::select! {
            read = read_line(&mut stream, LONGEST_LINE, deadline) => read,
            () = drip => Ok(None),
        };
        assert!(matches!(read, Err(LineError::TooSlow(_))), "{read:?}");
    }
}
