//! A file that is written before it has its name.
//!
//! The mistake this prevents: what was written until a process was killed stays behind under a name that nobody knows.
//! On Linux the file has no name until it is whole, where the file system can do that, and the system frees it with the
//! process. Elsewhere it has one of a few names that are known, and the next replacement of that file removes it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// So many replacements of one file can go on at once.
const SLOTS: usize = 8;

/// Removed when it is dropped, unless it has taken the target's place.
pub(crate) struct Temporary {
    file: File,
    /// None as long as it has no name.
    path: Option<PathBuf>,
}

impl Temporary {
    /// Next to `target`, without a name if that can be.
    pub(crate) fn next_to(target: &Path) -> io::Result<Self> {
        sweep(target);
        match unnamed(target) {
            Some(file) => Ok(Self { file, path: None }),
            None => Self::named(target),
        }
    }

    /// Under the first name that is free.
    pub(crate) fn named(target: &Path) -> io::Result<Self> {
        for path in names(target) {
            match create(&path) {
                Ok(file) => match lock(&file) {
                    // Another process that sweeps was faster with the lock, and removes it.
                    Err(TryLockError::WouldBlock) => {}
                    // Also where the file system has no locks.
                    _ => return Ok(Self { file, path: Some(path) }),
                },
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(in_use())
    }

    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Takes the target's place.
    pub(crate) fn replace(mut self, target: &Path) -> io::Result<()> {
        let path = match self.path.take() {
            Some(path) => path,
            None => self.link(target)?,
        };
        // From here on it has a name again, until the system says that it has the target's.
        let path = self.path.insert(path);
        std::fs::rename(&*path, target)?;
        self.path = None;
        Ok(())
    }

    /// Gives it the first name that is free: a name can be given only if there is no such file, so it can't be the
    /// target's at once.
    #[cfg(target_os = "linux")]
    fn link(&self, target: &Path) -> io::Result<PathBuf> {
        use rustix::fs::{AtFlags, CWD, linkat};
        // So that nobody sweeps it. Where there are no locks, an hour passes before somebody does.
        let _ = lock(&self.file);
        for path in names(target) {
            match linkat(CWD, by_number(&self.file), CWD, &path, AtFlags::SYMLINK_FOLLOW) {
                Ok(()) => return Ok(path),
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(in_use())
    }

    #[cfg(not(target_os = "linux"))]
    fn link(&self, _target: &Path) -> io::Result<PathBuf> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // If that fails, the next replacement tries again.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn in_use() -> io::Error {
    let text = format!("{SLOTS} replacements of this file are going on already");
    io::Error::new(io::ErrorKind::ResourceBusy, text)
}

/// `.NAME.0.new` and so on, next to the target.
fn names(target: &Path) -> impl Iterator<Item = PathBuf> {
    let folder = super::folder_of(target).to_path_buf();
    // Short enough for every file system. Files that have so much in common share these names.
    let name: String =
        target.file_name().unwrap_or_default().to_string_lossy().chars().take(50).collect();
    (0..SLOTS).map(move |slot| folder.join(OsString::from(format!(".{name}.{slot}.new"))))
}

/// Removes what a killed process left behind. A file that is being written is locked; where the file system has no locks,
/// it was written to within the last hour.
fn sweep(target: &Path) {
    for path in names(target) {
        let Ok(there) = std::fs::symlink_metadata(&path) else { continue };
        if !there.is_file() {
            continue;
        }
        let Ok(file) = OpenOptions::new().write(true).open(&path) else { continue };
        let left = match lock(&file) {
            Ok(()) => is_still_at(&file, &path),
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(_)) => {
                let hour = Duration::from_secs(60 * 60);
                let age = there.modified().ok().and_then(|written| written.elapsed().ok());
                age.is_some_and(|age| age > hour)
            }
        };
        if left {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// For the one who writes it. A lock tells others so.
#[cfg(not(windows))]
fn create(path: &Path) -> io::Result<File> {
    super::create_private(path)
}

#[cfg(not(windows))]
fn lock(file: &File) -> Result<(), TryLockError> {
    file.try_lock()
}

/// On Windows others can't open it for writing as long as this is open; so no lock is needed, and none is wanted: a lock would keep
/// others from reading, too, also under the target's name. It may be read, renamed and removed.
#[cfg(windows)]
fn create(path: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;
    const READ: u32 = 1;
    const DELETE: u32 = 4;
    OpenOptions::new().write(true).create_new(true).share_mode(READ | DELETE).open(path)
}

#[cfg(windows)]
fn lock(_file: &File) -> Result<(), TryLockError> {
    Ok(())
}

/// It may have taken its target's place since it was opened.
#[cfg(unix)]
fn is_still_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |of: &std::fs::Metadata| (of.dev(), of.ino());
    matches!((file.metadata(), std::fs::symlink_metadata(path)), (Ok(open), Ok(there)) if id(&open) == id(&there))
}

#[cfg(not(unix))]
fn is_still_at(_file: &File, _path: &Path) -> bool {
    true
}

/// A file without a name; none if the system or the file system has none.
#[cfg(target_os = "linux")]
fn unnamed(target: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(libc::O_TMPFILE).mode(0o600);
    let file = options.open(super::folder_of(target)).ok()?;
    // Without /proc it could not be given a name.
    by_number(&file).exists().then_some(file)
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_target: &Path) -> Option<File> {
    None
}

#[cfg(target_os = "linux")]
fn by_number(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    fn entries(folder: &Path) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = std::fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<_>>()?;
        names.sort();
        Ok(names)
    }

    const TARGET: &str = "CAREFUL_FILES_TEST_TARGET";
    const HALF: &[u8] = b"half of the plain text";

    /// The other process of the tests below; none of its own.
    #[test]
    fn a_process_that_is_killed_while_it_writes() -> TestResult {
        let Some(target) = std::env::var_os(TARGET) else { return Ok(()) };
        let target = Path::new(&target);
        let mut temporary = match target.ends_with("named") {
            true => Temporary::named(target)?,
            false => Temporary::next_to(target)?,
        };
        temporary.file().write_all(HALF)?;
        println!("written");
        std::thread::sleep(std::time::Duration::from_secs(60));
        Ok(())
    }

    /// Starts it, and kills it when it has written half of a file.
    fn killed(target: &Path) -> TestResult {
        let mut child = Command::new(std::env::current_exe()?)
            .args([
                "--exact",
                "temporary::tests::a_process_that_is_killed_while_it_writes",
                "--nocapture",
            ])
            .env(TARGET, target)
            .stdout(Stdio::piped())
            .spawn()?;
        let said = child.stdout.take().ok_or("its output")?;
        let mut lines = io::BufRead::lines(io::BufReader::new(said));
        let written = lines.any(|line| line.is_ok_and(|line| line.contains("written")));
        child.kill()?;
        child.wait()?;
        assert!(written, "it ended before");
        Ok(())
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn of_a_killed_process_nothing_stays() -> TestResult {
        let folder = tempfile::tempdir()?;
        let target = folder.path().join("target");
        std::fs::write(&target, b"old")?;
        killed(&target)?;
        assert_eq!(entries(folder.path())?, ["target"]);
        assert_eq!(std::fs::read(&target)?, b"old");
        Ok(())
    }

    #[test]
    fn where_something_stays_the_next_replacement_removes_it() -> TestResult {
        let folder = tempfile::tempdir()?;
        let target = folder.path().join("named");
        std::fs::write(&target, b"old")?;
        killed(&target)?;
        assert_eq!(entries(folder.path())?, [".named.0.new", "named"]);
        assert_eq!(std::fs::read(folder.path().join(".named.0.new"))?, HALF);
        assert_eq!(std::fs::read(&target)?, b"old");
        crate::replace(&target, b"new")?;
        assert_eq!(entries(folder.path())?, ["named"]);
        assert_eq!(std::fs::read(&target)?, b"new");
        Ok(())
    }

    #[test]
    fn what_somebody_is_writing_is_not_removed() -> TestResult {
        let folder = tempfile::tempdir()?;
        let target = folder.path().join("target");
        let mut slow = Temporary::named(&target)?;
        slow.file().write_all(b"slow")?;
        let mut fast = Temporary::next_to(&target)?;
        fast.file().write_all(b"fast")?;
        fast.replace(&target)?;
        assert_eq!(std::fs::read(&target)?, b"fast");
        slow.replace(&target)?;
        assert_eq!(std::fs::read(&target)?, b"slow");
        assert_eq!(entries(folder.path())?, ["target"]);
        Ok(())
    }

    #[test]
    fn after_an_error_or_a_panic_nothing_stays() -> TestResult {
        let folder = tempfile::tempdir()?;
        let target = folder.path().join("target");
        drop(Temporary::named(&target)?);
        drop(Temporary::next_to(&target)?);
        let inside = target.clone();
        let panicked = std::thread::spawn(move || {
            let mut temporary = Temporary::named(&inside).expect("a file");
            temporary.file().write_all(HALF).expect("written");
            panic!("on purpose: this is a test");
        });
        assert!(panicked.join().is_err());
        assert_eq!(entries(folder.path())?, [""; 0]);
        Ok(())
    }

    #[test]
    fn more_than_there_are_names_for_is_an_error_and_hangs_nothing() -> TestResult {
        let folder = tempfile::tempdir()?;
        let target = folder.path().join("target");
        let writing: Vec<_> =
            (0..SLOTS).map(|_| Temporary::named(&target)).collect::<io::Result<_>>()?;
        let refused = Temporary::named(&target).err().ok_or("no name is free")?;
        assert!(refused.to_string().contains("8 replacements"), "{refused}");
        drop(writing);
        Temporary::named(&target)?.replace(&target)?;
        assert_eq!(entries(folder.path())?, ["target"]);
        Ok(())
    }

    #[test]
    fn a_long_name_is_no_obstacle() -> TestResult {
        let folder = tempfile::tempdir()?;
        let target = folder.path().join("x".repeat(255));
        for make in [Temporary::next_to, Temporary::named] {
            let mut temporary = make(&target)?;
            temporary.file().write_all(b"text")?;
            temporary.replace(&target)?;
            assert_eq!(std::fs::read(&target)?, b"text");
        }
        assert_eq!(entries(folder.path())?.len(), 1);
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn what_stands_under_such_a_name_and_is_no_file_is_left_alone() -> TestResult {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("somebodys"), b"somebody's file")?;
        std::os::unix::fs::symlink(at("somebodys"), at(".target.0.new"))?;
        std::fs::create_dir(at(".target.1.new"))?;
        crate::replace(&at("target"), b"new")?;
        assert_eq!(std::fs::read(at("target"))?, b"new");
        assert_eq!(std::fs::read(at("somebodys"))?, b"somebody's file");
        assert_eq!(
            entries(folder.path())?,
            [".target.0.new", ".target.1.new", "somebodys", "target"]
        );
        Ok(())
    }
}
