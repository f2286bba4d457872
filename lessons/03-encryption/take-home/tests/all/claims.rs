//! What this crate promises, and what it does with bytes from strangers.

use std::collections::HashSet;
use std::error::Error;
use std::io::{self, Read, Write};
use std::path::Path;

use careful_encryption::context::Context;
use careful_encryption::keyring::{KeyRing, KeyRingError};
use careful_encryption::password::{self, Cost, PasswordError};
use careful_encryption::public_key::{BoxError, Classical, KeyPair, PostQuantum, PublicKey, Suite};
use careful_encryption::sealing::{
    KeyId, MAX_MESSAGES, MAX_TEXT, OVERHEAD, OpenError, SealError, Sealer, SecretKey, key_id,
};
use careful_encryption::signing::{SigningKey, VerifyingKey, signed_bytes};
use careful_encryption::stream::{self, CHUNK, StreamError};
use proptest::prelude::*;

type TestResult = Result<(), Box<dyn Error>>;

const ID: KeyId = KeyId(*b"key-2026");

fn sealer() -> Sealer {
    Sealer::new(ID, &SecretKey::random())
}

fn ring() -> KeyRing {
    KeyRing::new(ID, &SecretKey::random())
}

fn context() -> Context {
    Context::new("test").with("one")
}

// Sealing

#[test]
fn what_is_sealed_opens_and_is_as_long_as_it_says() -> TestResult {
    let sealer = sealer();
    for length in [0, 1, 15, 16, 17, 1000, 100_000] {
        let text = vec![b'x'; length];
        let message = sealer.seal(&context(), &text)?;
        assert_eq!(message.len(), OVERHEAD + length);
        assert_eq!(sealer.open(&context(), &message)?, text);
        assert_eq!(key_id(&message)?, ID);
    }
    Ok(())
}

#[test]
fn every_flipped_bit_of_a_message_is_refused() -> TestResult {
    let sealer = sealer();
    let message = sealer.seal(&context(), b"pay 100 to bob")?;
    for at in 0..message.len() * 8 {
        let mut changed = message.clone();
        changed[at / 8] ^= 1 << (at % 8);
        assert!(sealer.open(&context(), &changed).is_err(), "bit {at}");
    }
    Ok(())
}

#[test]
fn every_shorter_message_is_refused_and_none_of_a_part_is_told() -> TestResult {
    let sealer = sealer();
    let message = sealer.seal(&context(), b"pay 100 to bob")?;
    for length in 0..message.len() {
        let refused = sealer.open(&context(), &message[..length]).expect_err("cut");
        let is_format = matches!(refused, OpenError::Format(_));
        assert_eq!(is_format, length < OVERHEAD, "{length}: {refused:?}");
    }
    Ok(())
}

#[test]
fn wrong_key_wrong_context_and_a_change_are_one_error() -> TestResult {
    let sealer = sealer();
    let mut message = sealer.seal(&context(), b"text")?;
    let wrong_key = self::sealer().open(&context(), &message);
    let wrong_context = sealer.open(&Context::new("other"), &message);
    *message.last_mut().ok_or("a message")? ^= 1;
    let changed = sealer.open(&context(), &message);
    for refused in [wrong_key, wrong_context, changed] {
        assert_eq!(refused, Err(OpenError::NotAuthentic));
    }
    Ok(())
}

#[test]
fn no_nonce_comes_twice() -> TestResult {
    let sealer = sealer();
    let mut seen = HashSet::new();
    for _ in 0..10_000 {
        assert!(seen.insert(sealer.seal(&context(), b"")?[9..21].to_vec()), "a nonce twice");
    }
    Ok(())
}

/// Two sealers of one key know nothing of each other: a count, or a few random bits, would make equal nonces.
#[test]
fn nonces_are_random_in_each_of_their_bytes_and_in_each_sealer() -> TestResult {
    let key = SecretKey::random();
    let mut seen = HashSet::new();
    let mut values = vec![HashSet::new(); 12];
    for _ in 0..64 {
        let sealer = Sealer::new(ID, &key);
        for _ in 0..4 {
            let nonce = sealer.seal(&context(), b"")?[9..21].to_vec();
            for (values, &byte) in values.iter_mut().zip(&nonce) {
                values.insert(byte);
            }
            assert!(seen.insert(nonce), "a nonce twice");
        }
    }
    // 256 random bytes have about 162 values; fewer than 100 come in far less than one of 10^20 runs.
    for (at, values) in values.iter().enumerate() {
        assert!(values.len() >= 100, "byte {at} has {} values", values.len());
    }
    Ok(())
}

