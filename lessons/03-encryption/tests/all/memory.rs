//! How much memory a stream takes. The kernel counts for the whole process.
#![cfg(target_os = "linux")]

use std::error::Error;
use std::io::{self, Read};

use careful_encryption::context::Context;
use careful_encryption::keyring::KeyRing;
use careful_encryption::sealing::{KeyId, SecretKey};
use careful_encryption::stream;
use snapshots::alone;

type TestResult = Result<(), Box<dyn Error>>;

/// The kernel's own count of the memory that this process ever had.
#[test]
fn a_stream_takes_the_same_memory_however_long_it_is() -> TestResult {
    if !alone("memory::a_stream_takes_the_same_memory_however_long_it_is") {
        return Ok(());
    }
    let peak = || -> Result<u64, Box<dyn Error>> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    };
    let ring = KeyRing::new(KeyId(*b"key-2026"), &SecretKey::random());
    let context = Context::new("test");
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sealed");
    let through = |megabytes: u64| -> TestResult {
        let mut file = std::fs::File::create(&path)?;
        stream::seal(&ring, &context, &mut io::repeat(1).take(megabytes << 20), &mut file)?;
        Ok(stream::open(&ring, &context, &mut std::fs::File::open(&path)?, &mut io::sink())?)
    };
    through(1)?;
    let before = peak()?;
    through(64)?;
    let grown = peak()? - before;
    assert!(grown < 2 * 1024, "{grown} KiB more for 64 MiB");
    Ok(())
}
