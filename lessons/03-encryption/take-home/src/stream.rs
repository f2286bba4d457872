//! Files larger than memory, in chunks that are each verified before they are released.
//!
//! The STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár, 2015; the aead-stream crate):
//! each chunk's nonce holds its number and whether it is the last. So a chunk that is changed,
//! moved, left out, or brought from another file does not open, and neither does a file without its
//! end.
//!
//! ```text
//! offset  length  what
//!      0       1  version: 1
//!      1       2  length n of the sealed key
//!      3       n  the file's own key, sealed by the key ring
//!    3+n       7  nonce, random
//!   10+n       …  chunks: 64 KiB of text and a tag of 16 bytes each; the last may be shorter, or empty
//! ```

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use aead_stream::{DecryptorBE32, EncryptorBE32};
use aes_gcm::aead::{Generate, KeyInit};
use aes_gcm::{Aes256Gcm, Key};
use careful_files::ReplaceError;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::context::{Context, Kind};
use crate::format::{FormatError, Reader};
use crate::keyring::KeyRing;
use crate::sealing::{OpenError, SealError, SecretKey};

/// Bytes of text in each chunk but the last.
pub const CHUNK: usize = 64 * 1024;

const VERSION: u8 = 1;
const TAG: usize = 16;
const NONCE: usize = 7;
/// A sealed key has 69 bytes; a longer one is no key.
const MAX_SEALED_KEY: usize = 128;