#[test]
fn a_text_over_the_limit_is_refused() {
    let refused = sealer().seal(&context(), &vec![0; MAX_TEXT + 1]);
    assert_eq!(refused, Err(SealError::TooLong));
}

#[test]
fn a_text_of_the_limit_is_sealed_and_opens_and_one_byte_more_is_refused() -> TestResult {
    assert_eq!(MAX_TEXT, 67_108_864, "64 MiB");
    let sealer = sealer();
    let text = vec![7; MAX_TEXT];
    let mut message = sealer.seal(&context(), &text)?;
    assert!(sealer.open(&context(), &message)? == text);
    message.push(0);
    let refused = sealer.open(&context(), &message);
    assert!(matches!(refused, Err(OpenError::Format(_))), "before anything is computed");
    Ok(())
}

#[test]
fn a_worn_out_key_seals_no_more() -> TestResult {
    let sealer = Sealer::resume(ID, &SecretKey::random(), MAX_MESSAGES - 1);
    let last = sealer.seal(&context(), b"the last one")?;
    assert_eq!(sealer.sealed(), MAX_MESSAGES);
    for _ in 0..3 {
        assert_eq!(sealer.seal(&context(), b""), Err(SealError::KeyIsWornOut));
    }
    assert_eq!(sealer.open(&context(), &last)?, b"the last one");
    Ok(())
}

#[test]
fn no_key_is_printed() -> TestResult {
    let mut bytes = [0xab; 32];
    let key = SecretKey::from_bytes(&mut bytes);
    assert_eq!(bytes, [0; 32], "the caller's copy is wiped");
    let mut printed = format!("{key:?} {:?} {:?}", Sealer::new(ID, &key), KeyRing::new(ID, &key));
    printed += &format!("{:?}", KeyPair::<Classical>::from_bytes(&[0xab; 32])?);
    printed += &format!("{:?}", SigningKey::from_seed(&zeroize::Zeroizing::new([0xab; 32]))?);
    assert!(
        !printed.contains("ab, ") && !printed.contains("171") && !printed.contains("abab"),
        "{printed}"
    );
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_make_open_panic_or_succeed(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(sealer().open(&context(), &bytes).is_err());
        prop_assert!(ring().open(&context(), &bytes).is_err());
        prop_assert!(ring().open_envelope(&context(), &bytes).is_err());
        prop_assert!(KeyPair::<Classical>::random().open(&context(), &bytes).is_err());
        prop_assert!(stream::open(&ring(), &context(), &mut bytes.as_slice(), &mut io::sink()).is_err());
    }

    /// The same behind a good header, where the parsers go further.
    #[test]
    fn no_bytes_behind_a_good_header_do_either(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let sealed = [&[1], &ID.0[..], &bytes].concat();
        prop_assert!(ring().open(&context(), &sealed).is_err());
        let envelope = [&(sealed.len() as u16).to_be_bytes()[..], &sealed, &bytes].concat();
        prop_assert!(ring().open_envelope(&context(), &envelope).is_err());
        let streamed = [&[1], &(sealed.len() as u16).to_be_bytes()[..], &sealed, &bytes].concat();
        prop_assert!(stream::open(&ring(), &context(), &mut streamed.as_slice(), &mut io::sink()).is_err());
        let boxed = [&[Classical::ID], bytes.as_slice()].concat();
        prop_assert!(KeyPair::<Classical>::random().open(&context(), &boxed).is_err());
    }

    #[test]
    fn no_bytes_make_a_signature(text in any::<Vec<u8>>(), signature in prop::collection::vec(any::<u8>(), 0..80), key in any::<[u8; 32]>()) {
        if let Ok(key) = VerifyingKey::from_bytes(key) {
            prop_assert!(key.verify(&context(), &text, &signature).is_err());
        }
    }

    #[test]
    fn no_cost_over_the_limit_is_computed(
        memory in any::<u32>(),
        passes in any::<u32>(),
        lanes in any::<u32>(),
    ) {
        let limit = Cost::LIMIT;
        prop_assume!(memory > limit.memory || passes > limit.passes || lanes > limit.lanes);
        let numbers = [memory, passes, lanes].map(u32::to_be_bytes).concat();
        let message = [&[1], numbers.as_slice(), &[0; 48 + OVERHEAD]].concat();
        let refused = password::open(b"password", limit, &context(), &message);
        prop_assert!(matches!(refused, Err(OpenError::Format(_))), "{:?}", refused);
    }

    #[test]
    fn no_two_contexts_have_one_encoding(one in any::<Vec<Vec<u8>>>(), other in any::<Vec<Vec<u8>>>()) {
        let encode = |parts: &[Vec<u8>]| parts.iter().fold(Context::new("p"), |c, part| c.with(part));
        prop_assert_eq!(one == other, encode(&one) == encode(&other));
    }

    #[test]
    fn a_stream_of_any_length_opens(length in 0_usize..3 * CHUNK) {
        let (ring, text) = (ring(), vec![7; length]);
        let (mut sealed, mut opened) = (Vec::new(), Vec::new());
        stream::seal(&ring, &context(), &mut text.as_slice(), &mut sealed).expect("sealed");
        stream::open(&ring, &context(), &mut sealed.as_slice(), &mut opened).expect("opened");
        prop_assert!(opened == text);
    }
}

