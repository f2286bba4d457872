//! Files that hold keys, certificates or state: read with checks, and replaced as a whole or not at
//! all.
//!
//! The mistakes this prevents:
//! - a key that every user of the machine can read, if only for the moment between its creation and
//!   a `chmod`;
//! - a read that never ends, because the path leads to a pipe or a device;
//! - half a file after a crash or a full disk, where a whole one was before.
//!
//! On Unix, the permission bits of a file are checked and set; which user owns it is not compared. On Windows they are not: there the rights of
//! the folder decide, so keep such files in a folder that only their owner may enter.

mod temporary;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
#[cfg(unix)]
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::temporary::Temporary;

/// Why a file cannot be read. The path isn't in it: anybody who knows what the file is for adds that.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be opened or read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// A folder, a pipe or a device: reading it might never end.
    #[error("expected a regular file, found something else")]
    NotAFile,
    /// It holds more bytes than the caller's limit.
    #[error("expected at most {limit} bytes, found more: is it the right file?")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// Others than the owner have a right to it.
    #[error(
        "expected that only the owner can read or write it, but its mode is {mode:03o}: run \
         `chmod 600` on it. If that changes nothing, its file system has no permissions (a Windows drive under WSL, \
         for example): keep it on another one"
    )]
    ReadableByOthers {
        /// The permission bits, printed in octal.
        mode: u32,
    },
}

impl FileError {
    /// Whether there is no such file, as opposed to one that cannot be used.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads a regular file of at most `limit` bytes.
///
/// The memory is wiped when the result is dropped, because the caller may not know yet whether the
/// file holds a secret.
///
/// # Errors
/// [`FileError::Read`], [`FileError::NotAFile`], [`FileError::TooLarge`]
pub fn read(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    read_open(open_regular(path)?, limit)
}

// ANCHOR: read_private
/// Reads a regular file of at most `limit` bytes to which only its owner has a right (on Unix).
///
/// # Errors
/// Those of [`read`], and [`FileError::ReadableByOthers`].
pub fn read_private(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let file = open_regular(path)?;
    // The rights of the open file, not of the path, which may lead elsewhere by now.
    owner_only(&file)?;
    read_open(file, limit)
}

fn open_regular(path: &Path) -> Result<File, FileError> {
    // Before it is opened, because opening a device can be enough to start something.
    if !std::fs::metadata(path).map_err(FileError::Read)?.is_file() {
        return Err(FileError::NotAFile);
    }
    let file = without_waiting().read(true).open(path).map_err(FileError::Read)?;
    // And after, because the path may have led elsewhere by then.
    match file.metadata().map_err(FileError::Read)?.is_file() {
        true => Ok(file),
        false => Err(FileError::NotAFile),
    }
}

/// Opening a pipe waits for somebody at its other end, but not with O_NONBLOCK (POSIX, `open`). For a
/// regular file it changes nothing.
fn without_waiting() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "there is no flag to set"))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    options
}

#[cfg(unix)]
fn owner_only(file: &File) -> Result<(), FileError> {
    let mode = file.metadata().map_err(FileError::Read)?.mode() & 0o777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(FileError::ReadableByOthers { mode }),
    }
}

#[cfg(not(unix))]
fn owner_only(_file: &File) -> Result<(), FileError> {
    Ok(())
}
// ANCHOR_END: read_private

/// What was read, or `None` if there is no such file.
///
/// # Errors
/// All others of `read`.
pub fn if_there<T>(read: Result<T, FileError>) -> Result<Option<T>, FileError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_open(file: File, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let length = file.metadata().map_err(FileError::Read)?.len();
    if length > limit {
        return Err(FileError::TooLarge { limit });
    }
    // Room for all of it, and one byte more, from the start: a buffer that grows leaves copies of a
    // key behind.
    let room = usize::try_from(length + 1).map_err(|_| FileError::TooLarge { limit })?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(length + 1).read_to_end(&mut bytes).map_err(FileError::Read)?;
    match bytes.len() as u64 > length {
        true => Err(FileError::Read(io::Error::other("it grew while it was read"))),
        false => Ok(bytes),
    }
}

