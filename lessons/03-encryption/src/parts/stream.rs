//! A file larger than the memory that it takes.

use std::io::{self, Read, Write};

use careful_encryption::context::Context;
use careful_encryption::keyring::KeyRing;
use careful_encryption::sealing::{KeyId, SecretKey};
use careful_encryption::stream::{CHUNK, StreamError, open, open_file, seal};
use shared::Transcript;

const SIZE: u64 = 16 * 1024 * 1024;
const SEALED_CHUNK: usize = CHUNK + 16;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let ring = KeyRing::new(KeyId(*b"key-2026"), &SecretKey::random());
    let context = Context::new("backup").with("disk 1");

    // ANCHOR: large
    t.step("Seal 16 MiB chunk by chunk, and open them again.");
    let (mut sealed, mut counter) = (Vec::new(), Counter::default());
    t.works("sealed", seal(&ring, &context, &mut io::repeat(b'x').take(SIZE), &mut sealed))?;
    t.works("opened", open(&ring, &context, &mut sealed.as_slice(), &mut counter))?;
    t.must_show("text", &format!("{} bytes", counter.bytes), "16777216")?;
    t.must_show("largest piece", &format!("{} bytes", counter.largest), "65536")?;
    // ANCHOR_END: large
    let header = sealed.len() - (SIZE as usize / CHUNK) * SEALED_CHUNK;
    t.shows(
        "overhead",
        format!("{} bytes: the header, and 16 a chunk", sealed.len() as u64 - SIZE),
    );

    // ANCHOR: attacks
    t.step("Attack a file of three chunks.");
    let text = [vec![b'a'; CHUNK], vec![b'b'; CHUNK], b"the end".to_vec()].concat();
    let sealed = sealed_text(&ring, &context, &text)?;
    let other = sealed_text(&ring, &context, &text)?;
    let chunk = |number: usize| header + number * SEALED_CHUNK;
    let attack = |name: &str, bytes: Vec<u8>, t: &mut Transcript| -> anyhow::Result<()> {
        let mut released = Counter::default();
        let refused = open(&ring, &context, &mut bytes.as_slice(), &mut released);
        t.refused_in_short(name, refused, "not authentic")?;
        t.shows("released", format!("{} bytes, all verified", released.bytes));
        Ok(())
    };
    attack("the last chunk left out", sealed[..chunk(2)].to_vec(), t)?;
    attack("cut in the middle of a chunk", sealed[..chunk(1) + 100].to_vec(), t)?;
    let swapped = [
        &sealed[..header],
        &sealed[chunk(1)..chunk(2)],
        &sealed[header..chunk(1)],
        &sealed[chunk(2)..],
    ];
    attack("two chunks swapped", swapped.concat(), t)?;
    let spliced = [&sealed[..chunk(1)], &other[chunk(1)..chunk(2)], &sealed[chunk(2)..]];
    attack("a chunk of another file", spliced.concat(), t)?;
    let mut flipped = sealed.clone();
    flipped[chunk(1)] ^= 1;
    attack("one bit flipped", flipped, t)?;
    // ANCHOR_END: attacks

    t.step("Append something to the file, and open it as another file.");
    attack("something appended", [sealed.as_slice(), b"more"].concat(), t)?;
    let elsewhere = Context::new("backup").with("disk 2");
    let refused = open(&ring, &elsewhere, &mut sealed.as_slice(), &mut io::sink());
    t.refused_in_short("as the backup of disk 2", refused, "not authentic")?;

    // ANCHOR: file
    t.step("Open into a file, first with the last chunk missing, then with all of it.");
    let folder = tempfile::tempdir()?;
    let (source, target) = (folder.path().join("backup.sealed"), folder.path().join("backup"));
    std::fs::write(&source, &sealed[..chunk(2)])?;
    let refused = open_file(&ring, &context, &source, &target);
    t.refused_in_short("two of the three chunks", refused, "not authentic")?;
    t.must_show("the target", if target.exists() { "is there" } else { "is not there" }, "not")?;
    std::fs::write(&source, &sealed)?;
    t.works("all three chunks", open_file(&ring, &context, &source, &target))?;
    t.must_show("the target", &format!("{} bytes", std::fs::read(&target)?.len()), "131079")
    // ANCHOR_END: file
}

fn sealed_text(ring: &KeyRing, context: &Context, text: &[u8]) -> Result<Vec<u8>, StreamError> {
    let mut sealed = Vec::new();
    seal(ring, context, &mut &*text, &mut sealed)?;
    Ok(sealed)
}

/// Counts what it is given, and keeps nothing.
#[derive(Default)]
struct Counter {
    bytes: usize,
    largest: usize,
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len();
        self.largest = self.largest.max(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