/// An error says where in the envelope it is, not where in one of its parts.
#[test]
fn an_error_in_an_envelope_has_the_envelopes_offset() -> TestResult {
    let ring = ring();
    let envelope = ring.seal_envelope(&context(), b"text")?;
    // Behind the length, 2 bytes, and the sealed key, 69, stands the sealed message's version.
    for at in [2, 2 + 69] {
        let mut changed = envelope.clone();
        changed[at] = 2;
        match ring.open_envelope(&context(), &changed) {
            Err(OpenError::Format(error)) => assert_eq!(error.offset, at),
            other => panic!("expected a format error at {at}, got {other:?}"),
        }
    }
    Ok(())
}

// Passwords

/// The numbers that the chapter and OWASP's sheet name.
#[test]
fn the_costs_are_these() {
    let cost = |memory, passes, lanes| Cost { memory, passes, lanes };
    assert_eq!(Cost::LEAST, cost(19_456, 2, 1));
    assert_eq!(Cost::RECOMMENDED, cost(65_536, 3, 4));
    assert_eq!(Cost::LIMIT, cost(131_072, 4, 4));
}

#[test]
fn a_password_opens_and_another_does_not() -> TestResult {
    let message = password::seal(b"correct", Cost::LEAST, &context(), b"text")?;
    assert_eq!(password::open(b"correct", Cost::LIMIT, &context(), &message)?, b"text");
    assert_eq!(
        password::open(b"wrong", Cost::LIMIT, &context(), &message),
        Err(OpenError::NotAuthentic)
    );
    let elsewhere = password::open(b"correct", Cost::LIMIT, &Context::new("other"), &message);
    assert_eq!(elsewhere, Err(OpenError::NotAuthentic));
    let again = password::seal(b"correct", Cost::LEAST, &context(), b"text")?;
    assert_ne!(message[13..29], again[13..29], "a salt for each message");
    Ok(())
}

#[test]
fn no_password_is_refused() {
    let refused = password::seal(b"", Cost::LEAST, &context(), b"text");
    assert!(matches!(refused, Err(PasswordError::Empty)), "{refused:?}");
}

#[test]
fn a_cost_below_the_least_is_not_sealed_with() {
    for (memory, passes, lanes) in
        [(19 * 1024 - 1, 2, 1), (45 * 1024, 1, 1), (64 * 1024, 0, 1), (64 * 1024, 3, 0)]
    {
        let cost = Cost { memory, passes, lanes };
        let refused = password::seal(b"password", cost, &context(), b"");
        assert!(matches!(refused, Err(PasswordError::Cost(_))), "{cost:?}");
    }
}