/// Why a file was not replaced, or not for certain.
#[derive(Debug, Error)]
pub enum ReplaceError {
    /// The new file could not be written. The old one is as it was.
    #[error("it cannot be written, and was left as it was")]
    Write(#[source] io::Error),
    /// Something is there that isn't a regular file: a pipe, a device, a folder, a symbolic link. It is left as it is.
    #[error(
        "expected a regular file or none at that path, found something else, which was left as it was"
    )]
    NotAFile,
    /// The new file is in its place, but its folder could not be synced (Unix only). After a power
    /// loss the old file may be there. Some network and FUSE file systems can't sync a folder at all.
    #[error("it was written, but after a power loss the old one may be there instead")]
    NotSynced(#[source] io::Error),
}

/// Whether a folder that could not be synced is on a file system which can't do that at all: some of network
/// drives, of FUSE, and of Windows drives under WSL. A disk that fails gives other errors.
pub fn cannot_sync_folders(error: &io::Error) -> bool {
    // EINVAL, and ENOTSUP or ENOSYS.
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

impl ReplaceError {
    /// Whether the new file is in its place all the same: `Ok(false)` if only its folder was not synced, and
    /// the error if the old file is there. For a caller that goes on, and says what it doesn't know.
    ///
    /// # Errors
    /// [`ReplaceError::Write`]
    pub fn in_place(replaced: Result<(), Self>) -> Result<bool, Self> {
        match replaced {
            Ok(()) => Ok(true),
            Err(Self::NotSynced(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

// ANCHOR: replace
/// Replaces a file, or makes it: `write` fills a temporary file next to it, which is synced to the
/// disk and then takes its place. Readers see the old file or the new one, never a part.
///
/// After an error or a panic the temporary file is gone. If the process is killed or the power fails, on Linux it has no name
/// until it is whole, so it is gone with the process; where the file system can't do that, and on other systems, it stays as
/// `.NAME.0.new` (or 1 to 7) until that file is replaced the next time. What is gone isn't wiped: its bytes stay on
/// the disk until something else is written there.
///
/// On Unix the new file has mode 600 from the start. What isn't a regular file is neither replaced nor followed. (That
/// is looked at before and after `write`. Somebody else who can write to the folder could still change it in between, so
/// keep such files in a folder of their owner's.)
///
/// # Errors
/// Those of `write`, and [`ReplaceError`]. After any error but [`ReplaceError::NotSynced`] the old
/// file is as it was, and the temporary one is gone.
pub fn replace_with<E: From<ReplaceError>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    may_be_replaced(path)?;
    let mut temporary = Temporary::next_to(path).map_err(ReplaceError::Write)?;
    write(temporary.file())?;
    temporary.file().sync_all().map_err(ReplaceError::Write)?;
    may_be_replaced(path)?;
    temporary.replace(path).map_err(ReplaceError::Write)?;
    // The bytes are on the disk. That they have this name is when the folder is, too.
    Ok(sync_folder_of(path).map_err(ReplaceError::NotSynced)?)
}
// ANCHOR_END: replace

fn may_be_replaced(path: &Path) -> Result<(), ReplaceError> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_file() => Ok(()),
        Ok(_something_else) => Err(ReplaceError::NotAFile),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(ReplaceError::Write(error)),
    }
}

/// [`replace_with`] these bytes.
///
/// # Errors
/// See [`ReplaceError`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), ReplaceError> {
    replace_with(path, |file| file.write_all(bytes).map_err(ReplaceError::Write))
}

/// Makes a file that wasn't there, for its owner alone (on Unix).
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if there is one: its rights may be wider. Or it cannot be made.
pub fn create_private(path: &Path) -> io::Result<File> {
    owner_only_options().write(true).create_new(true).open(path)
}

/// Opens a file for reading and writing, and makes it for its owner alone if it isn't there. What it
/// holds is kept.
///
/// # Errors
/// It cannot be opened or made; or, with a [`FileError`] inside, it is no regular file, or others than
/// its owner have a right to it (on Unix).
pub fn open_or_create_private(path: &Path) -> io::Result<File> {
    let mut options = owner_only_options();
    let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
    let checked = match file.metadata()?.is_file() {
        true => owner_only(&file),
        false => Err(FileError::NotAFile),
    };
    checked.map(|()| file).map_err(|error| io::Error::new(io::ErrorKind::PermissionDenied, error))
}

fn owner_only_options() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "there is no mode to set"))]
    let mut options = without_waiting();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a folder, and those above it, which only their owner may enter (on Unix). A folder that is there
