//! A read that is cancelled in the middle of a frame: the careless reader loses the frame, and the take-home one doesn't.

use std::time::Duration;

use careful_mailbox::frames::{FrameDeadlines, Frames};
use mailbox::lab::careless;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

type TestResult = Result<(), Box<dyn std::error::Error>>;

const SHORT: Duration = Duration::from_millis(50);
/// A frame of 5 bytes, cut in the middle of its length.
const CUT: (&[u8], &[u8]) = (b"\0\0", b"\0\x05hello");

#[tokio::test]
async fn a_cancelled_read_loses_the_careless_readers_frame() -> TestResult {
    let (mut peer, mut stream) = tokio::io::duplex(64);
    peer.write_all(CUT.0).await?;
    assert!(timeout(SHORT, careless::next(&mut stream)).await.is_err(), "it is cancelled");
    peer.write_all(CUT.1).await?;
    drop(peer);
    let read = careless::next(&mut stream).await;
    assert!(read.is_err(), "it takes 0, 5, h and e for a length: {read:?}");
    Ok(())
}

#[tokio::test]
async fn a_cancelled_read_loses_nothing_of_the_take_home_readers_frame() -> TestResult {
    let (mut peer, stream) = tokio::io::duplex(64);
    let long = Duration::from_secs(10);
    let mut frames = Frames::new(stream, FrameDeadlines { idle: long, frame: long, write: long });
    peer.write_all(CUT.0).await?;
    assert!(timeout(SHORT, frames.next()).await.is_err(), "it is cancelled");
    peer.write_all(CUT.1).await?;
    let frame = frames.next().await?.ok_or("a frame")?;
    assert_eq!(&frame[..], b"hello");
    Ok(())
}