#[test]
fn what_is_no_message_costs_no_memory() -> TestResult {
    let message = password::seal(b"correct", Cost::LEAST, &context(), b"text")?;
    let started = std::time::Instant::now();
    for length in 0..message.len().min(61 + OVERHEAD) {
        let refused = password::open(b"correct", Cost::LIMIT, &context(), &message[..length]);
        assert!(matches!(refused, Err(OpenError::Format(_))), "{length}: {refused:?}");
    }
    assert!(started.elapsed().as_secs() < 5, "nothing was computed: {:?}", started.elapsed());
    let error =
        password::open(b"correct", Cost::LIMIT, &context(), &message[..70]).expect_err("cut");
    assert!(
        matches!(error, OpenError::Format(error) if error.offset == 70),
        "the offset is the whole message's"
    );
    Ok(())
}

/// GCM does not commit to its key; the commitment does, and it is checked.
#[test]
fn a_message_under_a_password_commits_to_it() -> TestResult {
    let message = password::seal(b"correct", Cost::LEAST, &context(), b"text")?;
    // The lowest bits of memory and passes, so that the cost is within the limit; the salt; the
    // commitment.
    for at in [4, 8, 13, 29, 60] {
        let mut changed = message.clone();
        changed[at] ^= 1;
        let refused = password::open(b"correct", Cost::LIMIT, &context(), &changed);
        assert_eq!(refused, Err(OpenError::NotAuthentic), "byte {at}");
    }
    Ok(())
}

#[test]
fn a_cost_that_is_none_and_another_key_are_told_before_anything_is_computed() -> TestResult {
    let message = password::seal(b"correct", Cost::LEAST, &context(), b"text")?;
    // No passes; no lanes; less than 8 KiB a lane; less than the least; each limit exceeded by one.
    let Cost { memory, passes, lanes } = Cost::LIMIT;
    let (least, limit) = ("a cost of at least Cost::LEAST", "a cost within the limit");
    for (numbers, expected) in [
        ([65536, 0, 1], least),
        ([65536, 2, 0], least),
        ([7, 2, 1], least),
        ([19 * 1024 - 1, 2, 1], least),
        ([45 * 1024, 1, 1], least),
        ([memory + 1, passes, lanes], limit),
        ([memory, passes + 1, lanes], limit),
        ([memory, passes, lanes + 1], limit),
    ] {
        let mut changed = message.clone();
        changed[1..13].copy_from_slice(&numbers.map(u32::to_be_bytes).concat());
        match password::open(b"correct", Cost::LIMIT, &context(), &changed) {
            Err(OpenError::Format(error)) => {
                assert_eq!(error.expected, expected, "{numbers:?}");
                assert_eq!(error.offset, 1);
            }
            other => panic!("expected a format error for {numbers:?}, got {other:?}"),
        }
    }
    let mut changed = message;
    changed[62..70].copy_from_slice(b"key-2026");
    let refused = password::open(b"correct", Cost::LIMIT, &context(), &changed);
    assert_eq!(refused, Err(OpenError::UnknownKey(ID)));
    Ok(())
}

// Streams

fn sealed(ring: &KeyRing, length: usize) -> Result<Vec<u8>, StreamError> {
    let mut sealed = Vec::new();
    stream::seal(ring, &context(), &mut io::repeat(1).take(length as u64), &mut sealed)?;
    Ok(sealed)
}

#[test]
fn a_stream_cut_anywhere_is_refused() -> TestResult {
    let ring = ring();
    let sealed = sealed(&ring, CHUNK + 10)?;
    for length in
        (0..sealed.len()).step_by(997).chain([sealed.len() - 1, 3, 79, 80, 79 + CHUNK + 16])
    {
        let refused = stream::open(&ring, &context(), &mut &sealed[..length], &mut io::sink());
        assert!(refused.is_err(), "{length} of {}", sealed.len());
    }
    Ok(())
}

#[test]
fn a_stream_whose_length_is_a_multiple_of_the_chunk_ends_in_a_full_one() -> TestResult {
    let ring = ring();
    for chunks in [0, 1, 2] {
        let sealed = sealed(&ring, chunks * CHUNK)?;
        let mut opened = Vec::new();
        stream::open(&ring, &context(), &mut sealed.as_slice(), &mut opened)?;
        assert_eq!(opened.len(), chunks * CHUNK);
        // Without its last chunk, it is refused, although what is left ends at a chunk's end.
        if chunks > 1 {
            let cut = &sealed[..sealed.len() - CHUNK - 16];
            assert!(stream::open(&ring, &context(), &mut &*cut, &mut io::sink()).is_err());
        }
    }
    Ok(())
}

