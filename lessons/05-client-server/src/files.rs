//! Small files that only their owner may read, written whole or not at all.
//!
//! The mistakes this prevents: a key that everybody can read for the moment between its creation
//! and a `chmod`; half a file after a crash.

use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

/// The largest file that is read, or written, in bytes.
pub const MAX_FILE: u64 = 64 * 1024 * 1024;

// ANCHOR: write
/// Writes a file in the place of the old one: into another file beside it, on to the disk, and
/// renamed. On Unix, its mode is 600 from the start.
///
/// # Errors
/// The folder is not there, or cannot be written to; or it is more than [`MAX_FILE`]. Then the old
/// file is as it was.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What could not be read again is not written.
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("expected at most {MAX_FILE} bytes")));
    }
    let folder = folder_of(path);
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder_of(path)
}
// ANCHOR_END: write

/// That there is such a file is on the disk, too. Windows has no such call.
///
/// # Errors
/// The folder cannot be opened.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    if cfg!(unix) { std::fs::File::open(folder_of(path))?.sync_all() } else { Ok(()) }
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Reads a file; none if it is not there.
///
/// # Errors
/// It cannot be read, or is larger than [`MAX_FILE`].
pub fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    open(path)?.map(read_open).transpose()
}

/// Reads a file that only its owner may read; none if it is not there.
///
/// # Errors
/// As [`read`]; and on Unix, when others have a right to it.
pub fn read_private(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let Some(file) = open(path)? else { return Ok(None) };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The rights of the open file, not of the path, which may lead elsewhere by now.
        let mode = file.metadata()?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(io::Error::other(format!(
                "expected that only the owner can read {}, but its mode is {mode:03o}: run \
                 chmod 600 on it",
                path.display()
            )));
        }
    }
    read_open(file).map(Some)
}

fn open(path: &Path) -> io::Result<Option<std::fs::File>> {
    match std::fs::File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_open(file: std::fs::File) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_FILE {
        true => Err(io::Error::other(format!("expected at most {MAX_FILE} bytes"))),
        false => Ok(bytes),
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
