//! A reader of frames that works in every demonstration.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

// ANCHOR: next
/// INSECURE: makes room for whatever length a stranger sends, and forgets what it has read when it is cancelled.
pub async fn next(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    let mut frame = vec![0; length as usize];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}
// ANCHOR_END: next