#[test]
fn a_sealed_key_of_any_other_length_is_refused_before_it_is_read() -> TestResult {
    let header = [&[1], &60_000_u16.to_be_bytes()[..]].concat();
    let mut endless = header.chain(io::repeat(0));
    let refused = stream::open(&ring(), &context(), &mut endless, &mut io::sink());
    assert!(
        matches!(refused, Err(StreamError::Key(OpenError::Format(error))) if error.offset == 1)
    );
    Ok(())
}

#[test]
fn a_stream_is_sealed_anew_without_its_text() -> TestResult {
    let mut ring = ring();
    let old = sealed(&ring, 2 * CHUNK)?;
    ring.rotate(KeyId::random(), &SecretKey::random())?;
    let mut new = Vec::new();
    stream::rewrap(&ring, &context(), &mut old.as_slice(), &mut new)?;
    assert_eq!(new[79..], old[79..], "the chunks are untouched");
    ring.retire(ID)?;
    let refused = stream::open(&ring, &context(), &mut old.as_slice(), &mut io::sink());
    assert!(matches!(refused, Err(StreamError::Key(OpenError::RetiredKey(ID)))));
    let mut opened = Vec::new();
    stream::open(&ring, &context(), &mut new.as_slice(), &mut opened)?;
    assert_eq!(opened.len(), 2 * CHUNK);
    Ok(())
}

/// A disk that is full after so many bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_reported() -> TestResult {
    let ring = ring();
    let refused =
        stream::seal(&ring, &context(), &mut io::repeat(1).take(200_000), &mut Full(70_000));
    assert!(matches!(refused, Err(StreamError::Write(_))), "{refused:?}");
    let sealed = sealed(&ring, 200_000)?;
    let refused = stream::open(&ring, &context(), &mut sealed.as_slice(), &mut Full(70_000));
    assert!(matches!(refused, Err(StreamError::Write(_))), "{refused:?}");
    Ok(())
}

/// A buffer takes everything, and says at the flush what the disk said.
#[test]
fn a_full_disk_behind_a_buffer_is_reported_too() -> TestResult {
    type Work = fn(&KeyRing, &Context, &mut dyn Read, &mut dyn Write) -> Result<(), StreamError>;
    let ring = ring();
    let sealed = sealed(&ring, 1000)?;
    let works: [(Work, &[u8]); 3] =
        [(stream::seal, &[1; 1000]), (stream::open, &sealed), (stream::rewrap, &sealed)];
    for (number, (work, source)) in works.into_iter().enumerate() {
        for room in [0, 500] {
            let mut target = io::BufWriter::with_capacity(1 << 20, Full(room));
            let refused = work(&ring, &context(), &mut &*source, &mut target);
            assert!(matches!(refused, Err(StreamError::Write(_))), "{number}: {refused:?}");
            // Dropped, it would try again.
            let _ = target.into_parts();
        }
        let mut target = io::BufWriter::with_capacity(1 << 20, Full(2000));
        work(&ring, &context(), &mut &*source, &mut target)?;
        assert!(target.buffer().is_empty(), "{number}");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_target_that_is_no_regular_file_is_left_as_it_was() -> TestResult {
    use std::os::unix::fs::FileTypeExt;
    let (ring, folder) = (ring(), tempfile::tempdir()?);
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("plain"), vec![5; 2 * CHUNK])?;
    stream::seal_file(&ring, &context(), &path("plain"), &path("sealed"))?;
    assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status()?.success());
    std::fs::create_dir(path("folder"))?;
    for target in [path("pipe"), path("folder")] {
        for (work, source) in [
            (stream::seal_file as fn(&KeyRing, &Context, &Path, &Path) -> _, path("plain")),
            (stream::open_file, path("sealed")),
            (stream::rewrap_file, path("sealed")),
        ] {
            let refused = work(&ring, &context(), &source, &target);
            assert!(matches!(refused, Err(StreamError::NotAFile)), "{refused:?}");
        }
    }
    assert!(std::fs::symlink_metadata(path("pipe"))?.file_type().is_fifo());
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 4, "no temporary file is left");
    Ok(())
}