/// keeps its rights.
///
/// # Errors
/// It cannot be made, or is there and others than its owner can write to it (on Unix): they could put a file
/// of theirs where yours is looked for.
pub fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    #[cfg(unix)]
    {
        let mode = std::fs::metadata(path)?.mode() & 0o777;
        if mode & 0o022 != 0 {
            let text = format!(
                "expected that only the owner can write to the folder, but its mode is {mode:03o}: run \
                 `chmod 700` on it. If that changes nothing, its file system has no permissions (a Windows drive \
                 under WSL, for example): use a folder on another one"
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
    }
    Ok(())
}

/// Syncs a file's folder, so that the file's name survives a power loss, too. Windows has no such
/// call, so there it does nothing.
///
/// # Errors
/// The folder cannot be opened or synced.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder_of(path))?.sync_all() } else { Ok(()) }
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_read_again() -> TestResult {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("key");
        replace(&path, b"old")?;
        replace(&path, b"new")?;
        assert_eq!(read_private(&path, 3)?.as_slice(), b"new");
        assert_eq!(std::fs::read_dir(folder.path())?.count(), 1, "no temporary file is left");
        Ok(())
    }

    #[test]
    fn a_failed_replacement_leaves_the_old_file_and_no_other() -> TestResult {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("state");
        replace(&path, b"old")?;
        let failed = replace_with(&path, |file| {
            file.write_all(b"half of the new o").map_err(ReplaceError::Write)?;
            Err(ReplaceError::Write(io::ErrorKind::StorageFull.into()))
        });
        assert!(matches!(failed, Err(ReplaceError::Write(_))));
        assert_eq!(read(&path, 100)?.as_slice(), b"old");
        assert_eq!(std::fs::read_dir(folder.path())?.count(), 1, "no temporary file is left");
        Ok(())
    }

    #[test]
    fn a_file_that_is_in_place_is_told_from_one_that_is_not() {
        let error = || io::Error::from(io::ErrorKind::InvalidInput);
        assert!(matches!(ReplaceError::in_place(Ok(())), Ok(true)));
        let not_synced = ReplaceError::in_place(Err(ReplaceError::NotSynced(error())));
        assert!(matches!(not_synced, Ok(false)));
        assert!(ReplaceError::in_place(Err(ReplaceError::Write(error()))).is_err());
        assert!(cannot_sync_folders(&error()));
        assert!(!cannot_sync_folders(&io::ErrorKind::StorageFull.into()));
    }

    #[test]
    fn a_file_of_the_limit_is_read_and_one_byte_more_is_refused() -> TestResult {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("file");
        replace(&path, &[7; 100])?;
        assert_eq!(read(&path, 100)?.len(), 100);
        assert!(matches!(read(&path, 99), Err(FileError::TooLarge { limit: 99 })));
        Ok(())
    }

    /// Its length is 0 and it has content: what is read must not be half of it.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_is_longer_than_it_says_is_refused() {
        let refused = read(Path::new("/proc/self/stat"), 100_000);
        assert!(matches!(refused, Err(FileError::Read(_))), "{refused:?}");
    }

    #[test]
    fn a_missing_file_is_told_from_one_that_cannot_be_used() -> TestResult {
        let folder = tempfile::tempdir()?;
        assert!(if_there(read(&folder.path().join("none"), 10))?.is_none());
        let not_a_file = if_there(read(folder.path(), 10));
        assert!(matches!(not_a_file, Err(FileError::NotAFile)));
        Ok(())
    }

    #[test]
    fn a_new_private_file_does_not_take_the_place_of_an_old_one() -> TestResult {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("key");
        create_private(&path)?.write_all(b"the only copy")?;
        let again = create_private(&path).expect_err("it is there");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        open_or_create_private(&path)?;
        assert_eq!(read_private(&path, 100)?.as_slice(), b"the only copy");
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn every_right_of_others_is_refused_and_none_is_given() -> TestResult {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir()?;
        let private = folder.path().join("folder");
        create_folder(&private)?;
        assert_eq!(std::fs::metadata(&private)?.permissions().mode() & 0o777, 0o700);
        create_folder(&private)?;
        let path = private.join("key");
        for make in [create_private, open_or_create_private] {
            make(&path)?;
            assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
            std::fs::remove_file(&path)?;
        }
        replace(&path, b"key")?;
        assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
        for wrong in [0o604, 0o602, 0o601, 0o640, 0o620, 0o610, 0o660, 0o644] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(wrong))?;
            let refused = read_private(&path, 100);
            assert!(
                matches!(refused, Err(FileError::ReadableByOthers { mode }) if mode == wrong),
                "{wrong:o}"
            );
            assert!(read(&path, 100).is_ok(), "{wrong:o}: not every file is private");
            let refused = open_or_create_private(&path).expect_err("others have a right to it");
            assert!(refused.to_string().contains("chmod 600"), "{wrong:o}: {refused}");
        }
        assert_eq!(std::fs::read(&path)?, b"key", "it is left as it is");
        for (mode, fine) in [(0o755, true), (0o777, false), (0o720, false), (0o702, false)] {
            std::fs::set_permissions(&private, PermissionsExt::from_mode(mode))?;
            assert_eq!(create_folder(&private).is_ok(), fine, "{mode:o}");
        }
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_and_a_device_are_refused_before_they_are_opened() -> TestResult {
        let folder = tempfile::tempdir()?;
        let pipe = folder.path().join("pipe");
        // Opened for reading, it would wait until somebody writes.
        let made = std::process::Command::new("mkfifo").arg(&pipe).status()?;
        assert!(made.success());
        for path in [&pipe, Path::new("/dev/zero"), folder.path()] {
            assert!(matches!(read_private(path, 100), Err(FileError::NotAFile)));
        }
        assert!(open_or_create_private(&pipe).is_err());
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_becomes_a_pipe_while_it_is_read_is_not_waited_for() -> TestResult {
        use std::sync::atomic::{AtomicBool, Ordering};
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), b"text")?;
        let made = std::process::Command::new("mkfifo").arg(at("pipe")).status()?;
        assert!(made.success());
        std::fs::hard_link(at("file"), at("path"))?;
        let done = std::sync::Arc::new(AtomicBool::new(false));
        let (told, seen) = (done.clone(), done.clone());
        let (path, pipe, file) = (at("path"), at("pipe"), at("file"));
        let swapping = std::thread::spawn(move || -> io::Result<()> {
            let next = path.with_extension("next");
            while !seen.load(Ordering::Relaxed) {
                for from in [&pipe, &file] {
                    std::fs::hard_link(from, &next)?;
                    std::fs::rename(&next, &path)?;
                    // Two names of one file: rename does nothing then.
                    let _ = std::fs::remove_file(&next);
                }
            }
            Ok(())
        });
        let path = at("path");
        let (tell, read_all) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let results: Vec<_> = (0..10_000).map(|_| read(&path, 100)).collect();
            let _ = tell.send(results);
        });
        let results = read_all.recv_timeout(std::time::Duration::from_secs(60));
        told.store(true, Ordering::Relaxed);
        swapping.join().expect("it does not panic")?;
        for result in results.expect("every read ends") {
            let fine = match &result {
                Ok(bytes) => bytes.as_slice() == b"text",
                Err(error) => matches!(error, FileError::NotAFile),
            };
            assert!(fine, "{result:?}");
        }
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_neither_replaced_nor_followed() -> TestResult {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        let make_pipe = |path: &Path| std::process::Command::new("mkfifo").arg(path).status();
        std::fs::write(at("target"), b"somebody's file")?;
        symlink(at("target"), at("link"))?;
        symlink(at("nowhere"), at("dangling"))?;
        assert!(make_pipe(&at("pipe"))?.success());
        std::fs::create_dir(at("folder"))?;
        let _socket = std::os::unix::net::UnixListener::bind(at("socket"))?;
        for name in ["link", "dangling", "pipe", "folder", "socket"] {
            let refused = replace(&at(name), b"ours");
            assert!(matches!(refused, Err(ReplaceError::NotAFile)), "{name}: {refused:?}");
        }
        // Nor one that comes while the new file is written.
        let refused = replace_with(&at("late"), |file| {
            file.write_all(b"ours").map_err(ReplaceError::Write)?;
            make_pipe(&at("late")).map(drop).map_err(ReplaceError::Write)
        });
        assert!(matches!(refused, Err(ReplaceError::NotAFile)), "{refused:?}");
        assert_eq!(std::fs::read(at("target"))?, b"somebody's file");
        assert!(!at("nowhere").exists());
        for name in ["link", "dangling"] {
            assert!(std::fs::symlink_metadata(at(name))?.is_symlink());
        }
        for name in ["pipe", "late"] {
            assert!(std::fs::symlink_metadata(at(name))?.file_type().is_fifo());
        }
        assert_eq!(std::fs::read_dir(folder.path())?.count(), 7, "no temporary file is left");
        Ok(())
    }
}
