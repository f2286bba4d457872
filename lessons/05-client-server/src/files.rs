//! Small files that only their owner may read, written whole or not at all.
//!
//! The mistakes this prevents: a key that everybody can read for the moment between its creation and a
//! `chmod`; half a file after a crash.

use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

/// The largest file that is read, in bytes.
pub const MAX_FILE: u64 = 4 * 1024 * 1024;

// ANCHOR: write
/// Writes a file in the place of the old one: into another file beside it, on to the disk, and renamed.
/// On Unix, its mode is 600 from the start.
///
/// # Errors
/// The folder is not there, or cannot be written to. Then the old file is as it was.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}
// ANCHOR_END: write

/// Reads a file; none if it is not there.
///
/// # Errors
/// It cannot be read, or is larger than [`MAX_FILE`].
pub fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_FILE {
        true => Err(io::Error::other(format!("expected at most {MAX_FILE} bytes"))),
        false => Ok(Some(bytes)),
    }
}

/// Makes a folder, and those above it; on Unix only its owner may enter it.
///
/// # Errors
/// It cannot be made.
pub fn folder(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