#[test]
fn a_refused_file_leaves_the_target_as_it_was_and_nothing_beside_it() -> TestResult {
    let (ring, folder) = (ring(), tempfile::tempdir()?);
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("plain"), vec![5; 2 * CHUNK])?;
    stream::seal_file(&ring, &context(), &path("plain"), &path("sealed"))?;
    let mut cut = std::fs::read(path("sealed"))?;
    cut.truncate(cut.len() - 1);
    std::fs::write(path("cut"), cut)?;
    std::fs::write(path("target"), b"as it was")?;
    assert!(stream::open_file(&ring, &context(), &path("cut"), &path("target")).is_err());
    assert_eq!(std::fs::read(path("target"))?, b"as it was");
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 4, "no temporary file is left");
    stream::open_file(&ring, &context(), &path("sealed"), &path("target"))?;
    assert_eq!(std::fs::read(path("target"))?, vec![5; 2 * CHUNK]);
    assert!(stream::open_file(&ring, &context(), &path("missing"), &path("target")).is_err());
    Ok(())
}

/// Root can open every folder; then all that is tested is that the target is the new one.
#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_synced_is_told_and_the_target_is_the_new_one() -> TestResult {
    use std::os::unix::fs::PermissionsExt;

    let (ring, folder) = (ring(), tempfile::tempdir()?);
    let path = |name: &str| folder.path().join(name);
    let allow =
        |mode| std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode));
    std::fs::write(path("plain"), b"new")?;
    std::fs::write(path("target"), b"as it was")?;
    stream::seal_file(&ring, &context(), &path("plain"), &path("sealed"))?;
    allow(0o300)?;
    let is_root = std::fs::File::open(folder.path()).is_ok();
    let opened = stream::open_file(&ring, &context(), &path("sealed"), &path("target"));
    allow(0o700)?;
    assert!(is_root || matches!(opened, Err(StreamError::NotSynced(_))), "{opened:?}");
    assert_eq!(std::fs::read(path("target"))?, b"new");
    Ok(())
}

#[test]
fn a_sealed_file_is_sealed_anew_in_its_place() -> TestResult {
    let (mut ring, folder) = (ring(), tempfile::tempdir()?);
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("plain"), vec![5; 2 * CHUNK])?;
    stream::seal_file(&ring, &context(), &path("plain"), &path("sealed"))?;
    ring.rotate(KeyId::random(), &SecretKey::random())?;
    stream::rewrap_file(&ring, &context(), &path("sealed"), &path("sealed"))?;
    ring.retire(ID)?;
    stream::open_file(&ring, &context(), &path("sealed"), &path("opened"))?;
    assert_eq!(std::fs::read(path("opened"))?, vec![5; 2 * CHUNK]);

    // One that does not open stays as it is.
    let before = std::fs::read(path("sealed"))?;
    let other = Context::new("other");
    assert!(stream::rewrap_file(&ring, &other, &path("sealed"), &path("sealed")).is_err());
    assert_eq!(std::fs::read(path("sealed"))?, before);
    Ok(())
}

// Key rings

#[test]
fn a_ring_counts_on_after_a_restart_and_remembers_what_was_retired() -> TestResult {
    let key = SecretKey::random();
    let mut ring = KeyRing::resume(ID, &key, MAX_MESSAGES - 1);
    let message = ring.seal(&context(), b"the last")?;
    assert_eq!(ring.sealed(), MAX_MESSAGES);
    assert_eq!(ring.seal(&context(), b"one more"), Err(SealError::KeyIsWornOut));
    assert_eq!(ring.open(&context(), &message)?, b"the last", "it still opens");

    let gone = KeyId(*b"key-2024");
    assert_eq!(ring.retire(gone), Err(KeyRingError::Unknown(gone)));
    ring.remember_retired(gone)?;
    assert_eq!(ring.remember_retired(ID), Err(KeyRingError::AlreadyThere(ID)));
    let old = KeyRing::new(gone, &SecretKey::random()).seal(&context(), b"of last year")?;
    assert_eq!(ring.open(&context(), &old), Err(OpenError::RetiredKey(gone)));
    Ok(())
}