/// Why a stream was not sealed or opened.
#[derive(Debug, Error)]
pub enum StreamError {
    /// The source could not be read.
    #[error("the source cannot be read")]
    Read(#[source] io::Error),
    /// The target could not be written.
    #[error("the target cannot be written")]
    Write(#[source] io::Error),
    /// At the target's path is something else than a regular file. It is left as it is.
    #[error("the target is not a regular file, and was left as it was")]
    NotAFile,
    /// The target has taken its place, but its folder could not be opened or synced (on Unix, where
    /// that is tried): after a power loss the old target may stand there.
    #[error("the target is the new one, whole, but it may not survive a power loss")]
    NotSynced(#[source] io::Error),
    /// No key for it.
    #[error("the file's key cannot be sealed")]
    Seal(#[from] SealError),
    /// Its key does not open, or it does not have the format.
    #[error("the file's key cannot be opened")]
    Key(#[from] OpenError),
    /// A chunk is changed, moved, missing or from elsewhere. Which one is counted from 0.
    #[error("chunk {chunk} is not authentic, or not at its place")]
    NotAuthentic {
        /// Its number.
        chunk: u64,
    },
    /// More than 2^32 - 1 chunks: 256 TiB.
    #[error("the stream is too long")]
    TooLong,
}

// ANCHOR: seal
/// Seals everything that can be read from `source`. Uses two chunks of memory.
///
/// After `Ok` the target was flushed. Whether it is on the disk is its own affair: for a file, use [`seal_file`], which
/// syncs it.
///
/// # Errors
/// See [`StreamError`]. What was written until then is no stream: it has no end.
pub fn seal(
    ring: &KeyRing,
    context: &Context,
    source: &mut dyn Read,
    target: &mut dyn Write,
) -> Result<(), StreamError> {
    let key = SecretKey::random();
    let wrapped = ring.wrap(Kind::StreamKey, context, &key)?;
    let length = u16::try_from(wrapped.len()).map_err(|_| StreamError::TooLong)?;
    let nonce = <[u8; NONCE]>::generate();
    let header = [&[VERSION], &length.to_be_bytes()[..], &wrapped, &nonce].concat();
    target.write_all(&header).map_err(StreamError::Write)?;
    let bound = bound(&nonce);

    let cipher_key: &Key<Aes256Gcm> = key.expose().into();
    let mut sealing = EncryptorBE32::from_aead(Aes256Gcm::new(cipher_key), &nonce.into());
    let (mut chunk, mut next) = (chunk(), chunk());
    fill(source, &mut chunk, CHUNK)?;
    loop {
        // Whether a chunk is the last one is known when nothing follows it.
        fill(source, &mut next, CHUNK)?;
        if next.is_empty() {
            let sealed = sealing.encrypt_last_in_place(&bound, &mut *chunk);
            sealed.map_err(|_| StreamError::TooLong)?;
            return finish(target, &chunk);
        }
        let sealed = sealing.encrypt_next_in_place(&bound, &mut *chunk);
        sealed.map_err(|_| StreamError::TooLong)?;
        target.write_all(&chunk).map_err(StreamError::Write)?;
        std::mem::swap(&mut chunk, &mut next);
    }
}
// ANCHOR_END: seal

// ANCHOR: open
/// Opens a stream. Each chunk is written after it was verified, and **the text is whole
/// only when this returns `Ok`**, and was flushed then: for a file, use [`open_file`], which shows nothing before.
///
/// # Errors
/// See [`StreamError`].
pub fn open(
    ring: &KeyRing,
    context: &Context,
    source: &mut dyn Read,
    target: &mut dyn Write,
) -> Result<(), StreamError> {
    let (key, nonce) = read_header(ring, context, source)?;
    let bound = bound(&nonce);
    let cipher_key: &Key<Aes256Gcm> = key.expose().into();
    let mut opening = DecryptorBE32::from_aead(Aes256Gcm::new(cipher_key), &nonce.into());
    let (mut chunk, mut next) = (chunk(), chunk());
    fill(source, &mut chunk, CHUNK + TAG)?;
    for number in 0_u64.. {
        fill(source, &mut next, CHUNK + TAG)?;
        let refused = |_| StreamError::NotAuthentic { chunk: number };
        if next.is_empty() {
            opening.decrypt_last_in_place(&bound, &mut *chunk).map_err(refused)?;
            return finish(target, &chunk);
        }
        opening.decrypt_next_in_place(&bound, &mut *chunk).map_err(refused)?;
        target.write_all(&chunk).map_err(StreamError::Write)?;
        std::mem::swap(&mut chunk, &mut next);
    }
    Err(StreamError::TooLong)
}
// ANCHOR_END: open

// ANCHOR: rewrap
/// Seals the file's own key again, with the ring's current one, and copies the rest as it is:
/// so that the old key can be retired. Nothing but the key is verified.
///
/// # Errors
/// See [`StreamError`].
pub fn rewrap(
    ring: &KeyRing,
    context: &Context,
    source: &mut dyn Read,
    target: &mut dyn Write,
) -> Result<(), StreamError> {
    let (key, nonce) = read_header(ring, context, source)?;
    let wrapped = ring.wrap(Kind::StreamKey, context, &key)?;
    let length = u16::try_from(wrapped.len()).map_err(|_| StreamError::TooLong)?;
    let header = [&[VERSION], &length.to_be_bytes()[..], &wrapped, &nonce].concat();
    target.write_all(&header).map_err(StreamError::Write)?;
    let mut chunk = chunk();
    loop {
        fill(source, &mut chunk, CHUNK + TAG)?;
        if chunk.is_empty() {
            return finish(target, &[]);
        }
        target.write_all(&chunk).map_err(StreamError::Write)?;
    }
}
// ANCHOR_END: rewrap

/// [`rewrap`] for files. Source and target may be the same file.
///
/// # Errors
/// See [`StreamError`]. After [`StreamError::NotSynced`] the target is the new one; after any other
/// it is as it was before.
pub fn rewrap_file(
    ring: &KeyRing,
    context: &Context,
    source: &Path,
    target: &Path,
) -> Result<(), StreamError> {
    whole_file(source, target, |source, target| rewrap(ring, context, source, target))
}

/// Seals a file into another, which appears when it is complete and on the disk.
///
/// # Errors
/// See [`StreamError`]. After [`StreamError::NotSynced`] the target is the new one; after any other
/// it is as it was before.
pub fn seal_file(
    ring: &KeyRing,
    context: &Context,
    source: &Path,
    target: &Path,
) -> Result<(), StreamError> {
    whole_file(source, target, |source, target| seal(ring, context, source, target))
}

/// Opens a sealed file into another, which appears when every chunk was verified. What becomes of the text if the process
/// is killed on the way: see [`careful_files::replace_with`].
///
/// # Errors
/// See [`StreamError`]. After [`StreamError::NotSynced`] the target is the new one; after any other
/// it is as it was before.
pub fn open_file(
    ring: &KeyRing,
    context: &Context,
    source: &Path,
    target: &Path,
) -> Result<(), StreamError> {
    whole_file(source, target, |source, target| open(ring, context, source, target))
}

// ANCHOR: whole_file
/// Writes into a temporary file, which takes the target's place at the end: see
/// [`careful_files::replace_with`]. After an error or a panic it is gone. If the process is killed, it is gone, too, where files can be
/// without a name (on Linux, with most file systems). Elsewhere it stays with what was verified until then, and the next
/// run with the same target removes it.
fn whole_file(
    source: &Path,
    target: &Path,
    work: impl Fn(&mut BufReader<File>, &mut File) -> Result<(), StreamError>,
) -> Result<(), StreamError> {
    let source = File::open(source).map_err(StreamError::Read)?;
    careful_files::replace_with(target, |file| work(&mut BufReader::new(source), file))
}

impl From<ReplaceError> for StreamError {
    fn from(error: ReplaceError) -> Self {
        match error {
            ReplaceError::Write(error) => Self::Write(error),
            ReplaceError::NotAFile => Self::NotAFile,
            ReplaceError::NotSynced(error) => Self::NotSynced(error),
        }
    }
}
// ANCHOR_END: whole_file

/// What each chunk is bound to besides its place: the format and the file's nonce. Not the sealed
/// key, which may be sealed again; the key itself is the file's own.
fn bound(nonce: &[u8; NONCE]) -> [u8; 1 + NONCE] {
    let mut bound = [VERSION; 1 + NONCE];
    bound[1..].copy_from_slice(nonce);
    bound
}

fn read_header(
    ring: &KeyRing,
    context: &Context,
    source: &mut dyn Read,
) -> Result<(SecretKey, [u8; NONCE]), StreamError> {
    let mut header = Vec::new();
    let mut read_more = |length: usize| {
        (&mut *source).take(length as u64).read_to_end(&mut header).map_err(StreamError::Read)?;
        Ok::<_, StreamError>(header.clone())
    };
    let parse = |header: &[u8]| -> Result<usize, FormatError> {
        let mut reader = Reader::new(header);
        reader.byte(VERSION, "version 1")?;
        let length = u16::from_be_bytes(reader.array("the length of a sealed key, 2 bytes")?);
        match usize::from(length) {
            length if length <= MAX_SEALED_KEY => Ok(length),
            length => Err(FormatError {
                offset: 1,
                expected: "a sealed key of at most 128 bytes",
                got: format!("{length}"),
            }),
        }
    };
    let length = parse(&read_more(3)?).map_err(OpenError::from)?;
    let header = read_more(length + NONCE)?;
    let mut reader = Reader::new(&header[3..]);
    let at = |error: FormatError| OpenError::from(error.after(3));
    let wrapped = reader.slice(length, "a sealed key").map_err(at)?;
    let nonce = reader.array("a nonce of 7 bytes").map_err(at)?;
    let key = ring.unwrap(Kind::StreamKey, context, wrapped).map_err(|error| error.after(3))?;
    Ok((key, nonce))
}

/// The last bytes. A target with a buffer, as a `BufWriter` is, says only when it is flushed that the disk is full.
fn finish(target: &mut dyn Write, last: &[u8]) -> Result<(), StreamError> {
    target.write_all(last).and_then(|()| target.flush()).map_err(StreamError::Write)
}

fn chunk() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(CHUNK + TAG))
}

/// Reads until the chunk is full or the source ends.
fn fill(source: &mut dyn Read, chunk: &mut Vec<u8>, length: usize) -> Result<(), StreamError> {
    chunk.clear();
    source.take(length as u64).read_to_end(chunk).map_err(StreamError::Read)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::KeyId;

    #[test]
    fn each_stream_has_a_key_and_a_nonce_of_its_own() -> Result<(), StreamError> {
        let ring = KeyRing::new(KeyId::random(), &SecretKey::random());
        let context = Context::new("backup");
        let header = || {
            let mut sealed = Vec::new();
            seal(&ring, &context, &mut &b"text"[..], &mut sealed)?;
            read_header(&ring, &context, &mut sealed.as_slice())
        };
        let ((one_key, one_nonce), (other_key, other_nonce)) = (header()?, header()?);
        assert_ne!(one_key.expose(), other_key.expose());
        assert_ne!(one_nonce, other_nonce);
        Ok(())
    }
}
