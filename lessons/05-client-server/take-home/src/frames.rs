//! Frames on a stream: four bytes of length, big-endian, then so many bytes.
//!
//! The mistakes this prevents: a length from a stranger that is allocated before it is checked; a
//! read that a deadline cuts in the middle, so that the next one starts in the middle, too; a
//! client that sends a byte a minute.

use std::io;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

use crate::protocol::MAX_FRAME;

/// The least room for a read, in bytes: most requests fit.
const READ: usize = 1024;

/// How long a peer may take for a frame.
#[derive(Clone, Copy, Debug)]
pub struct FrameDeadlines {
    /// For the first byte of a frame.
    pub idle: Duration,
    /// From the first byte of a frame to its last.
    pub frame: Duration,
    /// To take a frame that is written.
    pub write: Duration,
}

/// Why there is no frame.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The connection failed, or ended in the middle of a frame.
    #[error("the connection failed")]
    Io(#[source] io::Error),
    /// Its length is over the limit.
    #[error("expected a frame of at most {MAX_FRAME} bytes")]
    TooLong,
    /// Nothing came.
    #[error("expected a frame within {0:?}, but none began")]
    Idle(Duration),
    /// It began, and did not end.
    #[error("expected a frame to end within {0:?}")]
    TooSlow(Duration),
    /// The peer does not read.
    #[error("expected the peer to read within {0:?}")]
    Unread(Duration),
    /// Not the JSON that was expected. What it holds is not told: it may be a secret.
    #[error("not the expected JSON: see column {0}")]
    Json(usize),
}

/// Frames of JSON on a stream.
#[derive(Debug)]
pub struct Frames<S> {
    stream: S,
    codec: LengthDelimitedCodec,
    /// What was read and is no whole frame yet. It stays here when a read is cancelled.
    read: BytesMut,
    /// When the frame began that is in `read`.
    began: Option<Instant>,
    deadlines: FrameDeadlines,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// Frames of at most [`MAX_FRAME`] bytes.
    pub fn new(stream: S, deadlines: FrameDeadlines) -> Self {
        let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME).new_codec();
        Self { stream, codec, read: BytesMut::new(), began: None, deadlines }
    }

    // ANCHOR: next
    /// The next frame; none if the peer has closed between two frames. Cancel safe: a frame that
    /// has come in part is not lost.
    ///
    /// # Errors
    /// See [`FrameError`]. The connection is of no use any more.
    pub async fn next(&mut self) -> Result<Option<BytesMut>, FrameError> {
        loop {
            // The length is checked here, before room is made for it.
            if let Some(frame) =
                self.codec.decode(&mut self.read).map_err(|_| FrameError::TooLong)?
            {
                // What is left is the beginning of the next one.
                self.began = (!self.read.is_empty()).then(Instant::now);
                return Ok(Some(frame));
            }
            let (deadline, late) = match self.began {
                Some(began) => {
                    let limit = self.deadlines.frame;
                    (began + limit, FrameError::TooSlow(limit))
                }
                None => {
                    let limit = self.deadlines.idle;
                    (Instant::now() + limit, FrameError::Idle(limit))
                }
            };
            self.read.reserve(READ);
            let read = timeout_at(deadline, self.stream.read_buf(&mut self.read)).await;
            match read.map_err(|_elapsed| late)?.map_err(FrameError::Io)? {
                0 if self.began.is_none() => return Ok(None),
                0 => return Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into())),
                _ => self.began = self.began.or_else(|| Some(Instant::now())),
            }
        }
    }
    // ANCHOR_END: next

    /// The next frame, as JSON.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let frame = self.next().await?;
        frame.map(|frame| parse(&frame)).transpose()
    }

    /// Writes a frame of JSON, and sends it.
    ///
    /// # Errors
    /// [`FrameError::Io`], [`FrameError::TooLong`], [`FrameError::Unread`]
    pub async fn send(&mut self, message: &impl Serialize) -> Result<(), FrameError> {
        let json = serde_json::to_vec(message).map_err(|_| FrameError::Json(0))?;
        let mut frame = BytesMut::new();
        self.codec.encode(json.as_slice(), &mut frame).map_err(|_| FrameError::TooLong)?;
        let writing = async {
            self.stream.write_all(&frame).await?;
            self.stream.flush().await
        };
        let limit = self.deadlines.write;
        match timeout(limit, writing).await {
            Ok(written) => written.map_err(FrameError::Io),
            Err(_elapsed) => Err(FrameError::Unread(limit)),
        }
    }

    /// Other deadlines, from the next frame on.
    pub fn set_deadlines(&mut self, deadlines: FrameDeadlines) {
        self.deadlines = deadlines;
    }

    /// The stream, to be closed.
    pub fn into_stream(self) -> S {
        self.stream
    }
}

/// A frame as JSON.
///
/// # Errors
/// [`FrameError::Json`]
pub fn parse<T: DeserializeOwned>(frame: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(frame).map_err(|error| FrameError::Json(error.column()))
}