#[test]
fn a_retired_key_and_an_unknown_one_are_told_apart() -> TestResult {
    let mut ring = ring();
    let message = ring.seal(&context(), b"text")?;
    let next = KeyId::random();
    ring.rotate(next, &SecretKey::random())?;
    let twice = ring.rotate(next, &SecretKey::random());
    assert_eq!(twice, Err(KeyRingError::AlreadyThere(next)), "an id keeps its key");
    assert_eq!(ring.open(&context(), &message)?, b"text");
    assert_eq!(ring.retire(next), Err(KeyRingError::IsCurrent(next)));
    ring.retire(ID)?;
    assert_eq!(ring.open(&context(), &message), Err(OpenError::RetiredKey(ID)));
    assert_eq!(self::ring().current(), ID);
    let stranger = KeyRing::new(KeyId(*b"stranger"), &SecretKey::random()).seal(&context(), b"")?;
    assert_eq!(ring.open(&context(), &stranger), Err(OpenError::UnknownKey(KeyId(*b"stranger"))));
    Ok(())
}

#[test]
fn a_sealed_key_is_no_message_and_an_envelope_of_another_context_is_refused() -> TestResult {
    let ring = ring();
    let envelope = ring.seal_envelope(&context(), b"text")?;
    assert_eq!(ring.open_envelope(&context(), &envelope)?, b"text");
    assert!(ring.open_envelope(&Context::new("other"), &envelope).is_err());
    let wrapped = &envelope[2..71];
    assert!(ring.open(&context(), wrapped).is_err(), "a sealed key opens as no message");
    let stream = sealed(&ring, 10)?;
    let with_stream_key = [&[0, 69], &stream[3..72], &envelope[71..]].concat();
    let refused = ring.open_envelope(&context(), &with_stream_key);
    assert_eq!(refused, Err(OpenError::NotAuthentic), "a file's key opens as no envelope's");
    let mixed = [&ring.seal_envelope(&context(), b"other")?[..71], &envelope[71..]].concat();
    assert!(ring.open_envelope(&context(), &mixed).is_err(), "parts of two envelopes");
    Ok(())
}

// Public keys

#[test]
fn a_box_opens_for_its_recipient_only_and_in_its_context_only() -> TestResult {
    fn check<S: Suite>() -> Result<(), BoxError> {
        let (bob, carol) = (KeyPair::<S>::random(), KeyPair::<S>::random());
        let sealed = bob.public().seal(&context(), b"text")?;
        assert_eq!(bob.open(&context(), &sealed)?, b"text");
        assert_eq!(carol.open(&context(), &sealed), Err(BoxError::NotAuthentic));
        assert_eq!(bob.open(&Context::new("other"), &sealed), Err(BoxError::NotAuthentic));
        for at in (1..sealed.len()).step_by(7) {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(bob.open(&context(), &changed).is_err(), "byte {at}");
        }
        let copy = KeyPair::<S>::from_bytes(&bob.expose())?;
        assert_eq!(copy.open(&context(), &sealed)?, b"text");
        let public = PublicKey::<S>::from_bytes(&bob.public().to_bytes())?;
        assert_eq!(bob.open(&context(), &public.seal(&context(), b"more")?)?, b"more");
        Ok(())
    }
    check::<Classical>()?;
    check::<PostQuantum>()?;
    let sealed = KeyPair::<Classical>::random().public().seal(&context(), b"text")?;
    let other_suite = KeyPair::<PostQuantum>::random().open(&context(), &sealed);
    assert!(matches!(other_suite, Err(BoxError::Format(_))));
    Ok(())
}

#[test]
fn an_authenticated_box_opens_as_from_its_sender_only() -> TestResult {
    let [alice, bob, mallory] = [(); 3].map(|()| KeyPair::<Classical>::random());
    let sealed = alice.seal_for(&bob.public(), &context(), b"text")?;
    assert_eq!(bob.open_from(&alice.public(), &context(), &sealed)?, b"text");
    assert!(bob.open_from(&mallory.public(), &context(), &sealed).is_err());
    assert!(bob.open(&context(), &sealed).is_err(), "it is none without a sender");
    let anonymous = bob.public().seal(&context(), b"text")?;
    assert!(bob.open_from(&alice.public(), &context(), &anonymous).is_err());
    Ok(())
}

#[test]
fn a_key_of_small_order_is_refused() {
    // RFC 9180 section 7.1.4: the shared secret would be all zeros.
    for order in [0_u8, 1] {
        let mut bytes = [0; 32];
        bytes[0] = order;
        let sealed =
            PublicKey::<Classical>::from_bytes(&bytes).and_then(|key| key.seal(&context(), b""));
        assert_eq!(sealed, Err(BoxError::Key), "{order}");
    }
}

// Signatures

#[test]
fn a_signature_fits_its_key_context_and_text_only() -> TestResult {
    let (alice, mallory) = (SigningKey::random()?, SigningKey::random()?);
    let signature = alice.sign(&context(), b"text");
    alice.public().verify(&context(), b"text", &signature)?;
    assert!(alice.public().verify(&context(), b"texT", &signature).is_err());
    assert!(alice.public().verify(&Context::new("other"), b"text", &signature).is_err());
    assert!(mallory.public().verify(&context(), b"text", &signature).is_err());
    assert!(alice.public().verify(&context(), b"text", &signature[..63]).is_err());
    assert_ne!(
        signed_bytes(&Context::new("a").with("b"), b"c"),
        signed_bytes(&Context::new("a"), b"bc")
    );
    Ok(())
}

/// A public key of Ed25519 plus the point of order 2: (-x, -y). It is on the curve, of mixed order, and verifiers
/// disagree about its signatures.
fn of_mixed_order(public: &[u8]) -> Vec<u8> {
    let mut p = [0xff_u8; 32];
    (p[0], p[31]) = (0xed, 0x7f);
    let sign = public[31] & 0x80;
    let mut borrow = 0;
    let mut mixed: Vec<u8> = Vec::with_capacity(32);
    for (at, byte) in public.iter().enumerate() {
        let byte = if at == 31 { byte & 0x7f } else { *byte };
        let difference = i16::from(p[at]) - i16::from(byte) - borrow;
        borrow = i16::from(difference < 0);
        mixed.push(difference.rem_euclid(256) as u8);
    }
    mixed[31] |= sign ^ 0x80;
    mixed
}

/// Under a key of small order, one signature fits every text, or one text in two, four or eight:
/// such keys are refused. Under the identity it is every text.
#[test]
fn keys_of_small_order_are_refused() -> TestResult {
    let mut identity = [0; 32];
    identity[0] = 1;
    // R the identity too, S zero: it "verifies" for any text.
    let mut signature = [0; 64];
    signature[0] = 1;
    let raw =
        aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, identity);
    assert!(raw.verify(b"anything", &signature).is_ok(), "the attack is real");
    assert!(raw.verify(b"anything else", &signature).is_ok());
    assert!(VerifyingKey::from_bytes(identity).is_err());
    // The same point in an encoding that RFC 8032 does not allow: y = p + 1.
    let mut other = [0xff; 32];
    (other[0], other[31]) = (0xee, 0x7f);
    assert!(VerifyingKey::from_bytes(other).is_err());
    let good = SigningKey::random()?.public().to_bytes();
    let mixed: [u8; 32] = of_mixed_order(&good).try_into().map_err(|_| "32 bytes")?;
    assert!(VerifyingKey::from_bytes(mixed).is_err(), "mixed order");
    let back: [u8; 32] = of_mixed_order(&mixed).try_into().map_err(|_| "32 bytes")?;
    assert_eq!(VerifyingKey::from_bytes(back)?.to_bytes(), good);
    assert!(VerifyingKey::from_bytes([0; 32]).is_err(), "order 4");
    let good = SigningKey::random()?.public();
    assert_eq!(VerifyingKey::from_bytes(good.to_bytes()), Ok(good));
    Ok(())
}

#[test]
fn a_signing_key_can_be_stored() -> TestResult {
    let key = SigningKey::random()?;
    let copy = SigningKey::from_seed(&key.expose()?)?;
    assert_eq!(copy.public(), key.public());
    assert_eq!(copy.sign(&context(), b"text"), key.sign(&context(), b"text"));
    Ok(())
}
